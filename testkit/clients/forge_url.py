"""What somebody may make of signed URLs, for the tests.

`forge_url.py cases SEED COUNT NOW` prints random signed URLs and what becomes of them when
one byte is another; `forge_url.py extended NOW` prints URLs with a hash that is right for
them, though whoever made it does not know the key. Both print JSON: `keys`, by name a main
and a backup key, and `cases`, of which a target is written in hexadecimal digits.
`forge_url.py http2 PORT HOST TARGET` asks for such a target by HTTP/2, and prints the
status, or `none`.
"""

import hashlib
import json
import math
import random
import socket
import struct
import sys

import h2.config
import h2.connection
import h2.events

from sign_url import SIGN, digest

VISIBLE = bytes(byte for byte in range(0x21, 0x7F) if byte not in b"?#")
KEYS = {
    "short": ["k", "aliyuncdnexp1234"],
    "long": ["0123456789abcdef" * 8, "-/?&=%41-1700000000"],
    "odd": ["1700000000", "/"],
}


# Random URLs.


def random_path(dice):
    pieces = [b"/"]
    for _ in range(dice.randrange(12)):
        pieces.append(
            dice.choice(
                [
                    bytes(dice.choices(VISIBLE, k=dice.randrange(1, 20))),
                    b"%%%02x" % dice.randrange(256),
                    b"/",
                    b"-0-0-",
                    b"%d" % dice.randrange(10**9, 10**10),
                    b"/%s/" % digest(b"x").encode(),
                    b"/201508150800/",
                    b"..",
                ]
            )
        )
    return b"".join(pieces)


def signed_case(dice, kind, name, now):
    key = dice.choice(KEYS[name]).encode()
    path, time = random_path(dice), now + dice.randrange(10**6)
    more = {}
    if kind in ("C1", "C2", "F-hex") and dice.randrange(2):
        more = {"form": b"%x"}
    path_of_it, parameters = SIGN[kind](key, path, time, **more)
    others = [b"x=%d" % number for number in range(dice.randrange(4))]
    query = list(others)
    # Those of a signature stand together or apart, in any order.
    places = []
    for parameter in parameters.split(b"&") if parameters else []:
        query.insert(dice.randrange(len(query) + 1), parameter)
        places.append(parameter)
    target = path_of_it + (b"?" + b"&".join(query) if query else b"")
    left = path + (b"?" + b"&".join(others) if others else b"")
    case = {"type": kind, "keys": name, "target": target.hex(), "left": left.hex()}
    return case, target, [(0, len(path_of_it))] + [span(target, place) for place in places]


def span(target, part):
    begin = target.index(part, target.index(b"?"))
    return begin, begin + len(part)


def changed(dice, target, spans):
    """The target with another byte in one of the spans."""
    begin, end = dice.choice(spans)
    place = dice.randrange(begin, end)
    other = dice.choice([byte for byte in range(0x21, 0x7F) if byte != target[place]])
    return target[:place] + bytes([other]) + target[place + 1 :]


def cases(seed, count, now):
    dice = random.Random(seed)
    made = []
    for number in range(count):
        kind = list(SIGN)[number % len(SIGN)]
        # Of B and C1 there can be one pair of keys.
        name = "long" if kind in ("B", "C1") else dice.choice(list(KEYS))
        case, target, spans = signed_case(dice, kind, name, now)
        made.append(case)
        for _ in range(4):
            wrong = changed(dice, target, spans)
            made.append({**case, "target": wrong.hex(), "left": None})
    return made


# MD5 that goes on from a known hash (RFC 1321).

SHIFTS = [(7, 12, 17, 22), (5, 9, 14, 20), (4, 11, 16, 23), (6, 10, 15, 21)]
SINES = [int(abs(math.sin(step + 1)) * 2**32) for step in range(64)]


