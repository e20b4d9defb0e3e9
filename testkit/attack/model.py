"""What is to become of a request, written from the documents alone.

The model does not say which of several reasons for a refusal comes first: it names all
that hold. Where the documents leave a choice, it allows both.
"""

from dataclasses import dataclass, field
from urllib.parse import quote, unquote_to_bytes

import facts

DEFAULTS = {
    "bucket": None,
    "region": None,
    "signature_version": "v4",
    "product": "oss",
    "credentials": "default",
    "enabled": True,
    "deny": False,
    "methods": ["GET", "HEAD"],
    "operations": [],
    "forward_parameters": [],
    "unknown_parameters": "strip",
    "presigned_urls": "refuse",
    "forward_headers": [],
    "strip_prefix": "/",
    "key_prefix": "",
    "index_document": None,
    "dot_segments": "literal",
    "path_encoding": "any",
    "endpoint": None,
    "addressing": "virtual_hosted",
    "errors": "neutral",
    "cause_header": False,
    "access_log_fields": False,
    "strip_response_headers": [],
    "ranges": "standard",
    "forced_download": "remove",
    "add_headers": {},
}


@dataclass
class Leave:
    """A request that leaves: `signed` by us, `passed` with the client's signed URL, or
    `untouched`."""

    kind: str
    # Decoded, and as pairs of bytes; `choice` may leave as well, or not.
    key: bytes = b""
    params: list = field(default_factory=list)
    choice: list = field(default_factory=list)


@dataclass
class Verdict:
    """The request leaves so, if `leave` is something, or is refused for one of these
    reasons, if there are any. Both: the documents leave the choice."""

    reasons: set = field(default_factory=set)
    leave: Leave | None = None


class Settings(dict):
    """The settings of a route with all that lies below them."""

    def names(self, name):
        """Whether `forward_parameters` names a parameter."""
        return matches(self["forward_parameters"], name)

    def host(self):
        """The host that OSS is asked with."""
        if self["addressing"] == "virtual_hosted":
            return f"{self['bucket']}.{self['endpoint']}"
        return self["endpoint"]


def matches(patterns, name):
    return any(
        name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern
        for pattern in patterns
    )


def verdict(on_cluster, settings, request):
    """Of a request on a route with these settings; `None`: they are incomplete."""
    if settings is None:
        return Verdict({"route_not_configured"})
    if not settings["enabled"]:
        return Verdict(leave=Leave("untouched"))
    if settings["deny"]:
        return Verdict({"route_denied"})
    return Judgement(on_cluster, settings, request).verdict()


