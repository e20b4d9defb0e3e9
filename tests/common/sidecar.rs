//! A sidecar whose roles are those of the fake STS.

use std::path::PathBuf;
use std::process::Command;

use testkit::process::{scratch, wait_until};
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
        tools::sidecar()
            .arg("--config")
            .arg(&file)
            .env("TEST_CALLER", "LTAIcaller"),
    )
}

/// Sends SIGHUP, and waits until the log says `want`, once more than before.
pub fn hangup(process: &Process, want: &str) {
    let said = || process.output().matches(want).count();
    let before = said();
    let id = process.id().to_string();
    let sent = Command::new("kill").args(["-HUP", &id]).status();
    assert!(sent.unwrap().success());
    wait_until(want, || said() > before);
}

/// A sidecar with one role, for tests that start it more than once.
pub struct Configured {
    pub file: PathBuf,
    pub socket: PathBuf,
    /// The settings of the key pair.
    pub key: String,
}

impl Configured {
    /// `listen`: its first lines, in which SOCKET is the path of a socket.
    pub fn new(alibaba: &FakeAlibaba, listen: &str) -> Configured {
        let socket = scratch("s");
        let key = "access_key_id_env = \"TEST_CALLER\"\n\
                   access_key_secret_env = \"TEST_SECRET\"\n"
            .to_owned();
        let settings = format!(
            "{}\n[credentials.default]\ntype = \"assume_role\"\nrole_arn = \"{ROLE}\"\n\
             sts_endpoint = \"http://127.0.0.1:{}\"\n{key}",
            listen.replace("SOCKET", socket.to_str().unwrap()),
            alibaba.sts_port
        );
        let file = scratch("sidecar.toml");
        std::fs::write(&file, settings).unwrap();
        Configured { file, socket, key }
    }

    pub fn command(&self, task: &str) -> Command {
        let mut command = tools::sidecar();
        command.args((!task.is_empty()).then_some(task));
        command.arg("--config").arg(&self.file);
        command.env("TEST_CALLER", "LTAIcaller");
        command.env("TEST_SECRET", CALLER_SECRET);
        command
    }

    pub fn start(&self) -> Process {
        Process::start("sidecar", &mut self.command(""))
    }

    pub fn probe(&self) -> Option<i32> {
        self.command("probe").output().unwrap().status.code()
    }
}
