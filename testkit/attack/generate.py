"""Random requests, good ones, odd ones and malformed ones."""

from dataclasses import dataclass, field
from urllib.parse import quote

import facts

TOKEN = frozenset(b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


@dataclass
class Request:
    """A request as a client writes it, without its user agent."""

    route: str
    method: str
    target: bytes
    host: bytes
    headers: list = field(default_factory=list)
    body: bytes = b""
    chunked: bool = False
    is_http2: bool = False
    # In HTTP/1.1, `GET http://host/path`.
    absolute: bool = False

    def seen(self):
        """The target as Envoy reads it."""
        return self.target if self.is_http2 else self.target.strip(b" \t")

    def http1(self, agent):
        """Its bytes in HTTP/1.1."""
        target = b"http://" + self.host + self.target if self.absolute else self.target
        lines = [self.method.encode("latin-1") + b" " + target + b" HTTP/1.1"]
        lines += [b"host: " + self.host, b"user-agent: " + agent.encode()]
        lines += [name + b": " + value for name, value in self.headers]
        body = self.body
        if self.chunked:
            lines.append(b"transfer-encoding: chunked")
            body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"
        elif body or self.method in ("PUT", "POST"):
            lines.append(b"content-length: %d" % len(body))
        return b"\r\n".join([*lines, b"", b""]) + body

    def http2(self, agent):
        """Its headers in HTTP/2."""
        pseudo = [
            (b":method", self.method.encode("latin-1")),
            (b":scheme", b"http"),
            (b":authority", self.host),
            (b":path", self.target),
        ]
        own = [(name.lower(), value) for name, value in self.headers]
        return [*pseudo, (b"user-agent", agent.encode()), *own]

    def text(self, agent):
        """For people."""
        if self.is_http2:
            lines = [b"HTTP/2", *(name + b" = " + value for name, value in self.http2(agent))]
            return "\n".join(shown(line) for line in [*lines, self.body]).rstrip("\n")
        lines = self.http1(agent).split(b"\r\n")
        return "\n".join(shown(line) for line in lines).rstrip("\n")

    def frames_oddly(self):
        """Whether another side may wait for more of a body than there is."""
        names = {name.strip().lower() for name, _ in self.headers}
        return bool(names & {b"content-length", b"transfer-encoding", b"upgrade"})

    def is_odd(self):
        """Whether Envoy may refuse it, whatever the filter does."""
        target_is_odd = any(not 0x21 <= byte <= 0x7E or byte == 0x23 for byte in self.target)
        if target_is_odd or not self.target.startswith(b"/") or len(self.target) > 8000:
            return True
        if self.method not in (*facts.METHODS, "PATCH") or not is_host(self.host):
            return True
        if not self.is_http2 and self.method not in ("PUT", "POST") and (self.body or self.chunked):
            return True
        return any(is_odd_header(*header) for header in self.headers)


def shown(line):
    text = line.decode("latin-1")
    text = "".join(c if " " <= c <= "~" else repr(c)[1:-1] for c in text)
    return text if len(text) < 400 else f"{text[:200]}...({len(text)} characters)...{text[-100:]}"


def is_host(host):
    return bool(host) and all(byte in b"abcdefghijklmnopqrstuvwxyz0123456789.-:" for byte in host)


# What Envoy has rules of its own for.
OF_ENVOY = (
    b"connection transfer-encoding content-length te upgrade expect host keep-alive "
    b"proxy-connection http2-settings"
).split()


def is_odd_header(name, value):
    if name.lower() in OF_ENVOY or b"_" in name:
        return True
    is_token = bool(name) and all(byte in TOKEN for byte in name)
    plain = all(byte == 9 or 0x20 <= byte <= 0x7E for byte in value)
    return not (is_token and plain) or len(value) > 4000


class Generator:
    """Makes requests for routes; the same for the same source of chance."""

    def __init__(self, random):
        self.random = random

    def request(self, route):
        random, settings = self.random, route.settings
        request = Request(
            route=route.name,
            method=self.method(settings),
            target=self.path(settings, route.on_cluster),
            host=self.host(settings),
            is_http2=random.random() < 0.3,
            absolute=random.random() < 0.04,
        )
        if random.random() < 0.65:
            query = self.query(settings)
            request.target += b"?" + query
        request.headers = self.headers(settings)
        if request.method in ("PUT", "POST") or random.random() < 0.02:
            request.body = random.choice([b"", b"content", b"x" * 5000, SMUGGLED])
            request.chunked = random.random() < 0.3
        if not (request.target.startswith(b"/") and is_host(request.host)):
            request.absolute = False
        if request.is_http2:
            request.chunked = request.absolute = False
        return request

    def chance(self, probability):
        return self.random.random() < probability

    def method(self, settings):
        if self.chance(0.75):
            return self.random.choice(settings["methods"])
        return self.random.choice([*facts.METHODS, *ODD_METHODS])

    def host(self, settings):
        random = self.random
        right = settings.host()
        if self.chance(0.6):
            return right.encode()
        other = random.choice(HOSTS)
        return other.replace(b"RIGHT", right.encode())

    def path(self, settings, on_cluster):
        """A path, most often within what the settings map."""
        if self.chance(0.01):
            return self.random.choice([b"*", b"", b"a", b"//", b"/\\a", b"/" + b"k" * 20_000])
        prefix = "/"
        if self.chance(0.8):
            prefix = settings["strip_prefix"]
        if settings["presigned_urls"] in ("pass", "require") and self.chance(0.5):
            prefix = self.signed_prefix(settings)
        start = quote(prefix, safe="/@+").encode()
        if self.chance(0.12):
            start = self.respell(start)
        if self.chance(0.07):
            start = self.random.choice([b"/app/", b"/%61pp/", b"/app%2F", b"//app/", b"/x/../app/"])
        return start + self.rest()

    def signed_prefix(self, settings):
        """Where the path of a signed URL lies."""
        style = f"/{settings['bucket']}" if settings["addressing"] == "path_style" else ""
        return f"{style}/{settings['key_prefix']}"

    def rest(self):
        random = self.random
        if self.chance(0.15):
            return b""
        plain = self.chance(0.5)
        pool = PLAIN if plain else PLAIN + SPELLINGS
        pieces = [random.choice(pool) for _ in range(random.randint(1, 4))]
        rest = b"/".join(pieces)
        if not plain and self.chance(0.3):
            rest = self.respell(rest)
        if self.chance(0.02):
            rest += b"/" + b"k" * random.choice([990, 1020, 1024, 3000])
        return rest + (b"/" if self.chance(0.15) else b"")

    def respell(self, text):
        """The same text with another spelling of one byte, or a byte that is odd."""
        if not text:
            return text
        at = self.random.randrange(len(text))
        byte = text[at]
        other = self.random.choice([b"%%%02X", b"%%%02x"]) % byte
        if self.chance(0.2):
            return text[:at] + self.random.choice(ODD_BYTES) + text[at:]
        return text[:at] + other + text[at + 1 :]

    def query(self, settings):
        random = self.random
        pieces = []
        for _ in range(random.choice([0, 1, 1, 1, 2, 2, 3, 5])):
            pieces.append(self.parameter(settings))
        if self.chance(0.3):
            pieces += self.signed_url(settings)
            if self.chance(0.3):
                random.shuffle(pieces)
        query = b"&".join(pieces)
        if self.chance(0.06):
            query = self.respell(query)
        if self.chance(0.02):
            query += random.choice([b"&", b"#a", b"?", b"&&", b" ", b"\xff"])
        return query

    def parameter(self, settings):
        random = self.random
        pools = [
            settings["operations"],
            [name.replace("*", "a") for name in settings["forward_parameters"]],
            facts.ARGUMENTS["list"],
            facts.ARGUMENTS[random.choice(sorted(facts.ARGUMENTS))],
            facts.NEW_OPERATIONS,
            sorted(facts.OPERATIONS),
            facts.MODIFIERS,
            UNKNOWN,
            UNKNOWN,
        ]
        names = random.choice([pool for pool in pools if pool])
        name = random.choice(list(names)).encode()
        if self.chance(0.05):
            name = random.choice([name.upper(), name.lower(), name.title(), self.respell(name)])
        if self.chance(0.3):
            return name
        return name + b"=" + random.choice(VALUES)

    def signed_url(self, settings):
        """A signed URL of some kind, most often a whole one."""
        random = self.random
        required, optional = facts.SIGNED_URLS[random.choice(list(facts.SIGNED_URLS))]
        names = [*required, *(name for name in optional if self.chance(0.25))]
        pieces = [f"{name}={required.get(name) or 'abc123'}".encode() for name in names]
        if self.chance(0.4):
            at = random.randrange(len(pieces))
            name = pieces[at].partition(b"=")[0]
            pieces[at : at + 1] = random.choice(
                [
                    [],
                    [name],
                    [name + b"="],
                    [pieces[at], pieces[at]],
                    [pieces[at].upper()],
                    [pieces[at].lower()],
                    [self.respell(name) + b"=abc123"],
                    [name + b"=OSS4"],
                    [pieces[at], random.choice(PARTS) + b"=x"],
                ]
            )
        elif self.chance(0.15):
            pieces = [random.choice(PARTS) + b"=x"]
        return pieces

    def headers(self, settings):
        random = self.random
        headers = []
        for _ in range(random.choice([0, 0, 1, 2, 4, 8])):
            named = [name.replace("*", "a") for name in settings["forward_headers"]]
            pools = [named, LISTED, FORBIDDEN, FORBIDDEN, ODD_HEADERS]
            weights = [3 if named else 0, 6, 4, 2, 1]
            pool = random.choices(pools, weights)[0]
            entry = random.choice(pool)
            name, _, value = (entry if ":" in entry else f"{entry}:").partition(":")
            value = value or USUAL.get(name) or random.choice(HEADER_VALUES)
            value = value.encode("latin-1")
            name = name.encode("latin-1")
            headers.append((name if self.chance(0.7) else name.upper(), value))
            if self.chance(0.06) and name.decode("latin-1") not in USUAL:
                headers.append((name, random.choice(HEADER_VALUES).encode("latin-1")))
        return headers


PLAIN = [b"a", b"b.txt", b"dir", b"caf%C3%A9", b"a%20b", b"index.html", b"A-b_c~1", b"2026"]
SPELLINGS = [
    b"", b".", b"..", b"...", b"%2e%2e", b"%2E", b".%2e", b"%2F", b"%2f", b"..%2f..", b"%5C",
    b"%5c..", b"\\", b"%61", b"%41pp", b"%7E", b"%", b"%%", b"%4", b"%zz", b"%25", b"%2541",
    b"caf\xc3\xa9", b"%C3%A9", b"%c3%a9", b"%ff", b"\xff\xfe", b"%00", b"%0a", b"%0d%0ax: y", b" ",
    b"a b", b"%20", b"+", b"%2B", b"a+b", b"a=b", b";v=1", b"a&b", b"@", b":", b"!$'()*,", b"|",
    b"[1]", b"^", b"`", b"{x}", b'"', b"<a>", b"#", b"a#b", b"\t", b"\x7f", b"~", b"%3F", b"%3Facl",
    b"%23", b"app", b"demo-bucket", b"second-bucket", b"\xe2\x80\xae", b"%E2%80%8B", b"%u0041",
]  # fmt: skip
ODD_BYTES = [b"%", b"\x80", b"%zz", b"%u0041", b"\xc3\xa9", b"%00", b"\x7f"]
ODD_METHODS = ["PATCH", "TRACE", "PROPFIND", "get", "Get", "FOO", "GET1", "COPY"]
HOSTS = [
    b"gateway.example", b"evil.example", b"RIGHT:443", b"RIGHT:80", b"RIGHT.", b"demo-bucket",
    b"1.2.3.4",
    b"second-bucket.oss-cn-hangzhou.aliyuncs.com", b"oss-cn-hangzhou.aliyuncs.com", b"[::1]:80",
    b"other.oss-cn-hangzhou-internal.aliyuncs.com", b"a@RIGHT", b"RIGHT/x", b"RIGHT,evil.example",
    b"RIGHT evil", b"", b"EVIL.example", b"evil\xc3\xa9.example", b"a" * 300, b"RIGHT?x",
    b"RIGHT#x",
]  # fmt: skip
UNKNOWN = (
    "foo utm_source utm_ v callbackx ACL Acl tagging2 Policy list img Expires x-oss x-oss- "
    "X-Oss-Process x-oss-date x-oss-unheard-of response-foo versionid VERSIONID a.b a%20b a+b "
    "%61cl %6cegalHold"
).split()
VALUES = [
    b"1", b"", b"a%2Fb", b"a/b", b"a+b", b"%2B", b"text%2Fplain%3B", b"a=b", b"caf%C3%A9", b"%",
    b"%zz",
    b"\xc3\xa9", b"image/resize,w_100", b"a?b", b"a;b", b"~!'()*", b"a:@b", b"%00", b"%26acl",
    b"%ff",
    b"a|b", b"[]", b"{}", b'"', b"%7e", b"%2f", b"x" * 2000,
]  # fmt: skip
PARTS = [
    b"OSSAccessKeyId", b"Signature", b"security-token", b"x-oss-access-key-id", b"x-oss-credential",
    b"x-oss-expires", b"x-oss-security-token", b"x-oss-signature", b"x-oss-signature-version",
    b"AWSAccessKeyId", b"X-Amz-Signature", b"X-Amz-Foo", b"x-amz-", b"signature", b"SIGNATURE",
    b"ossaccesskeyid", b"X-OSS-Signature", b"X-AMZ-Security-Token", b"Security-Token",
]  # fmt: skip
LISTED = [
    'if-match:"e"', 'if-none-match:"x"', "range:bytes=0-4", "range:bytes=5-", "range:bytes=0-1,5-6", "accept:*/*",
    "accept-charset",
    "if-modified-since:Wed, 01 Jan 2025 00:00:00 GMT", "if-unmodified-since", "if-range",
    "accept-encoding:gzip",
    "accept-language:de", "origin:https://a.example", "access-control-request-method:GET",
    "access-control-request-headers:x-a", "content-type:text/plain", "content-type",
    "content-encoding:br",
    "content-md5:1B2M2Y8AsgTpgAmY7PhCfg==", "content-disposition:attachment", "content-language:de",
    "cache-control:no-cache", "expires:0", "expect:100-continue",
]  # fmt: skip
FORBIDDEN = [
    "authorization:Bearer of-the-client", "authorization:OSS LTAIother:forged", "authorization",
    "cookie:a=b",

    "authorization:OSS4-HMAC-SHA256 Credential=a/20260101/r/oss/aliyun_v4_request,Signature=00",
    "x-oss-date:20200101T000000Z", "x-oss-security-token:forged", "x-oss-content-sha256", "date",
    "referer",
    "x-oss-object-acl:public-read-write", "x-oss-copy-source:/other/secret", "x-oss-callback:e30=",
    "x-oss-range-behavior:other", "x-oss-request-payer:other", "x-oss-traffic-limit:1",
    "x-oss-meta-other", "x-amz-acl:public-read", "x-amz-security-token", "x-amz-date",
    "x-forwarded-for:10.1.2.3",
    "x-forwarded-host:evil.example", "x-forwarded-proto:https", "x-forwarded-port:1",
    "x-real-ip:10.0.0.1",
    "x-forwarded-client-cert:By=a", "forwarded:for=1.2.3.4", "x-request-id:mine",
    "x-envoy-internal:true",
    "x-envoy-original-path:/app/admin", "x-envoy-original-host:evil.example",
    "x-envoy-max-retries:3",
    "x-envoy-retry-on:5xx,retriable-4xx", "x-envoy-external-address:10.0.0.1",
    "x-original-url:/app/", "via",
    "x-rewrite-url:/app/", "x-http-method-override:DELETE", "x-custom", "x-tenant-b",
    "x-internal:secret",
    "proxy-authorization:Basic eDp5", "trailer:x-oss-date", "x-envoy-attempt-count:7",
    "priority:u=1",
    "traceparent:00-1-2-01", "x-oss-origin-auth:forged", "x-oss-", "x-b3-traceid", "from:a@b",
    "pragma:x",
]  # fmt: skip
ODD_HEADERS = [
    "connection:close, x-oss-date, authorization", "connection:x-request-id", "te:trailers",
    "upgrade:h2c",
    "transfer-encoding:identity", "transfer-encoding:chunked, identity", "content-length:5, 5",
    "host:evil.example",
    "content-length:0", "x_under_score:1", "x-control:a\x01b", "x-bytes:\xff\xfe", "x oss date:1",
    "x-oss-date :1",
    "x-empty: ", "range:bytes=\xff", "content-type:text/\xff", "x-oss-meta-a:\xc3\xa9",
    "keep-alive:1",
    "x-long:" + "y" * 9000, "proxy-connection:keep-alive", "http2-settings:AAMAAABkAAQ", "\xe9:1",
    "x-oss-meta-a: ",
]  # fmt: skip
# Envoy drops a referer that is none, and joins cookies.
USUAL = {"referer": "https://a.example/", "cookie": "a=b"}
HEADER_VALUES = ["1", "a b", "a, b", "*", "text/html", "a=b; c", "  spaced  ", "\t", "0", "x" * 300]
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nhost: evil.example\r\nuser-agent: smuggled\r\n\r\n"
