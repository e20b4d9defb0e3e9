//! A sidecar whose roles are those of the fake STS.

use std::process::Command;

use testkit::process::scratch;
use testkit::{FakeAlibaba, Process, tools};

pub const ROLE: &str = "acs:ram::1234567890:role/oss-reader";
pub const CALLER_SECRET: &str = "sesame-of-the-caller";

/// STS with both roles, and the key that may assume them.
pub fn alibaba() -> FakeAlibaba {
    let alibaba = FakeAlibaba::start();
    alibaba.add_key("LTAIcaller", CALLER_SECRET, None, None);
    alibaba.add_role(ROLE, None);
    alibaba.add_role("acs:ram::1234567890:role/external", Some("of-our-partner"));
    alibaba
}

/// A sidecar with the credentials `default` and `external`, of the two roles, and
/// `fixed`, the caller's own key; and its port.
pub fn start(alibaba: &FakeAlibaba, secret: &str) -> (Process, u16) {
    let secret_file = scratch("secret");
    std::fs::write(&secret_file, format!("{secret}\n")).unwrap();
    let key = format!(
        "access_key_id_env = \"TEST_CALLER\"\naccess_key_secret_file = {:?}",
        secret_file.display().to_string()
    );
    let sts = format!("sts_endpoint = \"http://127.0.0.1:{}\"", alibaba.sts_port);
    let file = scratch("sidecar.toml");
    let settings = format!(
        "listen = \"127.0.0.1:0\"\ntimeout_ms = 30000\n\
         [credentials.default]\ntype = \"assume_role\"\nrole_arn = \"{ROLE}\"\n{sts}\n{key}\n\
         [credentials.external]\ntype = \"assume_role\"\n\
         role_arn = \"acs:ram::1234567890:role/external\"\nexternal_id = \"of-our-partner\"\n\
         session_name = \"gateway\"\n{sts}\n{key}\n\
         [credentials.fixed]\ntype = \"static\"\n{key}\n"
    );
    std::fs::write(&file, settings).unwrap();
    testkit::sidecar::start(
        Command::new(tools::sidecar())
            .arg("--config")
            .arg(&file)
            .env("TEST_CALLER", "LTAIcaller"),
    )
}