def compress(state, block):
    words = struct.unpack("<16I", block)
    a, b, c, d = state
    for step in range(64):
        turn = step // 16
        mixed, word = [
            ((b & c) | (~b & d), step),
            ((d & b) | (~d & c), 5 * step + 1),
            (b ^ c ^ d, 3 * step + 5),
            (c ^ (b | ~d), 7 * step),
        ][turn]
        total = (a + mixed + SINES[step] + words[word % 16]) & 0xFFFFFFFF
        shift = SHIFTS[turn][step % 4]
        turned = ((total << shift) | (total >> (32 - shift))) & 0xFFFFFFFF
        a, b, c, d = d, (b + turned) & 0xFFFFFFFF, b, c
    return [(old + new) & 0xFFFFFFFF for old, new in zip(state, (a, b, c, d))]


def padding(length):
    return b"\x80" + bytes((55 - length) % 64) + struct.pack("<Q", 8 * length)


def extend(known, length, more):
    """The MD5 of a text of that length and MD5, its padding, and more."""
    state = struct.unpack("<4I", bytes.fromhex(known))
    begin = length + len(padding(length))
    rest = more + padding(begin + len(more))
    for at in range(0, len(rest), 64):
        state = compress(state, rest[at : at + 64])
    return struct.pack("<4I", *state).hex()


def extended(now):
    """For each type whose hash can be extended a URL for another path, raw and encoded."""
    key, path, made = KEYS["long"][0].encode(), b"/open/a", []
    for kind in ("B", "C1", "C2", "F", "F-hex"):
        written = b"%d" % now if kind == "F" else b"%X" % now
        if kind == "B":
            known_target, _ = SIGN[kind](key, path, now)
            _, minute, known, _ = known_target.split(b"/", 3)
            known, length = known.decode(), len(key + minute + path)
            more = b"/../../members/a"
            hashed = key + minute + path + padding(length) + more
            other = path + padding(length) + more
            forged = extend(known, length, more)
            target = b"/%s/%s%%s" % (minute, forged.encode())
        else:
            known, length = digest(key, path, written), len(key + path + written)
            more = b"/../../members/a" + written
            hashed = key + path + written + padding(length) + more
            other = path + written + padding(length) + more[: -len(written)]
            forged = extend(known, length, more)
            hash_and_time = (forged.encode(), written)
            target = {
                "C1": b"/%s/%s%%s" % hash_and_time,
                "C2": b"%%s?KEY1=%s&KEY2=%s" % hash_and_time,
            }.get(kind, b"%%s?sign=%s&time=%s" % hash_and_time)
        assert forged == hashlib.md5(hashed).hexdigest(), "the extension is right"
        encoded = b"".join(
            bytes([byte]) if byte in VISIBLE else b"%%%02X" % byte for byte in other
        )
        for form in (other, encoded):
            made.append({"type": kind, "keys": "long", "target": (target % form).hex()})
    return made


def http2(port, host, target):
    # Envoy closes the connection of whoever breaks the protocol, but not at once.
    with socket.create_connection(("127.0.0.1", port), timeout=3) as peer:
        config = h2.config.H2Configuration(
            validate_outbound_headers=False, normalize_outbound_headers=False
        )
        connection = h2.connection.H2Connection(config)
        connection.initiate_connection()
        pseudo = {":method": "GET", ":scheme": "http", ":authority": host, ":path": target}
        connection.send_headers(1, list(pseudo.items()), end_stream=True)
        peer.sendall(connection.data_to_send())
        try:
            while data := peer.recv(65536):
                for event in connection.receive_data(data):
                    if isinstance(event, h2.events.ResponseReceived):
                        return dict(event.headers)[b":status"].decode()
                    if isinstance(event, h2.events.StreamReset):
                        return "none"
                peer.sendall(connection.data_to_send())
        except TimeoutError:
            pass
    return "none"


def main():
    what, *arguments = sys.argv[1:]
    if what == "http2":
        port, host, target = arguments
        print(http2(int(port), host, bytes.fromhex(target)))
        return
    if what == "cases":
        seed, count, now = arguments
        made = cases(seed, int(count), int(now))
    else:
        made = extended(int(arguments[0]))
    print(json.dumps({"keys": KEYS, "cases": made}))


if __name__ == "__main__":
    main()
