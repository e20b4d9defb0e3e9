//! `envoy/edge.yaml`, asked by a client of HTTP/2: curl.

use std::process::Command;

use crate::common::certificate::self_signed;
use crate::common::{SECRET, TOKEN, good_answer};
use testkit::shipped::Shipped;
use testkit::{FakeAlibaba, StubSidecar};

#[test]
fn the_edge_speaks_http2_and_asks_the_internal_endpoint() {
    let alibaba = FakeAlibaba::start();
    alibaba.put("a", "content of a");
    alibaba.add_key("STS.example", SECRET, Some(TOKEN), None);
    let stub = StubSidecar::start(good_answer());
    let certificate = self_signed("media.example.com");
    let folder = certificate.folder.display().to_string();
    let more = [("TLS_FOLDER", folder.as_str())];
    let envoy = Shipped::start_with("edge.yaml", alibaba.oss_port, stub.port, &more, |text| text);
    for version in ["--http2", "--http1.1"] {
        let output = Command::new("curl")
            .args(["--silent", "--show-error", version, "--cacert"])
            .arg(certificate.folder.join("tls.crt"))
            .args([
                "--resolve",
                &format!("media.example.com:{}:127.0.0.1", envoy.port),
            ])
            .args(["--write-out", " %{http_version} %{http_code}"])
            .arg(format!("https://media.example.com:{}/a", envoy.port))
            .output()
            .expect("curl; `cargo xtask test --all` installs it");
        let want = match version {
            "--http2" => "content of a 2 200",
            _ => "content of a 1.1 200",
        };
        assert_eq!(String::from_utf8_lossy(&output.stdout), want, "{output:?}");
    }
    assert_eq!(
        alibaba.seen()[0].header("host"),
        ["demo-bucket.oss-cn-hangzhou-internal.aliyuncs.com"]
    );
}
