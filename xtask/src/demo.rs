//! A private object through Envoy: from a fake OSS, or from a real bucket.

use std::time::Duration;

use testkit::alibaba::{BUCKET, HOST, REGION};
use testkit::envoy::serve;
use testkit::shipped::render;
use testkit::{FakeAlibaba, Request, host, tools};

use crate::command::Result;
use crate::setup;

/// Shows that OSS refuses an anonymous request and that Envoy serves the object.
///
/// Without settings it uses a fake OSS and STS on this machine. To use a real
/// bucket, set OSS_BUCKET, OSS_REGION (cn-hangzhou) and OSS_OBJECT (a key, encoded as in a URL), and
/// what the sidecar needs: ALIBABA_CLOUD_ACCESS_KEY_ID,
/// ALIBABA_CLOUD_ACCESS_KEY_SECRET and, to assume a role, ALIBABA_CLOUD_ROLE_ARN.
/// OSS_HOST replaces BUCKET.oss-REGION.aliyuncs.com.
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Options {
    /// End after the check
    #[arg(long)]
    once: bool,
}

/// Starts all that it takes, shows the object, and stays.
pub fn run(options: &Options) -> Result {
    // A wrong one is told before anything is built.
    tools::try_host()?;
    setup::run()?;
    let mut origin = match variable("OSS_BUCKET") {
        Some(bucket) => Origin::real(bucket)?,
        None => Origin::fake(),
    };
    let mut sidecar = tools::sidecar();
    sidecar.env("STS_SIDECAR_LISTEN", "127.0.0.1:0");
    sidecar.envs(origin.environment.drain(..));
    let (mut sidecar, sidecar_port) = testkit::sidecar::start(&mut sidecar);

    origin.set("SIDECAR_ADDRESS", format!("127.0.0.1:{sidecar_port}"));
    origin.set("LISTEN_PORT", 0);
    origin.set("ADMIN_PORT", 0);
    let settings: Vec<(&str, &str)> = origin
        .settings
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let mut envoy = host::envoy(&tools::envoy(), &render("minimal.yaml", &settings));
    envoy.args(["--concurrency", "2", "--disable-hot-restart"]);
    let (mut envoy, ports) = serve(&mut envoy);
    let (listen, admin) = (ports.only(), ports.admin);

    let path = format!("/{}", origin.object);
    origin.show_direct(&path)?;
    let served = Request::get(&path).send(listen);
    println!(
        "Envoy, asked for {path}:            {} ({} bytes)",
        served.status,
        served.body.len()
    );
    if served.status != 200 {
        let log = envoy.log.display();
        return Err(format!(
            "expected 200; Envoy's log is {log}\n{}",
            served.text()
        ));
    }
    if origin.fake.is_some() && served.body != OBJECT_CONTENT.as_bytes() {
        return Err("the object is not what was put into the bucket".into());
    }
    println!();
    println!("Try:");
    println!("  curl -i http://127.0.0.1:{listen}{path}");
    println!("  curl -i -r 0-4 http://127.0.0.1:{listen}{path}");
    println!("  curl -i http://127.0.0.1:{listen}/            # listing the bucket: refused");
    println!("  curl -i -X DELETE http://127.0.0.1:{listen}{path}");
    println!("Envoy's admin page: http://127.0.0.1:{admin}/");
    println!(
        "Logs: {} and {}",
        envoy.log.display(),
        sidecar.log.display()
    );
    if options.once {
        return Ok(());
    }
    println!("Ctrl-C ends it.");
    loop {
        std::thread::sleep(Duration::from_millis(500));
        envoy.assert_running();
        sidecar.assert_running();
    }
}

/// The bucket, and what the sidecar and Envoy need to reach it.
struct Origin {
    /// For `oss-origin-auth render`, by its variables.
    settings: Vec<(&'static str, String)>,
    object: String,
    /// For the sidecar.
    environment: Vec<(&'static str, String)>,
    fake: Option<FakeAlibaba>,
}

const OBJECT_CONTENT: &str = "This object is in a private bucket.\n";

impl Origin {
    fn fake() -> Origin {
        let alibaba = FakeAlibaba::start();
        let role = "acs:ram::1234567890:role/oss-reader";
        alibaba.put("hello.txt", OBJECT_CONTENT);
        alibaba.add_key("LTAIdemo", "demo-secret", None, None);
        alibaba.add_role(role, None);
        let sts = format!("http://127.0.0.1:{}", alibaba.sts_port);
        Origin {
            settings: vec![
                ("OSS_BUCKET", BUCKET.into()),
                ("OSS_REGION", REGION.into()),
                ("OSS_ADDRESS", format!("127.0.0.1:{}", alibaba.oss_port)),
                ("OSS_TLS", "off".into()),
                ("OSS_HOST", HOST.into()),
            ],
            object: "hello.txt".into(),
            environment: vec![
                ("ALIBABA_CLOUD_ACCESS_KEY_ID", "LTAIdemo".into()),
                ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "demo-secret".into()),
                ("ALIBABA_CLOUD_ROLE_ARN", role.into()),
                ("ALIBABA_CLOUD_STS_ENDPOINT", sts),
            ],
            fake: Some(alibaba),
        }
    }

    fn real(bucket: String) -> Result<Origin> {
        let region = variable("OSS_REGION")
            .ok_or("OSS_BUCKET is set, OSS_REGION is not; set it, for example to cn-hangzhou")?;
        let object = variable("OSS_OBJECT")
            .ok_or("OSS_BUCKET is set, OSS_OBJECT is not; set it to the key of an object")?;
        Ok(Origin {
            // The rest `render` and the sidecar find in the environment.
            settings: vec![("OSS_BUCKET", bucket), ("OSS_REGION", region)],
            object: object.trim_start_matches('/').to_owned(),
            environment: Vec::new(),
            fake: None,
        })
    }

    fn set(&mut self, name: &'static str, value: impl ToString) {
        self.settings.push((name, value.to_string()));
    }

    /// That OSS itself refuses: for the fake one, since asking the real one
    /// takes TLS, a `curl` line stands in.
    fn show_direct(&self, path: &str) -> Result {
        let Some(alibaba) = &self.fake else {
            println!("OSS itself: curl -i https://<bucket>.oss-<region>.aliyuncs.com{path}");
            return Ok(());
        };
        let direct = Request::get(path).send(alibaba.oss_port);
        println!("OSS, asked directly for {path}:     {}", direct.status);
        match direct.status {
            403 => Ok(()),
            status => Err(format!(
                "OSS answered {status} to an anonymous request, not 403"
            )),
        }
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
