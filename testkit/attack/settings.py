"""Random settings of routes, and the routes of Envoy that go with them."""

import json
import re
from dataclasses import dataclass

import facts
import model

CREDENTIALS = ("default", "second", "fixed")


@dataclass
class Route:
    """A route, which a request chooses by its user agent."""

    name: str
    on_cluster: bool
    # What lies over the defaults, and where it is written: `routes` or `metadata`.
    own: dict
    place: str
    settings: model.Settings
    # Of a route among the listener's: does it set the host that the settings describe?
    rewrites_host: bool = True
    by_regex: bool = False


def random_own(random, on_cluster):
    """The settings of one route."""
    own = {}

    def maybe(chance, name, make):
        if random.random() < chance:
            own[name] = make()

    maybe(0.3, "bucket", lambda: random.choice(facts.BUCKETS))
    maybe(0.3, "region", lambda: random.choice(facts.REGIONS))
    maybe(0.2, "signature_version", lambda: random.choice(["v1", "v1", "v4"]))
    maybe(0.5, "credentials", lambda: random.choice(CREDENTIALS))
    maybe(0.04, "enabled", lambda: False)
    maybe(0.03 if own.get("enabled", True) else 0, "deny", lambda: True)
    maybe(0.6, "methods", lambda: some(random, facts.METHODS, 1))
    maybe(0.5, "operations", lambda: random_operations(random, own))
    maybe(0.5, "forward_parameters", lambda: some(random, PARAMETERS))
    maybe(0.3, "unknown_parameters", lambda: random.choice(["strip", "forward", "forward"]))
    maybe(0.6, "presigned_urls", lambda: random.choice(["refuse", "strip", "pass", "require"]))
    maybe(0.4, "forward_headers", lambda: some(random, HEADERS))
    odd = on_cluster and random.random() < 0.3
    maybe(0.5, "strip_prefix", lambda: random.choice(ODD_STRIPS if odd else STRIPS))
    maybe(0.4, "key_prefix", lambda: random.choice(ODD_PREFIXES if odd else PREFIXES))
    maybe(0.3, "index_document", lambda: random.choice(["index.html", "home/main.htm"]))
    maybe(0.3, "dot_segments", lambda: random.choice(["literal", "refuse", "refuse"]))
    maybe(0.15, "path_encoding", lambda: random.choice(["any", "canonical", "canonical"]))
    maybe(0.3, "endpoint", lambda: random.choice(facts.ENDPOINTS))
    maybe(0.2, "addressing", lambda: random.choice(["virtual_hosted", "path_style", "cname"]))
    maybe(0.3, "errors", lambda: random.choice(["oss", "neutral"]))
    maybe(0.2, "cause_header", lambda: True)
    maybe(0.2, "access_log_fields", lambda: True)
    maybe(0.2, "strip_response_headers", lambda: some(random, ["x-oss-*", "server", "etag"]))
    maybe(0.3, "ranges", lambda: random.choice(["standard", "oss"]))
    maybe(0.3, "forced_download", lambda: random.choice(["remove", "keep"]))
    adds = 0.0 if own.get("presigned_urls") == "require" else 0.3
    maybe(adds, "add_headers", lambda: dict(some(random, ADDED, 1)))
    return own


def some(random, pool, least=0):
    return random.sample(pool, random.randint(least, min(len(pool), 4)))


def random_operations(random, own):
    # Signature V1 covers what its SDK knows, and no other operation.
    is_v1 = own.get("signature_version") == "v1"
    pool = sorted(facts.OPERATIONS)
    if is_v1:
        # What oss2, which judges V1, does not sign: the other SDK does.
        pool = [name for name in facts.OLD_OPERATIONS if name != "cloudboxes"]
    chosen = random.sample(pool, random.randint(0, 4))
    common = ["list", "bucket", "acl", "tagging", "uploads", "versions", "uploadId"]
    return sorted({*chosen, *random.sample(common, random.randint(0, 4))})


PARAMETERS = (
    "versionId x-oss-process x-oss-* response-* response-content-type foo utm_* prefix rule-id "
    "x-oss-traffic-limit"
).split()
HEADERS = "x-oss-meta-* x-oss-storage-class x-custom x-tenant-* referer cookie".split()
ADDED = [
    ("x-oss-request-payer", "requester"),
    ("x-oss-traffic-limit", "819200"),
    ("x-oss-meta-a", "of the route"),
]
STRIPS = ["/", "/media/", "/m-1/deep/"]
ODD_STRIPS = ["/a b/", "/m/\u00e9/", "/100%/", "/media//"]
PREFIXES = ["", "site/", "site", "deep/er/x-"]
ODD_PREFIXES = ["a b/", "\u00e9/", "50%/", "+/"]