class Judgement:
    """Collects the reasons that speak against a request."""

    def __init__(self, on_cluster, settings, request):
        self.on_cluster, self.settings, self.request = on_cluster, settings, request
        self.reasons, self.maybe = set(), set()
        self.path, _, query = request.seen().partition(b"?")
        pieces = query.split(b"&") if query else []
        self.pairs = [decoded_pair(piece) for piece in pieces]
        self.has_signature = any(is_signature_part(name) for name, _ in self.pairs)
        self.query = query

    def verdict(self):
        if self.request.method not in self.settings["methods"]:
            self.reasons.add("method_not_allowed")
        if not self.path.startswith(b"/"):
            self.reasons.add("malformed_path")
            return Verdict(self.reasons)
        self.judge_spelling()
        self.judge_range()
        decoded = unquote_to_bytes(self.path)
        if self.settings["dot_segments"] == "refuse":
            if {b".", b".."} & set(decoded.split(b"/")):
                self.reasons.add("dot_segment")
        signature = [pair for pair in self.pairs if is_signature_part(pair[0])]
        how = self.settings["presigned_urls"]
        if how in ("pass", "require") and signature:
            leave = self.passed(decoded, signature)
        else:
            leave = self.signed(decoded, signature, how)
        if self.reasons:
            return Verdict(self.reasons | self.maybe)
        return Verdict(self.maybe, leave)

    def judge_spelling(self):
        canonical = quote(unquote_to_bytes(self.path), safe="/~").encode()
        if self.settings["path_encoding"] == "canonical" and self.path != canonical:
            self.reasons.add("path_not_canonical")
        if self.on_cluster:
            return
        if not is_unambiguous_path(self.path) or not is_unambiguous_query(self.query):
            # Of a signed URL, which the filter does not read as a key of its own, the
            # documents do not say it.
            passes = self.settings["presigned_urls"] in ("pass", "require")
            (self.maybe if passes and self.has_signature else self.reasons).add("ambiguous_path")

    def passed(self, decoded, signature):
        """A client's signed URL, which passes if it is whole."""
        kind = whole_kind(self.pairs, signature)
        if kind is None:
            self.reasons.add("presigned_url")
        key = decoded[1:]
        if self.settings["addressing"] == "path_style":
            bucket = self.settings["bucket"].encode() + b"/"
            if not key.startswith(bucket):
                self.reasons.add("outside_prefix")
            key = key[len(bucket) :]
        if not decoded.startswith(self.settings["strip_prefix"].encode()):
            self.reasons.add("outside_prefix")
        if not key.startswith(self.settings["key_prefix"].encode()):
            self.reasons.add("outside_prefix")
        parts = () if kind is None else [*facts.SIGNED_URLS[kind][0], *facts.SIGNED_URLS[kind][1]]
        others = [p for p in self.pairs if p[0].decode("latin-1") not in parts]
        operations = [text_of(n) for n, _ in others if text_of(n) in facts.OPERATIONS]
        self.judge_operations(key, operations)
        arguments = self.arguments(key, operations)
        for name, _ in others:
            name = text_of(name)
            if name in facts.OPERATIONS or is_modifier(name) or is_signature_part(name.encode()):
                continue
            if name == "" or name in arguments or name.lower() in facts.BESIDE_SIGNATURE:
                self.maybe.add("parameter_not_allowed")
            elif operations or not key or self.request.method in facts.WRITES:
                # These name what passes; a signed URL may be less strict.
                (self.maybe if self.forwards(name) else self.reasons).add("parameter_not_allowed")
            elif not self.forwards(name):
                self.reasons.add("parameter_not_allowed")
        return Leave("passed", key)

    def signed(self, decoded, signature, how):
        if how == "require":
            self.reasons.add("presigned_url_required")
        params, optional = self.pairs, []
        if signature and (how == "refuse" or (how == "strip" and not self.on_cluster)):
            self.reasons.add("presigned_url")
        elif how == "strip":
            params = [p for p in params if not is_signature_part(p[0])]
            beside = [p for p in params if text_of(p[0]).lower() in facts.BESIDE_SIGNATURE]
            if beside and (signature and self.on_cluster):
                exact = ("Expires", *facts.BESIDE_SIGNATURE)
                # Of another case of letters, the documents do not say it.
                optional = [p for p in beside if text_of(p[0]) not in exact]
                params = [p for p in params if p not in beside]
            elif beside:
                self.maybe.add("parameter_not_allowed")
                params = [p for p in params if p not in beside]
                optional = beside
        key = self.key(decoded)
        left, choice = self.judge_params(key, params)
        self.judge_headers()
        self.judge_length(key)
        return Leave("signed", key, left, choice + optional)

    def key(self, decoded):
        strip = self.settings["strip_prefix"].encode()
        if not decoded.startswith(strip):
            self.reasons.add("outside_prefix")
        rest = decoded[len(strip) :]
        if self.settings["index_document"]:
            is_read = self.request.method not in facts.WRITES
            is_page = rest.endswith(b"/") or (not rest and not self.is_list())
            if is_read and is_page and not self.operates():
                rest += self.settings["index_document"].encode()
        return self.settings["key_prefix"].encode() + rest

    def operates(self):
        return any(text_of(name) in facts.OPERATIONS for name, _ in self.pairs)

    def is_list(self):
        """Whether `/` asks for the list, where there is an index document, too."""
        names = {text_of(name) for name, _ in self.pairs}
        if self.settings["key_prefix"] or self.request.method not in ("GET", "HEAD"):
            # What begins with a prefix is an object; and a list is read.
            return False
        return "list" in self.settings["operations"] and names & {*facts.ARGUMENTS["list"]}

    def judge_length(self, key):
        if len(key) > 1023:
            self.reasons.add("key_too_long")

    def judge_operations(self, key, operations):
        if any(name not in self.settings["operations"] for name in operations):
            self.reasons.add("parameter_not_allowed")
        if not key and not operations:
            allowed = self.settings["operations"]
            is_read = self.request.method in ("GET", "HEAD")
            if ("list" if is_read else "bucket") not in allowed:
                # Whether a HEAD is a list, the documents do not say.
                is_open = self.request.method == "HEAD" and "bucket" in allowed
                (self.maybe if is_open else self.reasons).add("bucket_operation")
            elif self.settings["index_document"] and not is_read:
                # Whether `/` is the bucket then, the documents do not say.
                self.maybe.add("bucket_operation")

    def arguments(self, key, operations):
        is_read = self.request.method in ("GET", "HEAD")
        of = operations or (["list"] if not key and is_read else [])
        return {name for operation in of for name in facts.ARGUMENTS.get(operation, ())}

    def judge_params(self, key, params):
        """What leaves of the parameters, and what may leave or not."""
        operations = [text_of(n) for n, _ in params if text_of(n) in facts.OPERATIONS]
        self.judge_operations(key, operations)
        arguments = self.arguments(key, operations)
        is_write = self.request.method in facts.WRITES
        is_closed = bool(operations) or not key or is_write
        left, choice = [], []
        for pair in params:
            name = text_of(pair[0])
            if name == "":
                # Nothing is said of a parameter without a name.
                self.maybe.add("parameter_not_allowed")
                choice.append(pair)
            elif name in facts.OPERATIONS or self.settings.names(name):
                left.append(pair)
            elif name in arguments:
                left.append(pair)
                if is_write:
                    self.maybe.add("parameter_not_allowed")
            elif is_closed or is_modifier(name):
                self.reasons.add("parameter_not_allowed")
            elif is_modifier(name.lower()):
                self.maybe.add("parameter_not_allowed")
                choice.append(pair)
            elif self.forwards(name):
                left.append(pair)
            elif not self.on_cluster:
                self.reasons.add("parameter_not_allowed")
        return left, choice

    def forwards(self, name):
        return self.settings["unknown_parameters"] == "forward" or self.settings.names(name)

    def judge_range(self):
        if self.header_names().count("range") > 1:
            self.reasons.add("duplicate_header")

    def header_names(self):
        return [name.lower().decode("latin-1") for name, _ in self.request.headers]

    def judge_headers(self):
        """A header that would be signed and is given twice."""
        names = self.header_names()
        replaced = ours(self.settings, self.request)
        for name in set(names):
            if names.count(name) < 2 or name == "range" or name in replaced:
                continue
            is_content = name in ("content-type", "content-md5")
            if is_content and self.request.method in facts.WRITES:
                # Envoy makes one header of what it knows itself.
                (self.maybe if name == "content-type" else self.reasons).add("duplicate_header")
            elif name.startswith("x-oss-") and matches(self.settings["forward_headers"], name):
                self.reasons.add("duplicate_header")


