//! The filter in each version of Envoy that it is made for.

use crate::common::Stack;
use testkit::tools::{ENVOYS, envoy_version};
use testkit::{Position, Request};

#[test]
fn each_version_serves_an_object() {
    for version in ENVOYS {
        let mut stack = Stack::start_with(|builder| builder.binary = envoy_version(version));
        let told = stack.envoy.admin("/server_info");
        assert!(told.contains(&format!("/{version}/")), "{version}: {told}");
        for position in [Position::Upstream, Position::Downstream] {
            let response = Request::get("/a").send(stack.envoy.port(position));
            let served = (response.status, response.text());
            assert_eq!(served, (200, "content".into()), "{version} {position:?}");
        }
        stack.envoy.process.assert_running();
    }
}
