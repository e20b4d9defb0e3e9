"""Signs URLs as Alibaba CDN's documents say, by Python's own MD5, for the tests.

`sign_url.py TYPE KEY TIME TARGET...` prints each target (a path, with or without a query)
signed with the key for the time, in Unix seconds. The types are those of the CDN, and
`F-hex`: F with a time in hexadecimal digits, which are written large, as in its examples.
"""

import datetime
import hashlib
import sys

CHINA = datetime.timezone(datetime.timedelta(hours=8))


def digest(*parts):
    return hashlib.md5(b"".join(parts)).hexdigest()


def sign_a(key, path, time, rand=b"0", uid=b"0"):
    text = b"%d-%s-%s" % (time, rand, uid)
    signature = digest(path, b"-", text, b"-", key)
    return path, b"auth_key=%s-%s" % (text, signature.encode())


def sign_b(key, path, time):
    minute = datetime.datetime.fromtimestamp(time, CHINA).strftime("%Y%m%d%H%M").encode()
    signature = digest(key, minute, path)
    return b"/%s/%s%s" % (minute, signature.encode(), path), b""


def sign_c1(key, path, time, form=b"%X"):
    written = form % time
    return b"/%s/%s%s" % (digest(key, path, written).encode(), written, path), b""


def sign_c2(key, path, time, form=b"%X"):
    written = form % time
    return path, b"KEY1=%s&KEY2=%s" % (digest(key, path, written).encode(), written)


def sign_f(key, path, time, form=b"%d"):
    written = form % time
    return path, b"sign=%s&time=%s" % (digest(key, path, written).encode(), written)


def sign_f_hex(key, path, time, form=b"%X"):
    return sign_f(key, path, time, form)


SIGN = {
    "A": sign_a,
    "B": sign_b,
    "C1": sign_c1,
    "C2": sign_c2,
    "F": sign_f,
    "F-hex": sign_f_hex,
}


def sign(kind, key, target, time, **more):
    """The target with its signature, which goes in front of its other parameters."""
    path, mark, query = target.partition(b"?")
    path, parameters = SIGN[kind](key, path, time, **more)
    query = b"&".join(part for part in (parameters, query) if part)
    return path + (b"?" + query if query or mark else b"")


def main():
    kind, key, time, *targets = map(str.encode, sys.argv[1:])
    for target in targets:
        print(sign(kind.decode(), key, target, int(time)).decode())


if __name__ == "__main__":
    main()
