//! Among the listener's filters: Envoy selects the route again when a filter changes the
//! path or the host. A signed request must not come to another cluster by that.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test support")]

use serde_json::{Value, json};
use testkit::{EnvoyBuilder, Position, Recorder, Request, Response};

use crate::common::Stack;
use crate::stage::{assert_none, assert_refused, oss_host, with_endpoint};

/// OSS, and another cluster with routes of its own, named `other`, on which the filter
/// is off.
struct Scene {
    stack: Stack,
    other: Recorder,
}

impl Scene {
    fn start(adapt: impl FnOnce(&mut EnvoyBuilder)) -> Scene {
        let other = Recorder::start();
        let stack = Stack::start_with(|builder| {
            with_endpoint(builder);
            builder.clusters = vec![("other".into(), other.port)];
            builder.filter["routes"] = json!({"other": {"enabled": false}});
            adapt(builder);
        });
        Scene { stack, other }
    }

    /// Asks, and fails if the other cluster is asked.
    fn ask(&self, path: &str) -> Response {
        let response = Request::get(path).send(self.stack.envoy.port(Position::Downstream));
        let what = format!("{path} was not of the other cluster, and came to it");
        assert_none(&self.other.seen(), &what);
        response
    }

    fn assert_serves(&self, path: &str, key: &str) {
        self.stack.alibaba.put(key, key);
        let response = self.ask(path);
        let found = (response.status, response.text());
        assert_eq!(found, (200, key.to_owned()), "{path}");
    }
}

fn to_other(matching: Value) -> Value {
    json!({"name": "other", "match": matching, "route": {"cluster": "other"}})
}

#[test]
fn a_path_behind_a_check_is_not_reached_by_another_spelling() {
    let rbac = "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC";
    let nobody = json!({"action": "DENY", "policies": {"all": {
        "permissions": [{"any": true}], "principals": [{"any": true}]}}});
    let scene = Scene::start(|builder| {
        let mut closed = to_other(json!({"prefix": "/app/"}));
        closed["typed_per_filter_config"] = json!({"envoy.filters.http.rbac": {
            "@type": format!("{rbac}PerRoute"), "rbac": {"rules": nobody}}});
        builder.routes = vec![closed];
        builder.http_filters =
            vec![json!({"name": "envoy.filters.http.rbac", "typed_config": {"@type": rbac}})];
    });
    assert_eq!(scene.ask("/app/admin").status, 403, "the check itself");
    for path in [
        "/%61pp/admin",
        "/app%2Fadmin",
        "/app%2fadmin",
        "/ap%70/admin",
    ] {
        assert_refused(&scene.ask(path), 400, "ambiguous_path", path);
    }
    assert!(scene.stack.alibaba.seen().is_empty(), "they reached OSS");
    scene.assert_serves("/public/a", "public/a");
}

#[test]
fn what_follows_a_stripped_prefix_is_no_path_of_another_cluster() {
    let scene = Scene::start(|builder| {
        builder.filter["routes"]["media"] = json!({"strip_prefix": "/media/"});
        builder.routes = vec![
            to_other(json!({"prefix": "/api/"})),
            json!({"name": "media", "match": {"prefix": "/media/"},
                   "route": {"prefix_rewrite": "/"}}),
        ];
    });
    scene.assert_serves("/media/api/admin", "api/admin");
}

#[test]
fn a_key_prefix_is_no_path_of_another_cluster() {
    let scene = Scene::start(|builder| {
        builder.filter["routes"]["objects"] = json!({"key_prefix": "api/"});
        builder.routes = vec![
            to_other(json!({"prefix": "/api/"})),
            json!({"name": "objects", "match": {"prefix": "/"},
                   "route": {"prefix_rewrite": "/api/"}}),
        ];
    });
    scene.assert_serves("/x", "api/x");
}

#[test]
fn an_index_document_is_no_path_of_another_cluster() {
    let scene = Scene::start(|builder| {
        builder.filter["routes"]["objects"] = json!({"index_document": "index.html"});
        builder.routes = vec![
            to_other(json!({"path": "/d/index.html"})),
            json!({"name": "objects", "match": {"prefix": "/"}, "route": {
                "regex_rewrite": {"pattern": {"regex": "^(.*/)$"},
                                  "substitution": "\\1index.html"}}}),
        ];
    });
    scene.assert_serves("/d/", "d/index.html");
}

#[test]
fn the_endpoint_is_no_host_of_another_cluster() {
    let scene = Scene::start(|builder| {
        builder.virtual_hosts = vec![json!({"name": "other", "domains": [oss_host()],
            "routes": [to_other(json!({"prefix": "/"}))]})];
    });
    scene.assert_serves("/a", "a");
}

#[test]
fn a_parameter_by_which_a_route_was_selected_stays() {
    let scene = Scene::start(|builder| {
        let foo = json!([{"name": "foo", "present_match": true}]);
        builder.filter["routes"]["strips"] = json!({"presigned_urls": "strip"});
        builder.filter["routes"]["forwards"] = json!({"unknown_parameters": "forward"});
        builder.routes = vec![
            json!({"name": "objects", "match": {"prefix": "/x", "query_parameters": foo},
                   "route": {}}),
            json!({"name": "strips", "route": {}, "match": {"prefix": "/y",
                   "query_parameters": [{"name": "Signature", "present_match": true}]}}),
            json!({"name": "forwards", "route": {}, "match": {"prefix": "/z",
                   "query_parameters": [{"name": "foo", "string_match": {"prefix": "%"}}]}}),
            to_other(json!({"prefix": "/"})),
        ];
    });
    let refused = scene.ask("/x?foo=1");
    assert_refused(&refused, 403, "parameter_not_allowed", "/x?foo=1");
    let signed = "/y?OSSAccessKeyId=i&Expires=9999999999&Signature=s";
    assert_refused(&scene.ask(signed), 403, "presigned_url", signed);
    // The same parameter in another spelling is another to a route.
    scene.stack.alibaba.put("z", "z");
    assert_eq!(scene.ask("/z?foo=%61").status, 200);
}
