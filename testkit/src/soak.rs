//! Load through a real Envoy while its credentials change. The sidecar is a real one, with an
//! STS under the test's control.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::alibaba::{BUCKET, ENDPOINT, REGION};
use crate::envoy::stat;
use crate::load::{Counts, Load};
use crate::origin::Origin;
use crate::{Envoy, EnvoyBuilder, Position, Process, Request, tools};

/// The least number of each event.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub requests: u64,
    pub duration: Duration,
    /// The number of times that all tokens are revoked; OSS refuses them from that moment on.
    pub rotations: u64,
    /// The number of times that the sidecar is killed and started again.
    pub restarts: u64,
    /// The number of times that the sidecar is away for most of a token's life.
    pub outages: u64,
}

#[derive(Clone, Debug)]
pub struct Report {
    pub counts: Counts,
    pub rotations: u64,
    pub restarts: u64,
    pub outages: u64,
    /// The number of the sidecar's answers to Envoy while only rotations and restarts cause
    /// fetches.
    pub callouts_of_rotations: u64,
    pub callouts: u64,
    /// The number of callouts that found no sidecar.
    pub callouts_unconnected: u64,
    pub tokens: u64,
    /// The resident memory of Envoy in KiB.
    pub memory_at_start: u64,
    pub memory_at_end: u64,
}

struct Stage {
    origin: Origin,
    sidecar: Option<Process>,
    sidecar_port: u16,
    envoy: Envoy,
}

pub fn run(plan: &Plan) -> Report {
    let begin = Instant::now();
    let mut stage = Stage::start();
    let port = stage.envoy.port(Position::Upstream);
    assert_eq!(Request::get("/a").send(port).status, 200);
    let load = Load::start(port, 8);
    std::thread::sleep(Duration::from_secs(3));
    let memory_at_start = stage.envoy.process.resident_kib();
    let (mut rotations, mut restarts, mut outages) = (0, 0, 0);

    // Tokens have a long life here: each callout belongs to a rotation.
    let answered_before = stage.callouts_answered();
    let per_restart = (plan.rotations / plan.restarts.max(1)).max(1);
    while rotations < plan.rotations {
        stage.rotate();
        rotations += 1;
        if rotations % per_restart == 0 && restarts < plan.restarts {
            stage.sidecar = None;
            stage.start_sidecar();
            restarts += 1;
        }
    }
    let callouts_of_rotations = stage.callouts_answered() - answered_before;

    // Tokens have a short life here, but long enough for a sidecar that takes a few seconds to
    // come back.
    stage.origin.set(|settings| settings.token_life = 12);
    loop {
        let enough = outages >= plan.outages
            && load.counts().total >= plan.requests
            && begin.elapsed() >= plan.duration;
        if enough {
            break;
        }
        stage.rotate();
        rotations += 1;
        stage.sidecar = None;
        std::thread::sleep(Duration::from_millis(7_500));
        stage.start_sidecar();
        outages += 1;
        std::thread::sleep(Duration::from_millis(2_000));
        stage.origin.set(|settings| settings.garbage = true);
        std::thread::sleep(Duration::from_millis(1_500));
        stage.origin.set(|settings| {
            settings.garbage = false;
            settings.delay = Duration::from_millis(500);
        });
        std::thread::sleep(Duration::from_millis(2_500));
        stage.origin.set(|settings| settings.delay = Duration::ZERO);
        std::thread::sleep(Duration::from_millis(1_000));
    }
    let memory_at_end = stage.envoy.process.resident_kib();
    stage.envoy.process.assert_running();
    Report {
        counts: load.stop(),
        rotations,
        restarts,
        outages,
        callouts_of_rotations,
        callouts: stage.envoy.stat("cluster.sts_sidecar.upstream_rq_total"),
        callouts_unconnected: stage
            .envoy
            .stat("cluster.sts_sidecar.upstream_cx_connect_fail"),
        tokens: stage.origin.issued(),
        memory_at_start,
        memory_at_end,
    }
}

