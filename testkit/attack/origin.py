"""OSS as seen from the wire, another origin, and a sidecar.

What arrives is noted byte for byte, by the number that each request of the attack
carries in its user agent. Signatures are judged by Alibaba's SDKs (judge.py).
"""

import calendar
import json
import re
import socketserver
import threading
import time
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

import facts
import gateway
import judge

AGENT = re.compile(rb"(?:[cl]\d+)/(\d+)")


@dataclass
class Arrival:
    """A request as it came; names of headers in lower case."""

    place: str
    method: str
    target: bytes
    headers: list
    # `None`: the connection has ended before.
    body: bytes | None = b""
    # What the judge says: "accepted", "unsigned", or what is wrong.
    judged: str = ""
    key_id: str | None = None
    signed_host: bool = False
    bucket: str = ""

    def values(self, name):
        return [value for known, value in self.headers if known == name]

    def text(self):
        lines = [f"{self.method} {self.target.decode('latin-1')}  (to {self.place})"]
        lines += [f"{name}: {value.decode('latin-1')}" for name, value in self.headers]
        return "\n".join(lines)


@dataclass
class Key:
    secret: str
    token: str | None
    expires: float | None = None


@dataclass
class World:
    """What all servers of a round share."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    # By the number of the request.
    arrivals: dict = field(default_factory=dict)
    strays: list = field(default_factory=list)
    keys: dict = field(default_factory=dict)
    # By number: what judges need to know of a route.
    settings_of: dict = field(default_factory=dict)
    # By number: a function that answers in the origin's place.
    answers: dict = field(default_factory=dict)
    # By path: a function that answers in the sidecar's place.
    sidecar_answers: dict = field(default_factory=dict)
    sidecar_hits: list = field(default_factory=list)

    def note(self, arrival):
        agents = arrival.values("user-agent")
        match = AGENT.match(agents[0]) if len(agents) == 1 else None
        with self.lock:
            if not match:
                self.strays.append(arrival)
                return None
            number = int(match.group(1))
            self.arrivals.setdefault(number, []).append(arrival)
            return number

    def forget(self, number):
        with self.lock:
            self.settings_of.pop(number, None)
            return self.arrivals.pop(number, [])


class Cut(Exception):
    """The connection has ended, or is not HTTP."""


class Connection(socketserver.StreamRequestHandler):
    """Reads requests as Envoy sends them, which is stricter than HTTP."""

    rbufsize = 65536
    disable_nagle_algorithm = True
    world = None
    place = ""

    def handle(self):
        try:
            while self.answer_one():
                pass
        except (OSError, Cut):
            pass

    def read(self):
        """The next request; `None` at the end."""
        line = self.rfile.readline()
        if not line:
            return None
        method, _, rest = line.rstrip(b"\r\n").partition(b" ")
        target, _, _ = rest.rpartition(b" ")
        headers = []
        while (line := self.rfile.readline()) != b"\r\n":
            if not line:
                raise Cut
            name, _, value = line.partition(b":")
            headers.append((name.decode("latin-1").lower(), value.strip()))
        arrival = Arrival(self.place, method.decode("latin-1"), target, headers)
        try:
            arrival.body = self.read_body(dict(headers))
        except (OSError, ValueError, Cut):
            arrival.body = None
        return arrival

    def read_body(self, headers):
        if b"chunked" not in headers.get("transfer-encoding", b""):
            length = int(headers.get("content-length", b"0"))
            body = self.rfile.read(length)
            if len(body) < length:
                raise Cut
            return body
        body = b""
        while size := int(self.rfile.readline().partition(b";")[0] or b"0", 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return body

    def answer_one(self):
        request = self.read()
        if request is None:
            return False
        return self.respond(request)

    def send(self, status, body, headers=(), method="GET"):
        lines = [f"HTTP/1.1 {status} X", f"content-length: {len(body)}", *headers, "", ""]
        shown = b"" if method == "HEAD" else body
        self.wfile.write("\r\n".join(lines).encode("latin-1") + shown)
        return True


class Oss(Connection):
    place = "oss"

    def respond(self, request):
        Judge(self.world, request).judge()
        number = self.world.note(request)
        answer = self.world.answers.get(number)
        if answer:
            return answer(self, request)
        headers = ["x-origin: oss", "server: AliyunOSS", 'etag: "e"', "x-oss-request-id: 6A0"]
        return self.send(200, b"of oss", headers, request.method)


class App(Connection):
    place = "app"

    def respond(self, request):
        self.world.note(request)
        return self.send(200, b"of app", ["x-origin: app"], request.method)


class Sidecar(Connection):
    place = "sidecar"

    def respond(self, request):
        path = request.target.decode("latin-1")
        with self.world.lock:
            self.world.sidecar_hits.append((path, time.time()))
        return self.world.sidecar_answers[path](self, request)


def credentials_answer(key_id, key):
    """The good answer of a sidecar."""
    body = {
        "Code": "Success",
        "AccessKeyId": key_id,
        "AccessKeySecret": key.secret,
        "SecurityToken": key.token,
        "Expiration": "2099-01-01T00:00:00Z",
    }
    text = json.dumps(body).encode()
    return lambda connection, request: connection.send(200, text)


def start_servers(world):
    """Starts all; their ports, and a function that ends them."""
    ports, servers = {}, []
    for handler in (Oss, App, Sidecar):
        bound = type(handler.__name__, (handler,), {"world": world})
        server = Server(("127.0.0.1", 0), bound)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        ports[handler.place] = server.server_address[1]

    def stop():
        for server in servers:
            server.shutdown()
            server.server_close()

    return ports, stop


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 1024


V1 = re.compile(r"OSS ([^:]+):(\S+)")
V4 = re.compile(
    r"OSS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([a-z0-9-]+)/oss/aliyun_v4_request"
    r"(?:,AdditionalHeaders=([^,]+))?,Signature=([0-9a-f]{64})"
)


class Judge:
    """Judges the signature of a request as OSS does."""

    def __init__(self, world, request):
        self.world, self.request = world, request

    def judge(self):
        self.request.judged = self.opinion()

    def opinion(self):
        request = self.request
        path, _, query = request.target.partition(b"?")
        pairs = []
        for piece in query.split(b"&") if query else []:
            name, _, value = piece.partition(b"=")
            parts = (part.replace(b"+", b" ") for part in (name, value))
            pairs.append(tuple(unquote_to_bytes(part) for part in parts))
        bucket, key = self.address(unquote_to_bytes(path)[1:])
        request.bucket = bucket
        authorization = request.values("authorization")
        if not authorization:
            return "unsigned"
        if len(authorization) > 1:
            return "two Authorizations"
        names = {name.lower().decode("latin-1") for name, _ in pairs}
        if names & facts.SIGNATURE_PARTS or any(name.startswith("x-amz-") for name in names):
            return "a signature in the header and in the URL"
        text = authorization[0].decode("latin-1")
        v1, v4 = V1.fullmatch(text), V4.fullmatch(text)
        if not (v1 or v4):
            return "a foreign Authorization"
        headers = {}
        for name, value in request.headers:
            if name in headers and name.startswith("x-oss-"):
                return f"{name} is given twice"
            headers[name] = value.decode("latin-1")
        asked = judge.Request(request.method, bucket, key, pairs, headers)
        return self.compare(asked, text, v1, v4)

    def address(self, key):
        """Bucket and key, by the host."""
        hosts = self.request.values("host")
        host = hosts[0].decode("latin-1") if hosts else ""
        for bucket in facts.BUCKETS:
            if host in (facts.CNAMES[bucket], *(f"{bucket}.{e}" for e in facts.ENDPOINTS)):
                return bucket, key
        if host in facts.ENDPOINTS:
            bucket, _, key = key.partition(b"/")
            return bucket.decode("latin-1"), key
        return "", key

    def compare(self, asked, text, v1, v4):
        key_id = (v1 or v4).group(1)
        known = self.world.keys.get(key_id)
        if not known:
            return "a foreign Authorization"
        self.request.key_id = key_id
        if asked.headers.get("x-oss-security-token") != known.token:
            return "a token that is not this key's"
        if known.expires is not None and known.expires < time.time() - SLACK:
            return "a token that has expired"
        if not v4:
            if asked.headers.get("date") is None and asked.headers.get("x-oss-date") is None:
                return "no date"
            expected = v1_header(asked, key_id, known.secret)
            return "accepted" if expected == text else "mismatch"
        date = asked.headers.get("x-oss-date", "")
        try:
            signed_at = calendar.timegm(time.strptime(date, "%Y%m%dT%H%M%SZ"))
        except ValueError:
            return "a malformed date"
        if date[:8] != v4.group(2) or abs(signed_at - time.time()) > 900:
            return "a wrong date"
        if asked.headers.get("x-oss-content-sha256") != "UNSIGNED-PAYLOAD":
            return "a wrong x-oss-content-sha256"
        additional = v4.group(4).split(";") if v4.group(4) else []
        self.request.signed_host = "host" in additional
        self.request.region = v4.group(3)
        expected = v4_header(asked, key_id, known, v4.group(3), additional)
        return "accepted" if expected == text else "mismatch"


# A request may be under way for so long.
SLACK = 30


def is_for_sdk(asked):
    """Whether the SDKs can express it: text, and no parameter twice."""
    names = [name for name, _ in asked.params]
    plain = all(value.isascii() for value in asked.headers.values())
    return plain and len(set(names)) == len(names) and asked.is_text()


def v1_header(asked, key_id, secret):
    make = judge.v1_header if is_for_sdk(asked) else judge.v1_header_of_bytes
    return make(asked, key_id, secret)


def v4_header(asked, key_id, key, region, additional):
    scope = region, "oss"
    if is_for_sdk(asked):
        return judge.v4_header(asked, key_id, key.secret, key.token, scope, additional)
    return judge.v4_header_of_bytes(asked, key_id, key.secret, scope, additional)


def known_keys(random):
    """A set of keys: of two sidecars, and one that Envoy's environment has."""
    keys = {}
    for name in ("default", "second"):
        digits = "".join(random.choices("0123456789abcdef", k=12))
        token = f"CAISsesame{digits}/token+of{name}="
        keys[name] = (f"STS.{name}{digits}", Key(f"sesame-secret-{digits}", token))
    keys["fixed"] = (gateway.FIXED_KEY[0], Key(gateway.FIXED_KEY[1], None))
    return keys
