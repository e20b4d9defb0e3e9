"""Compares what became of a request with the model, and with what must always hold."""

import re
from dataclasses import dataclass
from urllib.parse import quote

import facts
import model
import settings as route_settings


@dataclass
class Finding:
    """What is wrong, in a form that is the same for all of its class."""

    kind: str
    detail: str


class Checker:
    def __init__(self, routes, world, secrets):
        self.routes = {route.name: route for route in routes}
        self.world, self.secrets = world, secrets

    def findings(self, request, answer, arrivals):
        """All that is wrong with one request."""
        yield from self.always(request, answer, arrivals)
        yield from self.by_model(request, answer, arrivals)

    def always(self, request, answer, arrivals):
        """What holds whatever the model says."""
        if answer.is_missing:
            yield Finding("no answer", answer.summary())
        texts = answer.texts()
        for secret in self.secrets:
            if secret in texts:
                yield Finding("a secret in the answer", f"{secret[:12]}... in:\n{texts}")
        if answer.value("x-oss-origin-auth") == "internal_error":
            yield Finding("internal_error", texts)
        if len(arrivals) > (2 if answer.is_resent else 1):
            yield Finding("it arrived twice", "\n".join(a.text() for a in arrivals))
        for arrival in arrivals:
            ours = [value for value in arrival.values("authorization") if self.is_ours(value)]
            tokens = arrival.values("x-oss-security-token")
            has_token = any(self.is_ours(value) for value in tokens)
            if arrival.place == "app" and (ours or has_token):
                yield Finding("our signature at another cluster", arrival.text())
            if ours and arrival.judged not in ("accepted", "mismatch"):
                yield Finding(f"signed, and {arrival.judged}", arrival.text())

    def is_ours(self, value):
        return any(secret.encode() in value for secret in self.secrets)

    def by_model(self, request, answer, arrivals):
        if answer.status == 0 and not answer.is_missing and not request.is_odd():
            yield Finding("the connection ends without an answer", answer.summary())
        route = self.routes[request.route]
        place = "oss"
        if request.seen().startswith(b"/app/"):
            place = "app"
        if arrivals and arrivals[0].place != place:
            yield Finding("another cluster than the route's", arrivals[0].text())
            return
        if place == "app":
            return
        verdict = model.verdict(route.on_cluster, route.settings, request)
        reason = answer.value("x-oss-origin-auth")
        if not arrivals:
            yield from self.refused(request, answer, reason, verdict)
        elif verdict.leave is None:
            yield Finding(
                f"it leaves, but: {sorted(verdict.reasons)[0]}",
                f"{arrivals[0].text()}\nexpected {sorted(verdict.reasons)}",
            )
        else:
            yield from self.left(route, request, arrivals[0], verdict.leave)

    def refused(self, request, answer, reason, verdict):
        if reason is None:
            # Envoy itself, which has a right to where the request is odd.
            if not request.is_odd() and not answer.is_missing and answer.status:
                wanted = verdict.leave.kind if verdict.leave else sorted(verdict.reasons)
                yield Finding(f"Envoy refuses with {answer.status}", f"expected: {wanted}")
        elif reason not in verdict.reasons:
            wanted = verdict.leave.kind if verdict.leave else ", ".join(sorted(verdict.reasons))
            kind = "it is to leave" if verdict.leave else "for other reasons"
            detail = f"{answer.texts()}\nexpected {wanted}"
            yield Finding(f"refused as {reason}, but {kind}", detail)
        elif facts.STATUS.get(reason) != answer.status:
            yield Finding(f"{reason} with status {answer.status}", answer.texts())

    def left(self, route, request, arrival, leave):
        is_signed = arrival.judged != "unsigned" and leave.kind != "untouched"
        if is_signed != (leave.kind == "signed"):
            found = "signed" if is_signed else "unsigned"
            yield Finding(f"{found}, but: {leave.kind}", arrival.text())
            return
        if arrival.method != request.method:
            yield Finding("another method", arrival.text())
        if arrival.body != request.body and not request.frames_oddly():
            yield Finding("another body", arrival.text())
        yield from self.target(route, request, arrival, leave)
        if leave.kind == "untouched":
            return
        yield from self.headers(route, request, arrival, leave)
        yield from self.host(route, request, arrival, leave)

    def target(self, route, request, arrival, leave):
        if route.on_cluster and leave.kind == "signed":
            yield from self.canonical_target(route, request, arrival, leave)
            return
        wanted = request.seen()
        if not route.on_cluster:
            wanted = route_settings.Rewrite(route).apply(request.seen(), request.method)
        if arrival.target != wanted:
            yield Finding(
                f"{leave.kind}: the target is changed",
                f"{arrival.text()}\nexpected {wanted.decode('latin-1')}",
            )
        elif leave.kind == "signed":
            yield from self.mapped_target(route, arrival, leave)

    def mapped_target(self, route, arrival, leave):
        """That the model, too, means what the route's rewrite made of it."""
        path, _, query = arrival.target.partition(b"?")
        pairs = [model.decoded_pair(piece) for piece in query.split(b"&")] if query else []
        if model.unquote_to_bytes(path) != self.path(route, leave):
            yield Finding("the rewrite gives another key", f"{arrival.text()}\n{leave}")
        else:
            yield from self.parameters(arrival, leave, pairs)

    def path(self, route, leave):
        style = route.settings["addressing"] == "path_style"
        bucket = b"/" + route.settings["bucket"].encode() if style else b""
        return bucket + b"/" + leave.key

    def canonical_target(self, route, request, arrival, leave):
        path, _, query = arrival.target.partition(b"?")
        wanted = quote(self.path(route, leave), safe="/~").encode()
        if path != wanted:
            yield Finding("signed: another path", f"{arrival.text()}\nexpected {wanted.decode()}")
        pairs = [model.decoded_pair(piece) for piece in query.split(b"&")] if query else []
        parts = [quote(part, safe="~").encode() for pair in pairs for part in pair if part]
        if any(part not in re.split(b"[&=]", query) for part in parts):
            yield Finding("signed: a parameter is not canonical", arrival.text())
        yield from self.parameters(arrival, leave, pairs)

    def parameters(self, arrival, leave, pairs):
        """Those that must be there, and no others than may be."""
        extra = list(pairs)
        for pair in leave.params:
            if pair not in extra:
                yield Finding("signed: a parameter is lost", f"{arrival.text()}\n{leave}")
                return
            extra.remove(pair)
        if any(pair not in leave.choice for pair in extra):
            yield Finding("signed: a parameter is too much", f"{arrival.text()}\n{leave}")

    def headers(self, route, request, arrival, leave):
        names, optional, patterns = model.allowed_headers(
            route.settings, request.method, leave.kind
        )
        is_signed = leave.kind == "signed"
        added = model.ours(route.settings, request) if is_signed else {}
        ours = facts.OUR_HEADERS | added.keys() if is_signed else frozenset()
        for name, value in added.items():
            if arrival.values(name) != [value.encode()]:
                yield Finding(f"signed: the header {name} is not the route's", arrival.text())
        others = set() if route.on_cluster else facts.ROUTER_HEADERS
        for name, value in arrival.headers:
            if name in facts.ROUTER_HEADERS and is_forged(request, name, value):
                yield Finding(f"{leave.kind}: a client's {name} leaves", arrival.text())
            if name in facts.FRAMING_HEADERS or name in ours or name in others:
                continue
            if name not in names and name not in optional and not model.matches(patterns, name):
                kind = f"{leave.kind}: the header {header_class(name)} leaves"
                yield Finding(kind, arrival.text())
        wanted = {}
        for name, value in request.headers:
            name = name.lower().decode("latin-1")
            is_wanted = name in names or model.matches(patterns, name)
            if is_wanted and name not in facts.OUR_HEADERS and name not in added:
                wanted.setdefault(name, []).append(value.strip(b" \t"))
        for name, values in wanted.items():
            if pieces(arrival.values(name)) != pieces(values):
                detail = f"{arrival.text()}\nexpected {name}: {values}"
                yield Finding(f"{leave.kind}: the header {header_class(name)} is lost", detail)

    def host(self, route, request, arrival, leave):
        settings = route.settings
        described = settings.host().encode()
        is_described = arrival.values("host") == [described]
        if (route.on_cluster or route.rewrites_host) and not is_described:
            yield Finding("another host", f"{arrival.text()}\nexpected {described.decode()}")
        if leave.kind != "signed":
            return
        if (arrival.judged == "accepted") != is_described:
            yield Finding(f"signed: the judge says {arrival.judged}", arrival.text())
        if getattr(arrival, "region", settings["region"]) != settings["region"]:
            yield Finding("signed for another region", arrival.text())
        is_v1 = arrival.values("authorization")[0].startswith(b"OSS ")
        if is_v1 != (settings["signature_version"] == "v1"):
            yield Finding("signed with another version", arrival.text())
        wanted = self.world.ids[settings["credentials"]]
        if arrival.key_id != wanted:
            yield Finding("signed with another key", f"{arrival.text()}\nexpected {wanted}")
        if is_described and arrival.bucket != settings["bucket"]:
            yield Finding("another bucket", arrival.text())


def is_forged(request, name, value):
    """Whether a client has sent a header of Envoy's, with what Envoy would not."""
    sent = [v for n, v in request.headers if n.lower() == name.encode()]
    return value in sent and value not in (request.host, request.seen())


def pieces(values):
    """Envoy makes one header of several that it knows, or leaves out an empty one."""
    joined = b",".join(values).replace(b" ", b"").replace(b"\t", b"")
    return [piece for piece in re.split(b"[,;]", joined) if piece]


def header_class(name):
    """Names that stand for many in the class of a finding."""
    return name if name.isascii() and len(name) < 40 else "(odd)"
