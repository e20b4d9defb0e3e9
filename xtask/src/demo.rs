//! The demo: private objects through Envoy, which are a page in a fake OSS, or an object of a
//! real bucket.

use std::time::{Duration, Instant};

use testkit::demo::{Demo, HELLO, start_envoy};
use testkit::{Process, Request, sidecar, tools};

use crate::command::Result;
use crate::setup::{self, Took};

/// Show private objects served through Envoy: a page, a film, a protected file
///
/// Without settings it uses a fake OSS and STS on this machine. To use a real
/// bucket, set OSS_BUCKET, OSS_REGION (cn-hangzhou) and OSS_OBJECT (a key, encoded as in a URL), and
/// what the sidecar needs: ALIBABA_CLOUD_ACCESS_KEY_ID,
/// ALIBABA_CLOUD_ACCESS_KEY_SECRET and, to assume a role, ALIBABA_CLOUD_ROLE_ARN.
/// OSS_HOST replaces BUCKET.oss-REGION-internal.aliyuncs.com, which answers within the
/// region alone.
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Options {
    /// End after the check
    #[arg(long)]
    once: bool,
}

/// Starts everything, shows the objects, and stays.
pub fn run(options: &Options) -> Result {
    let before = since_the_command();
    // A wrong variable is reported before anything is built.
    let host = tools::try_host()?;
    let real = Real::of_environment()?;
    let took = setup::for_demo(host)?;
    let begin = Instant::now();
    let mut stage = match real {
        Some(real) => real.start()?,
        None => start_fake()?,
    };
    println!("{}", told(before, &took, begin.elapsed()));
    println!();
    for line in &stage.lines {
        println!("{line}");
    }
    println!("Envoy's admin page: http://127.0.0.1:{}/", stage.admin_port);
    let [envoy, sidecar] = stage.processes.each_ref().map(|process| &process.log);
    println!("Logs: {} and {}", envoy.display(), sidecar.display());
    if options.once {
        return Ok(());
    }
    println!("Ctrl-C ends it.");
    loop {
        std::thread::sleep(Duration::from_millis(500));
        for process in &mut stage.processes {
            process.assert_running();
        }
    }
}

/// The running parts, and what the user can do with them.
struct Stage {
    /// Envoy and the sidecar.
    processes: [Process; 2],
    admin_port: u16,
    lines: Vec<String>,
    /// The fake OSS, which ends when this is dropped.
    _alibaba: Option<testkit::FakeAlibaba>,
}

/// Starts the page in the fake OSS, and checks that it is refused and served as it should be.
fn start_fake() -> Result<Stage> {
    let demo = Demo::start();
    let (port, hello) = (demo.port, HELLO.0);
    let mut lines = demo.tour()?;
    lines.extend([
        format!("  curl -i http://127.0.0.1:{port}/{hello}"),
        format!("  curl -i -r 0-4 http://127.0.0.1:{port}/{hello}"),
        format!("  curl -i 'http://127.0.0.1:{port}/?versions'    # listing the bucket: refused"),
        format!("  curl -i -X DELETE http://127.0.0.1:{port}/{hello}"),
    ]);
    Ok(Stage {
        processes: [demo.envoy, demo.sidecar],
        admin_port: demo.admin_port,
        lines,
        _alibaba: Some(demo.alibaba),
    })
}

/// A real bucket, as the environment names it; `render` and the sidecar read the other
/// variables.
struct Real {
    object: String,
}

impl Real {
    fn of_environment() -> Result<Option<Real>> {
        if variable("OSS_BUCKET").is_none() {
            return Ok(None);
        }
        for (name, example) in [
            ("OSS_REGION", "cn-hangzhou"),
            ("OSS_OBJECT", "the key of an object"),
        ] {
            if variable(name).is_none() {
                return Err(format!(
                    "OSS_BUCKET is set, {name} is not; set it, for example to {example}"
                ));
            }
        }
        let object = variable("OSS_OBJECT").unwrap_or_default();
        let object = object.trim_start_matches('/').to_owned();
        Ok(Some(Real { object }))
    }

    fn start(&self) -> Result<Stage> {
        let mut sidecar = tools::sidecar();
        sidecar.env("STS_SIDECAR_LISTEN", "127.0.0.1:0");
        let (sidecar, sidecar_port) = sidecar::start(&mut sidecar);
        let (envoy, ports) = start_envoy(&[], sidecar_port, &[])?;
        let (port, path) = (ports.only(), format!("/{}", self.object));
        let served = Request::get(&path).send(port);
        if served.status != 200 {
            let log = envoy.log.display();
            return Err(format!(
                "{path}: {}, not 200; Envoy's log is {log}\n{}",
                served.status,
                served.text()
            ));
        }
        let lines = [
            format!("Envoy: {path}: 200, {} bytes", served.body.len()),
            String::new(),
            format!("  curl -i http://127.0.0.1:{port}{path}"),
            format!("OSS itself: curl -i https://<bucket>.oss-<region>.aliyuncs.com{path}"),
        ];
        Ok(Stage {
            processes: [envoy, sidecar],
            admin_port: ports.admin,
            lines: lines.into(),
            _alibaba: None,
        })
    }
}

/// The line on how long the first object took, and on the parts of that time.
fn told(before: Option<Duration>, took: &Took, start: Duration) -> String {
    let seconds = |duration: Duration| format!("{:.1} s", duration.as_secs_f64());
    let both = took.build.max(took.download);
    let total = before.unwrap_or_default() + both + start;
    let own = before.map_or(String::new(), |before| {
        format!("{} for this command, ", seconds(before))
    });
    format!(
        "The first object came after {}: {own}{} to build, beside that {} to download, {} to start.",
        seconds(total),
        seconds(took.build),
        seconds(took.download),
        seconds(start)
    )
}

/// The time since this command was typed, if the system knows it: cargo, which has built this
/// program, was the same process (proc(5): `stat`, field 22, in hundredths of a second).
fn since_the_command() -> Option<Duration> {
    let read = |file| std::fs::read_to_string(file).ok();
    let stat = read("/proc/self/stat")?;
    // The name may have spaces and brackets.
    let (_, fields) = stat.rsplit_once(") ")?;
    let began: f64 = fields.split(' ').nth(19)?.parse().ok()?;
    let uptime = read("/proc/uptime")?;
    let now: f64 = uptime.split(' ').next()?.parse().ok()?;
    Duration::try_from_secs_f64(now - began / 100.0).ok()
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seconds_are_told_by_what_they_were_for() {
        let seconds = Duration::from_secs;
        let took = Took {
            download: seconds(14),
            build: seconds(40),
        };
        assert_eq!(
            told(Some(seconds(30)), &took, seconds(4)),
            "The first object came after 74.0 s: 30.0 s for this command, 40.0 s to build, beside \
             that 14.0 s to download, 4.0 s to start."
        );
        // The process has just begun.
        assert!(since_the_command().is_none_or(|since| since < seconds(3600)));
    }
}
