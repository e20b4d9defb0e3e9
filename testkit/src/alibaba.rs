//! The fake OSS and STS (testkit/fakes), and its control port.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

pub use crate::generated::{generated, is_generated};
use crate::http::{Request, values};
use crate::process::Process;
use crate::tools;

pub const BUCKET: &str = "demo-bucket";
pub const REGION: &str = "cn-hangzhou";
pub const ENDPOINT: &str = "oss-cn-hangzhou-internal.aliyuncs.com";
/// The host of the bucket at its endpoint.
pub const HOST: &str = "demo-bucket.oss-cn-hangzhou-internal.aliyuncs.com";

#[derive(Debug)]
pub struct FakeAlibaba {
    pub oss_port: u16,
    /// The port of OSS by TLS, if it was started with a certificate.
    pub oss_tls_port: Option<u16>,
    pub sts_tls_port: Option<u16>,
    pub sts_port: u16,
    pub control_port: u16,
    pub process: Process,
}

/// An error of OSS that can be planted, which is a row of the tables in testkit/fakes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub name: String,
    pub status: u16,
    pub code: String,
    pub ec: String,
}

/// The operations that the role of `docs/ALIBABA-SETUP.md` may do.
pub const READ_ONLY: [&str; 1] = ["GetObject"];

/// A request as the fake OSS saw it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: String,
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub status: u64,
    /// OSS's error code; empty if there was none.
    pub code: String,
}

impl FakeAlibaba {
    pub fn start() -> FakeAlibaba {
        FakeAlibaba::start_with(&[])
    }

    /// Starts OSS and STS, by TLS, too. The certificate and its key are in one PEM file.
    pub fn start_with_tls(certificate: &Path) -> FakeAlibaba {
        FakeAlibaba::start_with(&["--tls-certificate", &certificate.display().to_string()])
    }

    fn start_with(arguments: &[&str]) -> FakeAlibaba {
        let mut command = Command::new(tools::python());
        command
            .arg(tools::fakes().join("fake_alibaba.py"))
            .args(["--oss-port", "0", "--sts-port", "0", "--control-port", "0"])
            .args(["--bucket", BUCKET, "--region", REGION])
            .args(arguments);
        let mut process = Process::start("fake-alibaba", &mut command);
        // The ports are not tried: a connection that ends without a request would be the first
        // thing that the servers see.
        let ports: Value = process.wait_for_output("the fake OSS", |output| {
            let mut lines = output.split_inclusive('\n');
            let line = lines.find_map(|line| line.strip_prefix("ready "))?;
            serde_json::from_str(line).ok()
        });
        let port = |name: &str| u16::try_from(ports[name].as_u64()?).ok();
        FakeAlibaba {
            oss_port: port("oss").expect("a port"),
            oss_tls_port: port("oss_tls"),
            sts_tls_port: port("sts_tls"),
            sts_port: port("sts").expect("a port"),
            control_port: port("control").expect("a port"),
            process,
        }
    }

    pub fn put(&self, key: impl AsRef<[u8]>, content: impl AsRef<[u8]>) {
        self.put_into(BUCKET, key, content);
    }

    pub fn put_into(&self, bucket: &str, key: impl AsRef<[u8]>, content: impl AsRef<[u8]>) {
        self.control(
            json!({"command": "put", "bucket": bucket, "key": hex(key.as_ref()),
                            "content": hex(content.as_ref())}),
        );
    }

    /// Stores an object. `more` may set its special properties: `content_type`, `headers` (an
    /// object), `storage_class` (`Archive`: a GET is refused), `encrypted` (`KMS`: not for keys
    /// whose state is `kms`), `kms_state` (of its key: `disabled`, `pending_deletion`,
    /// `key_not_found` or `not_activated`), `redirect` (a URL: 302), `mirror_failed` (424); and
    /// for the body: `pace` (bytes per second), `stall` (`{"at": byte, "seconds": s}`), `cut`
    /// (the byte at which the connection ends) and `cuts` (the number of answers that are cut;
    /// all by default). With `size` in place of a content, the object has so many bytes of
    /// [`generated`], which are not stored.
    pub fn put_object(&self, key: impl AsRef<[u8]>, content: impl AsRef<[u8]>, more: Value) {
        let mut command = json!({"command": "put", "bucket": BUCKET, "key": hex(key.as_ref())});
        for (name, value) in more.as_object().expect("an object") {
            command[name] = value.clone();
        }
        if command["size"].is_null() {
            command["content"] = json!(hex(content.as_ref()));
        } else {
            assert!(content.as_ref().is_empty(), "a size or a content");
        }
        self.control(command);
    }

