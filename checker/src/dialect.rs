//! The words in which routes are written: Envoy's, or those of the manifests from which
//! gateways make Envoy's.

/// Whose words these are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Envoy's.
    Envoy,
    /// Those of Istio's `VirtualService`.
    VirtualService,
    /// Those of the Gateway API's `HTTPRoute`.
    HttpRoute,
    /// Those of an `Ingress` of Higress.
    Ingress,
}

impl Dialect {
    /// What a field of Envoy's route is called: one of its action, or `match.prefix`.
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

    /// Whether routes without a timeout get Envoy's.
    pub fn has_default_timeout(self) -> bool {
        match self {
            Dialect::Envoy | Dialect::HttpRoute => true,
            // Both write 0 where none is given.
            Dialect::VirtualService | Dialect::Ingress => false,
        }
    }
}

/// Envoy's name of a field; those of a `VirtualService`, an `HTTPRoute`, an `Ingress`.
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
