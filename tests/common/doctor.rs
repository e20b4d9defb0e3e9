//! `oss-origin-auth doctor`, and what it prints.

use std::process::Command;

use serde_json::{Value, json};
use testkit::alibaba::{BUCKET, ENDPOINT, REGION};
use testkit::process::scratch;
use testkit::{FakeAlibaba, tools};

use super::{SECRET, TOKEN};

/// The id of the key that the doctor signs with, of which only the begin and the end may be
/// shown.
pub const KEY: &str = "STS.middle-of-the-key-1234";

/// What the doctor is told.
pub struct Doctor {
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
}

impl Doctor {
    /// With the settings of a file of the filter, in which `more` stands in the defaults, at
    /// a fake OSS by plain HTTP; the object is `a`.
    pub fn of_file(alibaba: &FakeAlibaba, more: &Value) -> Doctor {
        Doctor::at(alibaba, alibaba.oss_port, more).with(&["--object", "a"])
    }

    /// The same without an object, with what listens on this port in OSS's place.
    pub fn at(alibaba: &FakeAlibaba, port: u16, more: &Value) -> Doctor {
        let (file, place) = (settings(more), format!("127.0.0.1:{port}"));
        let arguments = ["--config", &file, "--connect", &place, "--plain-http"];
        Doctor::new(alibaba, &arguments)
    }

    /// With these arguments; the credentials are [`KEY`]'s.
    pub fn new(alibaba: &FakeAlibaba, arguments: &[&str]) -> Doctor {
        let sts = format!("http://127.0.0.1:{}", alibaba.sts_port);
        Doctor {
            arguments: Vec::new(),
            environment: Vec::new(),
        }
        .with(arguments)
        .set("ALIBABA_CLOUD_STS_ENDPOINT", &sts)
        .set("ALIBABA_CLOUD_ACCESS_KEY_ID", KEY)
        .set("ALIBABA_CLOUD_ACCESS_KEY_SECRET", SECRET)
        .set("ALIBABA_CLOUD_SECURITY_TOKEN", TOKEN)
    }

    pub fn with(mut self, arguments: &[&str]) -> Doctor {
        let arguments = arguments.iter().map(|argument| (*argument).to_owned());
        self.arguments.extend(arguments);
        self
    }

    /// Sets a variable, or takes it off if it is empty.
    pub fn set(mut self, name: &str, value: &str) -> Doctor {
        self.environment.retain(|(known, _)| known != name);
        if !value.is_empty() {
            self.environment.push((name.into(), value.into()));
        }
        self
    }

    /// With the credentials of these settings of the sidecar.
    pub fn by_sidecar(self, settings: &str) -> Doctor {
        let file = scratch("sidecar.toml");
        std::fs::write(&file, settings).unwrap();
        let file = file.display().to_string();
        self.with(&["--sidecar-config", &file])
            .set("ALIBABA_CLOUD_ACCESS_KEY_ID", "")
            .set("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "")
            .set("ALIBABA_CLOUD_SECURITY_TOKEN", "")
    }

    /// What it says to programs.
    pub fn json(&self) -> Said {
        let (code, text) = self.run(&["--json"]);
        let checks = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        Said { code, checks, text }
    }

    /// What it says to a person, and the exit status.
    pub fn text(&self) -> (i32, String) {
        self.run(&[])
    }

    fn run(&self, more: &[&str]) -> (i32, String) {
        let environment = self.environment.iter();
        let output = Command::new(tools::cli())
            .arg("doctor")
            .args(&self.arguments)
            .args(more)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .envs(environment.map(|(name, value)| (name, value)))
            .output()
            .unwrap();
        let [out, err] = [&output.stdout, &output.stderr].map(|bytes| {
            let text = String::from_utf8(bytes.clone()).unwrap();
            assert_without_secrets(&text);
            text
        });
        assert!(!err.contains("panicked"), "{err}");
        let code = output.status.code().unwrap();
        (code, if out.is_empty() { err } else { out })
    }
}

/// Whatever it prints can be pasted into a ticket.
fn assert_without_secrets(text: &str) {
    for secret in [
        "sesame",
        TOKEN,
        "CAIS",
        "middle-of-the-key",
        "Signature=",
        "OSS4-HMAC",
        "StringToSign",
        "\u{1b}",
    ] {
        assert!(!text.contains(secret), "{secret} is in\n{text}");
    }
}

/// A file of the filter, in which `more` stands in the defaults.
pub fn settings(more: &Value) -> String {
    let mut settings = json!({
        "credentials": {"default": {"sidecar": {"cluster": "sts_sidecar"}}},
        "defaults": {"bucket": BUCKET, "region": REGION, "endpoint": ENDPOINT,
                     "forced_download": "remove"},
    });
    for (name, value) in more.as_object().unwrap() {
        settings["defaults"][name] = value.clone();
    }
    if more["access"].is_object() {
        settings["url_keys"] = json!({"default": {"key_env": "URL_KEY"}});
    }
    let file = scratch("settings.json");
    std::fs::write(&file, settings.to_string()).unwrap();
    file.display().to_string()
}

/// What it said.
pub struct Said {
    pub code: i32,
    checks: Vec<Value>,
    pub text: String,
}

impl Said {
    /// What it said of a check.
    pub fn check(&self, name: &str) -> &Value {
        let found = self.checks.iter().find(|check| check["check"] == name);
        found.unwrap_or_else(|| panic!("{name} is missing:\n{}", self.text))
    }

    /// The checks that ended so.
    pub fn that_are(&self, result: &str) -> Vec<&str> {
        let those = self.checks.iter().filter(|check| check["result"] == result);
        those
            .map(|check| check["check"].as_str().unwrap())
            .collect()
    }

    /// The check has ended so, and what it says holds this.
    #[track_caller]
    pub fn assert(&self, name: &str, result: &str, says: &str) {
        let check = self.check(name);
        let said = format!("{}; {}", check["seen"], check["fix"]).replace("\\\"", "\"");
        let holds = check["result"] == result && said.contains(says);
        assert!(holds, "{name}: {result}, {says}\n{}", self.text);
        // Wrong arguments have a status of their own.
        let fits = result != "failed" || [1, 2].contains(&self.code);
        assert!(fits, "{}: {}", self.code, self.text);
    }
}

/// An OSS that knows the key, with the object `a`.
pub fn alibaba() -> FakeAlibaba {
    prepared(FakeAlibaba::start())
}

pub fn prepared(alibaba: FakeAlibaba) -> FakeAlibaba {
    alibaba.put("a", "content of the object");
    alibaba.add_key(KEY, SECRET, Some(TOKEN), None);
    alibaba.read_only(KEY);
    alibaba
}