    /// Adds a key to OSS and STS; `expires` is in seconds since 1970.
    pub fn add_key(&self, id: &str, secret: &str, token: Option<&str>, expires: Option<u64>) {
        self.control(
            json!({"command": "key", "id": id, "secret": secret, "token": token,
                            "expires": expires}),
        );
    }

    /// Adds the key of a role's session, with a token that does not expire.
    pub fn add_session(&self, id: &str, secret: &str, token: &str, role: &str) {
        self.control(
            json!({"command": "key", "id": id, "secret": secret, "token": token, "role": role}),
        );
    }

    pub fn add_role(&self, arn: &str, external_id: Option<&str>) {
        self.control(json!({"command": "role", "arn": arn, "external_id": external_id}));
    }

    /// Sets the state of a key: `ok`, `revoked`, `denied` or `kms` (it may not use KMS).
    pub fn set_key_state(&self, id: &str, state: &str) {
        self.control(json!({"command": "state", "id": id, "state": state}));
    }

    /// Plants a fault ([`FakeAlibaba::faults`]), which correctly signed requests meet from now
    /// on. `scope` may limit it: `key` (the object's key; empty for the bucket itself),
    /// `methods`, `operations` (as in policies: `GetBucketInfo`) and `times` (the number of
    /// requests). Its `form` changes how the error is sent, like the setting `refusal`. The
    /// last fault that fits counts.
    pub fn plant(&self, fault: &str, scope: Value) {
        let mut command = json!({"command": "fault", "name": fault});
        for (name, value) in scope.as_object().expect("an object") {
            command[name] = match value.as_str() {
                Some(key) if name == "key" => json!(hex(key.as_bytes())),
                _ => value.clone(),
            };
        }
        self.control(command);
    }

    /// Removes all planted faults.
    pub fn clear_faults(&self) {
        self.control(json!({"command": "fault"}));
    }

    /// All faults that the fake knows.
    pub fn faults(&self) -> Vec<Fault> {
        let answer = self.control(json!({"command": "faults"}));
        let text = |row: &Value, name: &str| row[name].as_str().expect("a text").to_owned();
        let rows = answer["faults"].as_array().expect("rows");
        rows.iter()
            .map(|row| Fault {
                name: text(row, "name"),
                status: u16::try_from(row["status"].as_u64().expect("a number")).expect("a status"),
                code: text(row, "code"),
                ec: text(row, "ec"),
            })
            .collect()
    }

    /// Allows a key (by its id), or every session of a role (by its ARN), only these
    /// operations: `GetObject`, `ListObjects`, `GetObjectAcl`, `GetBucketAcl`,
    /// `GetBucketLocation`, `GetBucketInfo`, `PutObject`, `DeleteObject`, … All others may do
    /// everything.
    pub fn allow(&self, id: &str, operations: &[&str]) {
        self.control(json!({"command": "rights", "id": id, "allow": operations}));
    }

    /// Allows a key or a role all operations again.
    pub fn allow_all(&self, id: &str) {
        self.control(json!({"command": "rights", "id": id}));
    }

    /// Allows a key or a role to read objects: [`READ_ONLY`].
    pub fn read_only(&self, id: &str) {
        self.allow(id, &READ_ONLY);
    }

    /// Limits a token by the policy of its session (RAM's JSON); null removes the limit.
    pub fn set_session_policy(&self, id: &str, policy: &Value) {
        let policy = (!policy.is_null()).then(|| policy.to_string());
        self.control(json!({"command": "policy", "id": id, "policy": policy}));
    }

    /// Creates a bucket if there is none of this name, and sets its properties: `region`
    /// (`cn-shanghai`; without one, every endpoint has the bucket), `endpoint` (which errors
    /// name), `path_style` (`refused`), `acl`, `storage_class`, `encryption` (`KMS`),
    /// `kms_key`, `owner` (an account), `versioning`, `block_public_access`.
    pub fn set_bucket(&self, bucket: &str, settings: Value) {
        let mut command = json!({"command": "bucket", "name": bucket});
        for (name, value) in settings.as_object().expect("an object") {
            command[name] = value.clone();
        }
        self.control(command);
    }