def ours(settings, request):
    """The headers of OSS's own that a signed request gets from its route."""
    headers = dict(settings["add_headers"])
    ranges = [value for name, value in request.headers if name.lower() == b"range"]
    is_one = bool(ranges) and b"," not in ranges[0]
    if settings["ranges"] == "standard" and request.method == "GET" and is_one:
        headers["x-oss-range-behavior"] = "standard"
    return headers


def allowed_headers(settings, method, kind):
    """The names of a client's headers that leave, and those that may."""
    names = set(facts.READ_HEADERS)
    if method in facts.WRITES:
        names |= facts.WRITE_HEADERS
    optional = {"expect"}
    if kind == "passed":
        optional |= {"content-type", "content-md5"}
    return names - optional, optional, settings["forward_headers"]


def decoded_pair(piece):
    name, _, value = piece.partition(b"=")
    return tuple(unquote_to_bytes(part.replace(b"+", b" ")) for part in (name, value))


def text_of(name):
    return name.decode("latin-1")


def is_signature_part(name):
    lower = name.lower().decode("latin-1")
    return lower in facts.SIGNATURE_PARTS or lower.startswith("x-amz-")


def is_modifier(name):
    return name in facts.MODIFIERS or name.startswith("x-oss-")


def whole_kind(pairs, signature):
    """Which kind of signed URL it is, if it is a whole one."""
    names = [text_of(name) for name, _ in pairs]
    for kind, (required, optional) in facts.SIGNED_URLS.items():
        known = {*required, *optional}
        # AWS has more of them than its SDKs must send.
        more = {text_of(name) for name, _ in signature if name.startswith(b"X-Amz-")}
        known |= more if kind == "AWS" else set()
        if any(text_of(name) not in known for name, _ in signature):
            continue
        values = {text_of(name): text_of(value) for name, value in pairs}
        if any(names.count(name) != 1 or not values[name] for name in required):
            continue
        if any(names.count(name) > 1 or values.get(name) == "" for name in known):
            continue
        if all(value in (None, values[name]) for name, value in required.items()):
            return kind
    return None


UNRESERVED = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~"
RAW_IN_PATH = UNRESERVED + b"/!$&'()*+,;=:@|[]"
HEX = b"0123456789abcdefABCDEF"


def is_unambiguous_path(path):
    at = 0
    while at < len(path):
        if path[at] == 0x25:
            digits = path[at + 1 : at + 3]
            if len(digits) != 2 or any(digit not in HEX for digit in digits):
                return False
            if int(digits, 16) in UNRESERVED + b"/":
                return False
            at += 3
        elif path[at] in RAW_IN_PATH:
            at += 1
        else:
            return False
    return True


def is_unambiguous_query(query):
    for at, byte in enumerate(query):
        if not 0x21 <= byte <= 0x7E or byte == 0x23:
            return False
        if byte == 0x25:
            digits = query[at + 1 : at + 3]
            if len(digits) != 2 or any(digit not in HEX for digit in digits):
                return False
    # A pair without a name is one, if it has a value.
    return not query or not {b"", b"="} & set(query.split(b"&"))
