"""Sidecars and origins that answer anything; only what must always hold is checked."""

import base64
import calendar
import gzip
import itertools
import json
import random
import threading
import time

import check
import facts
import generate
import model
import origin
import rounds
import settings

BUCKET = {"bucket": "demo-bucket", "region": "cn-hangzhou", "endpoint": facts.ENDPOINTS[0]}
# Names of credentials, each with answers of its own.
NAMES = 48
# How long the sidecar may be as it likes, in seconds.
SIEGE = 12


class Round(rounds.Policy):
    """A round whose answers are hostile."""

    def __init__(self, seed, routes):
        self.random = random.Random(seed)
        self.routes, self.defaults = routes, dict(BUCKET)
        self.world = origin.World()
        self.numbers = itertools.count(1)
        self.credentials, self.secrets = {}, []
        self.checker = check.Checker(routes, self.world, self.secrets)

    def findings(self, request, answer, arrivals):
        yield from self.checker.always(request, answer, arrivals)
        for arrival in arrivals:
            if arrival.judged == "mismatch":
                yield check.Finding("signed: the judge says mismatch", arrival.text())

    def try_one(self, clients, request):
        number = next(self.numbers)
        self.prepare(number, request)
        answer = clients.of(request.route).send(request, f"{request.route}/{number}")
        arrivals = self.world.forget(number)
        return list(self.findings(request, answer, arrivals)), answer

    def prepare(self, number, request):
        """What stands ready before a request is sent."""


class Sidecar(Round):
    """Each name of credentials has a sidecar that lies in its own way."""

    def __init__(self, tools, seed, count):
        routes = [plain_route(f"{where}{at}", {"credentials": f"n{at}"}) for where, at in PLACES]
        super().__init__(seed, routes)
        self.tools, self.count = tools, count
        for at in range(NAMES):
            liar = Liar(random.Random(f"{seed}/{at}"), self.world, self.secrets)
            self.world.sidecar_answers[f"/v1/credentials/n{at}"] = liar.answer
            margins = {"timeout_ms": 2000, "clock_margin_ms": self.random.choice([0, 500, 5000])}
            self.credentials[f"n{at}"] = {"sidecar": {"cluster": "sidecar", **margins}}

    def run(self):
        config = settings.filter_config(self.defaults, self.routes, self.credentials)
        config["wait_timeout_ms"] = 300
        with rounds.running(self.tools, self.world, config, self.routes) as envoy:
            began = time.monotonic()
            found = {}
            while time.monotonic() - began < SIEGE:
                requests = [
                    generate.Request(route.name, "GET", b"/a", b"a.example")
                    for route in self.random.sample(self.routes, len(self.routes))
                ]
                for key, (count, request) in self.send_all(envoy, requests).items():
                    known = found.setdefault(key, [0, request])
                    known[0] += count
            reports = [self.report(envoy, *one) for one in found.items()]
            reports += self.at_the_end(envoy)
            reports += self.storms()
        return reports

    def storms(self):
        """No name is fetched more often than its pause allows: 0.2 s, and 1 s later."""
        times = {}
        for path, time_ in self.world.sidecar_hits:
            times.setdefault(path, []).append(time_)
        for path, hits in times.items():
            busiest = max(sum(first <= hit < first + 1 for hit in hits) for first in hits)
            if busiest > MOST:
                detail = f"{busiest} fetches of {path} within a second"
                yield rounds.Report("the sidecar is asked in a busy loop", 1, detail)


# Fetches of a name within a second, with room for slow machines.
MOST = 20
PLACES = [(where, at) for at in range(NAMES) for where in "cl"]


def plain_route(name, own):
    full = model.Settings({**model.DEFAULTS, **BUCKET, **own})
    return settings.Route(name, name[0] == "c", own, "routes", full)


