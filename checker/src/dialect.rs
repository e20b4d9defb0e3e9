//! The formats of routes: Envoy's own, or that of the manifests that gateways translate for
//! Envoy.

/// The format of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Envoy's own format.
    Envoy,
    /// The format of Istio's `VirtualService`.
    VirtualService,
    /// The format of the Gateway API's `HTTPRoute`.
    HttpRoute,
    /// The format of an `Ingress` of Higress.
    Ingress,
}

impl Dialect {
    /// The name in this format of a field of Envoy's route: a field of its action, or
    /// `match.prefix`.
    pub fn field(self, name: &str) -> String {
        let known = FIELDS.iter().find(|(envoy, _)| *envoy == name);
        let [istio, gateway, higress] = known.map_or([name; 3], |(_, names)| *names);
        match self {
            Dialect::Envoy if name.starts_with("match.") => name.to_owned(),
            Dialect::Envoy => format!("route.{name}"),
            Dialect::VirtualService => istio.to_owned(),
            Dialect::HttpRoute => gateway.to_owned(),
            Dialect::Ingress => higress.to_owned(),
        }
    }

    /// Whether Envoy's default timeout holds for routes without one.
    pub fn has_default_timeout(self) -> bool {
        match self {
            Dialect::Envoy | Dialect::HttpRoute => true,
            // Both gateways write 0 where no timeout is given.
            Dialect::VirtualService | Dialect::Ingress => false,
        }
    }
}

/// Envoy's name of a field, with the names in a `VirtualService`, an `HTTPRoute` and an
/// `Ingress`.
const FIELDS: [(&str, [&str; 3]); 6] = [
    (
        "host_rewrite_literal",
        [
            "rewrite.authority",
            "filters.urlRewrite.hostname",
            "annotations.higress.io/upstream-vhost",
        ],
    ),
    (
        "prefix_rewrite",
        [
            "rewrite.uri",
            "filters.urlRewrite.path",
            "annotations.higress.io/rewrite-target",
        ],
    ),
    (
        "regex_rewrite",
        [
            "rewrite.uriRegexRewrite",
            "filters.urlRewrite.path",
            "annotations.higress.io/rewrite-target",
        ],
    ),
    (
        "timeout",
        [
            "timeout",
            "timeouts.request",
            "annotations.higress.io/timeout",
        ],
    ),
    (
        "match.prefix",
        ["match.uri.prefix", "matches.path", "paths.path"],
    ),
    (
        "request_mirror_policies",
        [
            "mirrors",
            "filters.requestMirror",
            "annotations.higress.io/mirror-target-service",
        ],
    ),
];