impl Stage {
    fn start() -> Stage {
        let origin = Origin::start(100);
        let (sidecar, sidecar_port) =
            Process::start_on_port("sidecar", |port| sidecar_command(port, origin.sts_port));
        let filter = json!({
            // Newer credentials are fetched after a third of the shortest life: within an
            // outage, and with time to come back from it.
            "credentials": {"default": {"sidecar": {"cluster": "sts_sidecar",
                "clock_margin_ms": 500, "refresh_margin_ms": 8_000}}},
            "defaults": {"bucket": BUCKET, "region": REGION, "endpoint": ENDPOINT},
        });
        let mut builder = EnvoyBuilder::new(filter, origin.oss_port, sidecar_port);
        builder.retry_policy = json!({"retry_on": "retriable-status-codes", "num_retries": 2,
                                      "retriable_status_codes": [403]});
        builder.access_log = false;
        Stage {
            origin,
            sidecar: Some(sidecar),
            sidecar_port,
            envoy: builder.start(),
        }
    }

    /// Starts the sidecar on the port that it had before.
    fn start_sidecar(&mut self) {
        let mut command = sidecar_command(self.sidecar_port, self.origin.sts_port);
        let mut sidecar = Process::start("sidecar", &mut command);
        sidecar.wait_for_port(self.sidecar_port);
        self.sidecar = Some(sidecar);
    }

    /// Revokes all tokens and waits for the callout that this causes. Then it waits a little
    /// longer than one second, the time in which the filter drops no credentials again.
    fn rotate(&mut self) {
        let before = self.callouts_answered();
        self.origin.revoke_all();
        let admin = self.envoy.admin_port;
        let envoy = &mut self.envoy.process;
        envoy.wait_for("the callout of a rotation", || {
            callouts_answered(admin) > before
        });
        std::thread::sleep(Duration::from_millis(1_100));
    }

    fn callouts_answered(&self) -> u64 {
        callouts_answered(self.envoy.admin_port)
    }
}

fn callouts_answered(admin_port: u16) -> u64 {
    stat(admin_port, "cluster.sts_sidecar.internal.upstream_rq_200")
}

fn sidecar_command(port: u16, sts_port: u16) -> Command {
    let mut command = tools::sidecar();
    command.envs([
        ("STS_SIDECAR_LISTEN", format!("127.0.0.1:{port}")),
        ("ALIBABA_CLOUD_ACCESS_KEY_ID", "LTAIexample".into()),
        ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "secret".into()),
        ("ALIBABA_CLOUD_ROLE_ARN", "acs:ram::1:role/r".into()),
        (
            "ALIBABA_CLOUD_STS_ENDPOINT",
            format!("http://127.0.0.1:{sts_port}"),
        ),
    ]);
    command
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        let failed: u64 = self.counts.failed.values().sum();
        writeln!(f, "requests            {}", self.counts.total)?;
        writeln!(f, "failed              {failed}")?;
        for (reason, count) in &self.counts.failed {
            writeln!(f, "  {count} × {reason}")?;
        }
        writeln!(
            f,
            "slowest request     {} ms",
            self.counts.slowest.as_millis()
        )?;
        writeln!(f, "rotations           {}", self.rotations)?;
        writeln!(f, "sidecar restarts    {}", self.restarts)?;
        writeln!(f, "sidecar outages     {}", self.outages)?;
        writeln!(f, "tokens issued       {}", self.tokens)?;
        writeln!(
            f,
            "callouts            {}, of which {} by rotations alone",
            self.callouts, self.callouts_of_rotations
        )?;
        writeln!(f, "without a sidecar   {}", self.callouts_unconnected)?;
        writeln!(
            f,
            "Envoy's memory      {} KiB, at the end {} KiB",
            self.memory_at_start, self.memory_at_end
        )
    }
}