    /// Changes a setting of the fake. All times are in seconds.
    ///
    /// STS and the metadata server: `token_life`, `clock_offset`, `sts_failure`, `sts_delay`,
    /// `sts_garbage` (a body), `oidc_token`, `ecs_role`, `ecs_hardened`, `ecs_tokens` (false:
    /// an old metadata server).
    ///
    /// OSS, kinder than the real one: `public_endpoint` (`forbidden`, or `allowed`),
    /// `forced_download` (`all`, `html` or `never`), `gzip` (true or false), `key_rules`
    /// (`strict`, or `any`).
    ///
    /// OSS, harder: `throttle` (`{"code": "QpsLimitExceeded", "times": 3, "retry_after": 1}`),
    /// `idle_timeout` (of connections), `reset_reused` (the number of requests on used
    /// connections that get a reset).
    ///
    /// Others: `cache_control` (of all objects), `product` and `region` (of V4: `oss`, or
    /// `oss-cloudbox`).
    ///
    /// The form of OSS's errors is the setting `refusal`, an object of `delay` (before the
    /// headers), `body_delay` (before the body), `stall` (between the halves of the body),
    /// `cut` (the connection ends there), `framing` (`length`, `chunked` or `close`), `empty`
    /// (no body, without a length), `bare` (headers alone: neither a body nor the `x-oss-err`
    /// of a HEAD), `gzip`, `padding` (a number of more bytes), `ec` (another one, or null for
    /// none) and `status`.
    pub fn set(&self, name: &str, value: Value) {
        self.control(json!({"command": "set", name: value}));
    }

    /// The target of a signed URL (`v1` or `v4`) for a GET of the object. OSS accepts it only
    /// without a change.
    pub fn presign(&self, version: &str, key: &str, id: &str) -> String {
        let answer = self.control(json!({"command": "presign", "version": version,
                                         "bucket": BUCKET, "key": key, "id": id}));
        answer["target"].as_str().expect("a target").to_owned()
    }

    pub fn clear_log(&self) {
        self.control(json!({"command": "clear_log"}));
    }

    /// The requests to OSS since the log was cleared.
    pub fn seen(&self) -> Vec<Seen> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let log = self.log();
        let entries = log["oss"].as_array().expect("a log");
        entries
            .iter()
            .map(|entry| Seen {
                method: text(&entry["method"]),
                target: text(&entry["target"]),
                headers: entry["headers"]
                    .as_array()
                    .expect("headers")
                    .iter()
                    .map(|pair| (text(&pair[0]), text(&pair[1])))
                    .collect(),
                status: entry["status"].as_u64().expect("a status"),
                code: text(&entry["code"]),
            })
            .collect()
    }

    /// The number of requests to STS since the log was cleared.
    pub fn sts_requests(&self) -> usize {
        self.log()["sts"].as_array().expect("a log").len()
    }

    /// The requests to STS and to the metadata server: `action`, `status`, and of the
    /// parameters `RoleArn`, `RoleSessionName`, `Policy`, `DurationSeconds`.
    pub fn sts_log(&self) -> Vec<Value> {
        self.log()["sts"].as_array().expect("a log").clone()
    }

    /// The names that clients asked for in their TLS handshakes.
    pub fn server_names(&self) -> Vec<String> {
        let log = self.log();
        let names = log["server_names"].as_array().expect("names");
        let text = |name: &Value| name.as_str().unwrap_or_default().to_owned();
        names.iter().map(text).collect()
    }

    /// The number of requests that were answered by a reset.
    pub fn resets(&self) -> u64 {
        self.log()["resets"].as_u64().expect("a number")
    }

    /// The ids of the keys that OSS knows.
    pub fn key_ids(&self) -> Vec<String> {
        let log = self.log();
        log["keys"]
            .as_object()
            .expect("keys")
            .keys()
            .cloned()
            .collect()
    }

    fn log(&self) -> Value {
        self.ask(&Request::get("/"))
    }

    fn control(&self, command: Value) -> Value {
        self.ask(&Request::new("POST", "/").body(command.to_string()))
    }

    fn ask(&self, request: &Request) -> Value {
        // The request is sent up to twice: a loaded machine was seen to reset a connection, and
        // every command may be repeated.
        let response = request
            .try_send(self.control_port)
            .or_else(|_| request.try_send(self.control_port))
            .unwrap_or_else(|error| panic!("{request:?}: {error}; {}", self.process.output()));
        assert_eq!(response.status, 200, "{request:?}");
        response.json()
    }
}

impl Seen {
    /// The values of a header, which may be given several times.
    pub fn header(&self, name: &str) -> Vec<&str> {
        values(&self.headers, name)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