def random_defaults(random):
    return {
        "bucket": random.choice(facts.BUCKETS),
        "region": random.choice(facts.REGIONS),
        "endpoint": random.choice(facts.ENDPOINTS),
    }


def random_routes(random, count):
    """The defaults, and so many routes for each position."""
    defaults = random_defaults(random)
    routes = []
    for on_cluster in (True, False):
        for number in range(count):
            own = random_own(random, on_cluster)
            settings = model.Settings({**model.DEFAULTS, **defaults, **own})
            if settings["index_document"] and not on_cluster:
                # No rewrite can tell operations from the index by the path alone.
                own["operations"] = settings["operations"] = []
            if settings["addressing"] == "cname":
                own["endpoint"] = settings["endpoint"] = facts.CNAMES[settings["bucket"]]
            routes.append(
                Route(
                    name=f"{'c' if on_cluster else 'l'}{number}",
                    on_cluster=on_cluster,
                    own=own,
                    place=random.choice(["routes", "routes", "metadata"]),
                    settings=settings,
                    # V1 does not sign the host, so nothing would tell a wrong one.
                    rewrites_host=random.random() < 0.8 or settings["signature_version"] == "v1",
                    by_regex=random.random() < 0.4,
                )
            )
    return defaults, routes


class Rewrite:
    """What a route among the listener's makes of the path, as its settings describe."""

    def __init__(self, route):
        settings = route.settings
        self.by_regex = route.by_regex
        self.prefix = settings["strip_prefix"]
        bucket = f"/{settings['bucket']}" if settings["addressing"] == "path_style" else ""
        self.into = f"{bucket}/{settings['key_prefix']}"
        self.index = settings["index_document"]
        self.folders = f"{re.escape(self.prefix)}((?:.*/)?)"

    def envoy_routes(self, route, cluster):
        """The routes of Envoy, the first that matches first."""
        action = {"cluster": cluster, "timeout": "120s"}
        if route.rewrites_host:
            action["host_rewrite_literal"] = route.settings.host()
        if self.index:
            rewrite = regex_rewrite(f"^{self.folders}$", f"{self.into}\\1{self.index}")
            match = {"safe_regex": {"regex": self.folders}, "headers": [READS]}
            yield match, {**action, "regex_rewrite": rewrite}
        if self.by_regex:
            rewrite = regex_rewrite(f"^{re.escape(self.prefix)}(.*)$", f"{self.into}\\1")
            yield {"prefix": self.prefix}, {**action, "regex_rewrite": rewrite}
        else:
            yield {"prefix": self.prefix}, {**action, "prefix_rewrite": self.into}
        yield {"prefix": "/"}, action

    def apply(self, target, method):
        """The target as it leaves Envoy."""
        path, mark, query = target.partition(b"?")
        prefix, into = self.prefix.encode(), self.into.encode()
        folders = re.fullmatch(self.folders.encode(), path, re.DOTALL)
        if folders and self.index and method in ("GET", "HEAD", "OPTIONS"):
            path = into + folders.group(1) + self.index.encode()
        elif path.startswith(prefix):
            path = into + path[len(prefix) :]
        return path + mark + query


READS = {"name": ":method", "string_match": {"safe_regex": {"regex": "GET|HEAD|OPTIONS"}}}


def regex_rewrite(regex, substitution):
    return {"pattern": {"regex": regex}, "substitution": substitution}


def filter_config(defaults, routes, credentials):
    """The filter's own configuration."""
    return {
        "credentials": credentials,
        "defaults": defaults,
        "metadata": ["route"],
        "routes": {
            # What the listener's filter is not to sign.
            "app": {"enabled": False},
            **{route.name: route.own for route in routes if route.place == "routes"},
        },
        "wait_timeout_ms": 60_000,
    }


def virtual_host(routes, on_cluster):
    """The routes of a listener: those of another cluster first."""
    found = [{"name": "app", "match": {"prefix": "/app/"}, "route": {"cluster": "app"}}]
    for route in routes:
        if route.on_cluster != on_cluster:
            continue
        agent = {"name": "user-agent", "string_match": {"prefix": f"{route.name}/"}}
        if on_cluster:
            made = [({"prefix": "/"}, {"cluster": "oss_signed", "timeout": "120s"})]
        else:
            made = Rewrite(route).envoy_routes(route, "oss_plain")
        for match, action in made:
            match = {**match, "headers": [agent, *match.get("headers", [])]}
            one = {"name": route.name, "match": match, "route": action}
            if route.place == "metadata":
                one["metadata"] = {
                    "filter_metadata": {"oss_origin_auth": {"config": json.dumps(route.own)}}
                }
            found.append(one)
    return {"name": "all", "domains": ["*"], "routes": found}
