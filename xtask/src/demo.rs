//! A private object through Envoy: from a fake OSS, or from a real bucket.

use std::process::Command;
use std::time::Duration;

use testkit::alibaba::{BUCKET, REGION};
use testkit::process::wait_until;
use testkit::shipped::{Fitting, fit};
use testkit::{FakeAlibaba, Process, Request, free_port, tools};

use crate::{Result, setup};

/// Shows that OSS refuses an anonymous request and that Envoy serves the object.
///
/// Without settings it uses a fake OSS and STS on this machine. To use a real
/// bucket, set OSS_BUCKET, OSS_REGION (cn-hangzhou) and OSS_OBJECT (a key, encoded as in a URL), and
/// what the sidecar needs: ALIBABA_CLOUD_ACCESS_KEY_ID,
/// ALIBABA_CLOUD_ACCESS_KEY_SECRET and, to assume a role, ALIBABA_CLOUD_ROLE_ARN.
/// OSS_HOST replaces <bucket>.oss-<region>.aliyuncs.com.
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Options {
    /// End after the check
    #[arg(long)]
    once: bool,
}

pub fn run(options: &Options) -> Result {
    setup::run()?;
    let mut origin = match variable("OSS_BUCKET") {
        Some(bucket) => Origin::real(bucket)?,
        None => Origin::fake(),
    };
    let sidecar_port = free_port();
    let mut sidecar = Command::new(tools::sidecar());
    sidecar.env("STS_SIDECAR_LISTEN", format!("127.0.0.1:{sidecar_port}"));
    sidecar.envs(origin.environment.drain(..));
    let mut sidecar = Process::start("sidecar", &mut sidecar);
    sidecar.wait_for_port(sidecar_port);

    let fitting = Fitting {
        sidecar_port,
        listen: free_port(),
        admin: free_port(),
        ..origin.fitting.clone()
    };
    let mut envoy = Command::new(tools::envoy());
    envoy
        .arg("--config-path")
        .arg(fit("minimal.yaml", &fitting));
    envoy.args(["--concurrency", "2", "--disable-hot-restart"]);
    let mut envoy = Process::start("envoy", &mut envoy);
    wait_until("Envoy", || {
        envoy.assert_running();
        let ready = Request::get("/ready").try_send(fitting.admin);
        ready.is_ok_and(|response| response.status == 200)
    });

    let path = format!("/{}", origin.object);
    origin.show_direct(&path)?;
    let served = Request::get(&path).send(fitting.listen);
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
    let Fitting { listen, admin, .. } = fitting;
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
    fitting: Fitting,
    object: String,
    environment: Vec<(String, String)>,
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
        let environment = [
            ("ALIBABA_CLOUD_ACCESS_KEY_ID", "LTAIdemo"),
            ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "demo-secret"),
            ("ALIBABA_CLOUD_ROLE_ARN", role),
            ("ALIBABA_CLOUD_STS_ENDPOINT", &sts),
        ];
        Origin {
            fitting: fitting(BUCKET, REGION, ("127.0.0.1", alibaba.oss_port), None, false),
            object: "hello.txt".into(),
            environment: environment
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            fake: Some(alibaba),
        }
    }

    fn real(bucket: String) -> Result<Origin> {
        let region = variable("OSS_REGION")
            .ok_or("OSS_BUCKET is set, OSS_REGION is not; set it, for example to cn-hangzhou")?;
        let object = variable("OSS_OBJECT")
            .ok_or("OSS_BUCKET is set, OSS_OBJECT is not; set it to the key of an object")?;
        let host =
            variable("OSS_HOST").unwrap_or_else(|| format!("{bucket}.oss-{region}.aliyuncs.com"));
        Ok(Origin {
            fitting: fitting(&bucket, &region, (&host, 443), Some(&host), true),
            object: object.trim_start_matches('/').to_owned(),
            environment: Vec::new(),
            fake: None,
        })
    }

    /// That OSS itself refuses: for the fake one, since asking the real one
    /// takes TLS, a `curl` line stands in.
    fn show_direct(&self, path: &str) -> Result {
        let Some(alibaba) = &self.fake else {
            println!(
                "OSS itself: curl -i https://{}{path}",
                self.fitting.oss_host
            );
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

fn fitting(bucket: &str, region: &str, oss: (&str, u16), host: Option<&str>, tls: bool) -> Fitting {
    let usual = format!("{bucket}.oss-{region}.aliyuncs.com");
    Fitting {
        bucket: bucket.to_owned(),
        region: region.to_owned(),
        oss: (oss.0.to_owned(), oss.1),
        oss_host: host.map_or(usual, str::to_owned),
        tls,
        sidecar_port: 0,
        listen: 0,
        admin: 0,
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