class Liar:
    """A sidecar: good answers with something wrong."""

    def __init__(self, random_, world, secrets):
        self.random, self.world, self.secrets = random_, world, secrets
        self.lock = threading.Lock()
        # Some always give what is good, and too short-lived to use.
        self.is_short = random_.random() < 0.3

    def answer(self, connection, request):
        with self.lock:
            fields = self.fields()
            body = json.dumps(fields).encode() if self.is_short else self.text(fields)
            self.remember(body)
            head = GOOD % len(body) if self.is_short else self.head(len(body))
            delay = 0 if self.is_short else self.random.choice([0, 0, 0, 0, 0.05, 1, 4])
            cut = not self.is_short and self.random.random() < 0.08
        time.sleep(delay)
        connection.wfile.write(head)
        pieces = [body[: len(body) // 2], body[len(body) // 2 :]]
        for piece in pieces[: 1 if cut else 2]:
            connection.wfile.write(piece)
        return not cut

    def fields(self):
        number = f"{self.random.randrange(10**9):09}"
        lives = [1, 2, 3] if self.is_short else [-3600, -1, 0, 1, 2, 4, 6, 30, 3600, 10**6]
        life = self.random.choice(lives)
        expires = time.gmtime(time.time() + life)
        return {
            "Code": "Success",
            "AccessKeyId": f"STS.liar{number}",
            "AccessKeySecret": f"sesame-secret-{number}",
            "SecurityToken": f"CAISsesame{number}/token",
            "Expiration": time.strftime(TIME, expires),
        }

    def remember(self, body):
        """What the answer gives, if it gives something."""
        try:
            fields = json.loads(body)
            key_id, secret = fields["AccessKeyId"], fields["AccessKeySecret"]
            token = fields.get("SecurityToken") or None
            on_wire = token and token.encode().decode("latin-1")
            key = origin.Key(secret, on_wire)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return
        try:
            key.expires = calendar.timegm(time.strptime(fields["Expiration"], TIME))
        except (ValueError, TypeError, KeyError):
            pass
        with self.world.lock:
            self.world.keys[key_id if isinstance(key_id, str) else ""] = key
        texts = [key_id, secret, token]
        self.secrets += [text for text in texts if isinstance(text, str) and len(text) > 8]

    def text(self, fields):
        random_ = self.random
        if random_.random() < 0.35:
            return json.dumps(fields).encode()
        number = fields["AccessKeyId"][-9:]
        for _ in range(random_.choice([0, 1, 1, 2])):
            name = random_.choice(list(fields))
            change = random_.choice(CHANGES)
            if change is None:
                fields.pop(name)
                if not fields:
                    break
            else:
                fields[name] = change(fields[name])
        key_id = fields.get("AccessKeyId")
        if isinstance(key_id, str) and key_id and number not in key_id:
            # What an id stands for must be known: no two answers have the same.
            fields["AccessKeyId"] = key_id + number
        body = json.dumps(fields).encode()
        if random_.random() < 0.5:
            body = random_.choice(MUTATIONS)(random_, body)
        return body

    def head(self, length):
        random_ = self.random
        status = random_.choice(["200 X"] * 8 + [f"{code} X" for code in OTHER_STATUSES])
        lines = [f"HTTP/1.1 {status}"]
        if not status.startswith("204"):
            lines.append(f"content-length: {length}")
        lines += random_.sample(HEADERS_OF_LIARS, random_.randint(0, 2))
        return "\r\n".join([*lines, "", ""]).encode("latin-1")


TIME = "%Y-%m-%dT%H:%M:%SZ"
CHANGES = [
    None,
    None,
    lambda value: "",
    lambda value: None,
    lambda value: 7,
    lambda value: [value],
    lambda value: {"a": value},
    lambda value: value + "\r\nx-injected: 1" if isinstance(value, str) else value,
    lambda value: "\u00e9\u2028" + str(value),
    lambda value: str(value) + "\x00",
    lambda value: "9999-99-99T99:99:99Z",
    lambda value: "2099-01-01T00:00:00+08:00",
    lambda value: "1969-01-01T00:00:00Z",
    lambda value: str(value) * 2000,
]
MUTATIONS = [
    lambda random_, body: body[: random_.randrange(len(body) + 1)],
    lambda random_, body: body + body,
    lambda random_, body: b"[" * 100_000,
    lambda random_, body: b'{"a":' * 5000 + body,
    lambda random_, body: gzip.compress(body),
    lambda random_, body: bytes(random_.randrange(256) for _ in range(random_.randrange(300))),
    lambda random_, body: flipped(random_, body),
    lambda random_, body: flipped(random_, flipped(random_, body)),
    lambda random_, body: body.replace(b'"', b"'"),
    lambda random_, body: b"\xef\xbb\xbf" + body,
    lambda random_, body: body[:-1] + b', "x": "' + b"y" * 500_000 + b'"}',
    lambda random_, body: b"",
    lambda random_, body: b"null",
    lambda random_, body: body.decode().encode("utf-16"),
]
GOOD = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n"
OTHER_STATUSES = [204, 299, 302, 404, 500, 503]
HEADERS_OF_LIARS = [
    "content-type: text/html", "location: http://127.0.0.1:1/", "content-encoding: gzip",
    "x-bytes: \xff",
    "x-oss-origin-auth: forged", "set-cookie: a=b", "transfer-encoding: identity",
]  # fmt: skip


def flipped(random_, body):
    """With one byte changed."""
    at = random_.randrange(len(body)) if body else 0
    return body[:at] + bytes([random_.randrange(256)]) + body[at + 1 :]


class Origin(Round):
    """OSS gives away all that it was asked with, in every form."""

    clients = 8

    def __init__(self, tools, seed, count):
        chance = random.Random(f"{seed}/routes")
        routes = [
            plain_route(f"{where}{at}", {**random_errors(chance), "credentials": "default"})
            for where in "cl"
            for at in range(6)
        ]
        super().__init__(seed, routes)
        self.tools, self.count = tools, count
        key_id, key = origin.known_keys(self.random)["default"]
        self.world.keys = {key_id: key}
        self.secrets += [key_id, key.secret, key.token, "sesame-of-oss"]
        answer = origin.credentials_answer(key_id, key)
        self.world.sidecar_answers["/v1/credentials/default"] = answer
        # Rejections of OSS do not make its keys rarer: the same come again.
        self.credentials["default"] = {"sidecar": {"cluster": "sidecar", "timeout_ms": 60_000}}

    def run(self):
        config = settings.filter_config(self.defaults, self.routes, self.credentials)
        config["wait_timeout_ms"] = 300
        with rounds.running(self.tools, self.world, config, self.routes, "0.3s") as envoy:
            requests = []
            for number in range(self.count):
                route = self.random.choice(self.routes).name
                method = self.random.choice(["GET", "GET", "GET", "HEAD"])
                target = b"/answer%d" % self.random.randrange(10**9)
                is_http2 = self.random.random() < 0.3
                requests.append(
                    generate.Request(route, method, target, b"a.example", is_http2=is_http2)
                )
            found = self.send_all(envoy, requests)
            return [self.report(envoy, *one) for one in found.items()] + list(
                self.at_the_end(envoy)
            )

    def prepare(self, number, request):
        # The same request has the same answer, so that it can be made smaller.
        errors = self.checker.routes[request.route].settings["errors"]
        self.world.answers[number] = Tattler(request.target, errors == "neutral").answer

    def findings(self, request, answer, arrivals):
        yield from super().findings(request, answer, arrivals)
        route = self.checker.routes[request.route]
        if route.settings["errors"] != "neutral" or answer.status < 300 or answer.status == 304:
            return
        if answer.value("x-oss-origin-auth") and not arrivals:
            return
        for name, value in answer.headers:
            if name not in KEPT and not name.startswith("access-control-"):
                if name != "location" or answer.status >= 400:
                    yield check.Finding(f"neutral: the header {name} stays", answer.texts())


# What stays of an error, what our text brings, and what Envoy adds.
KEPT = facts.NEUTRAL_HEADERS | {"content-type", "cache-control", "content-length", "server", "date"}
KEPT |= {"x-envoy-upstream-service-time", "x-oss-origin-auth", "x-origin-auth-retry"}


def random_errors(chance):
    own = {"errors": chance.choice(["neutral", "neutral", "oss"])}
    if chance.random() < 0.4:
        own["cause_header"] = True
    if chance.random() < 0.3:
        own["access_log_fields"] = True
    if chance.random() < 0.3:
        own["strip_response_headers"] = ["x-oss-*", "server"]
    return own


class Tattler:
    """Makes an answer of a target; the same for the same. The elements that a client may
    see where `errors` is `oss` have secrets only where it is `neutral`."""

    def __init__(self, target, is_neutral):
        self.is_neutral = is_neutral
        self.random = random.Random(target.partition(b"answer")[2])

    def answer(self, connection, request):
        random_ = self.random
        shown = b"".join(value for name, value in request.headers if name in TOLD)
        texts = [shown.decode("latin-1"), "sesame-of-oss"]
        texts += [(request.key_id or ""), request.target.decode("latin-1")]
        body = self.body(texts)
        status = random_.choice(STATUSES)
        if status < 300:
            body = b"content"
        headers = random_.sample(HEADERS_OF_TATTLERS, random_.randint(0, 4))
        packed = base64.b64encode(body).decode()
        if random_.random() < 0.5 and status >= 300:
            err = random_.choice([packed, packed[:-3], "%%%", packed * 2, "", "\xff\xfe"])
            headers.append(f"x-oss-err: {err[:8000]}")
        if random_.random() < 0.2 and status >= 300:
            body = gzip.compress(body)
            headers.append("content-encoding: gzip")
        return self.send(connection, request, status, headers, body)

    def body(self, texts):
        random_ = self.random
        names = random_.sample(ELEMENTS, random_.randint(1, len(ELEMENTS)))
        harmless = texts if self.is_neutral else ["what", "a &lt;b&gt; c", ""]
        inner = "".join(
            f"<{name}>{random_.choice(harmless if name in LISTED else texts)}</{name}>"
            for name in names
        )
        code = random_.choice(CODES)
        body = f"<?xml version='1.0'?><Error><Code>{code}</Code>{inner}</Error>"
        twists = [
            lambda: body,
            lambda: body,
            lambda: body,
            lambda: inner,
            lambda: body[: random_.randrange(len(body))],
            lambda: body * 3,
            lambda: "x" * 70_000 + body,
            lambda: body.replace("<Error>", "<Error><!-- " + texts[0] + " -->"),
            lambda: body.replace("<Code>", "<Code><![CDATA[") + harmless[0],
            lambda: f"<Error><Message>{inner}</Message></Error>",
            lambda: f"<Error><Key>&lt;Token&gt;{harmless[0]}</Key></Error>",
            lambda: f"<Error a='{texts[0]}'><Code>{harmless[0]}</Code></Error>",
            lambda: f"<html>{texts[0]}</html>",
            lambda: json.dumps({"error": texts}),
            lambda: "\ufeff" + body,
            lambda: "",
            lambda: "\x00" + body + "\xff",
        ]
        return random_.choice(twists)().encode("utf-8", "surrogateescape")

    def send(self, connection, request, status, headers, body):
        random_ = self.random
        lines = [f"HTTP/1.1 {status} X", *headers]
        framing = random_.choice(["length", "length", "chunked", "close"])
        bare = request.method == "HEAD" or status == 304
        if framing == "length" or bare:
            lines.append(f"content-length: {len(body)}")
        elif framing == "chunked":
            lines.append("transfer-encoding: chunked")
        else:
            lines.append("connection: close")
        connection.wfile.write("\r\n".join([*lines, "", ""]).encode("latin-1", "replace"))
        if bare:
            return True
        count = random_.choice([1, 1, 2, 5, 40])
        size = len(body) // count + 1
        pieces = [body[at : at + size] for at in range(0, len(body), size)]
        if random_.random() < 0.08:
            pieces, framing = pieces[: len(pieces) // 2], "cut"
        for piece in pieces:
            if framing == "chunked":
                piece = b"%x\r\n%s\r\n" % (len(piece), piece)
            connection.wfile.write(piece)
            if random_.random() < 0.1:
                time.sleep(0.003)
        if framing == "chunked":
            connection.wfile.write(b"0\r\n\r\n")
        return framing in ("length", "chunked")


STATUSES = [200, 206, 301, 302, 304, 307, 400, 403, 403, 403, 404, 416, 429, 500, 503]
TOLD = ("authorization", "x-oss-security-token")
LISTED = "Message RequestId HostId EC RecommendDoc BucketName Key Endpoint".split()
SECRET = (
    "StringToSign SecurityToken OSSAccessKeyId SignatureProvided CanonicalRequest AccessKeyId "
    "Token StringToSignBytes Foo"
).split()
ELEMENTS = [*LISTED, *SECRET]
CODES = (
    "AccessDenied SignatureDoesNotMatch InvalidAccessKeyId SecurityTokenExpired NoSuchKey "
    "InvalidSecurityToken RequestTimeTooSkewed X"
).split()
HEADERS_OF_TATTLERS = [
    "content-type: application/xml", "content-type: text/html", "content-type: \xff",
    "x-oss-ec: 0003-00000001",
    "x-oss-ec: 0002-00000040", "x-oss-ec: 9999", "x-oss-ec: \xff", "x-oss-request-id: 6A0",
    "x-oss-request-id: ",
    "x-oss-hash: 1", "x-secret-a: of demo-bucket", "location: http://demo-bucket.example/",
    "vary: *", "age: 7",
    "set-cookie: a=b", "x-oss-origin-auth: forged", "retry-after: 1", "etag: x",
    "www-authenticate: OSS",
    "x-oss-server-time: x", "server: AliyunOSS", "connection: x-oss-ec", "x-empty: ",
    "last-modified: never",
    "access-control-allow-origin: *", "content-range: bytes 0-1/2", "x-envoy-overloaded: true",
    "te: x",
    "content-disposition: attachment", "link: <http://demo-bucket.example/>",
]  # fmt: skip
