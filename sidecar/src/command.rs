//! The command line of the sidecar: assembles the parts and reloads them.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::builder::FalseyValueParser;
use clap::{Args, Subcommand};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;

use crate::client::Timeout;
use crate::credential::Ask;
use crate::environment::Environment;
use crate::metrics::Metrics;
use crate::providers::World;
use crate::routes::{App, Served};
use crate::server::Limits;
use crate::settings::{Listen, Settings};
use crate::source::Source;
use crate::sources::Sources;
use crate::{listener, log, secret, server, sources};

/// Serve Alibaba Cloud credentials to Envoy and to Alibaba's SDKs.
///
/// Each name of the settings is served at /v1/credentials/NAME, as the
/// credentials-URI protocol wants it. Tokens are fetched ahead of their end, and
/// the old ones serve while their source fails.
///
/// Without --config there is one name, `default`, from the environment:
///   ALIBABA_CLOUD_ROLE_ARN with an AccessKey (ALIBABA_CLOUD_ACCESS_KEY_ID and
///   ALIBABA_CLOUD_ACCESS_KEY_SECRET): that role, by AssumeRole;
///   an AccessKey alone: that key pair;
///   else the first that is set: RRSA, the CLI's profile, a credentials URI;
///   without any of them the RAM role of the ECS instance.
///
/// SIGHUP reads the settings again; if they are wrong, the old ones stay.
/// docs/SIDECAR.md describes the file, the sources and the metrics.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct Options {
    #[command(subcommand)]
    command: Option<Task>,
    /// A TOML file
    #[arg(long, env = "STS_SIDECAR_CONFIG", global = true)]
    config: Option<PathBuf>,
    /// Address and port, or unix:/path/to/socket; overrides the file
    #[arg(long, env = "STS_SIDECAR_LISTEN", global = true)]
    listen: Option<String>,
    /// A file with the bearer token that callers must show; overrides the file.
    /// STS_SIDECAR_TOKEN holds the token itself
    #[arg(long, env = "STS_SIDECAR_TOKEN_FILE", global = true)]
    token_file: Option<PathBuf>,
    /// Log in JSON
    #[arg(long, env = "STS_SIDECAR_LOG_JSON", global = true,
          value_parser = FalseyValueParser::new())]
    log_json: bool,
}

#[derive(Clone, Copy, Debug, Subcommand)]
enum Task {
    /// Serve, as without a command
    Serve,
    /// Try each source once and show what came of it; fails if one gave nothing
    Check,
    /// Ask a sidecar that runs with these settings whether it is ready
    Probe,
}

/// Runs the sidecar and returns the exit code of the process. `name` is the name it was called
/// by, if that is an old one.
pub fn run(options: Options, old_name: Option<&str>) -> ExitCode {
    let log = log::start(options.log_json);
    // A probe runs every few seconds.
    if let Some(name) = old_name
        && !matches!(options.command, Some(Task::Probe))
    {
        tracing::warn!(
            name,
            "the next version removes this name; write `oss-origin-auth sidecar`"
        );
    }
    let result = match tokio::runtime::Runtime::new() {
        Ok(runtime) => {
            let result = runtime.block_on(perform(options));
            // Not dropped, which would wait for what hangs: the look-up of a name, a disk.
            runtime.shutdown_background();
            result
        }
        Err(error) => Err(error.to_string()),
    };
    let problem = result.err();
    log.end(problem.as_deref());
    problem.map_or(ExitCode::SUCCESS, |_| ExitCode::FAILURE)
}

async fn perform(options: Options) -> Result<(), String> {
    match options.command {
        None | Some(Task::Serve) => serve(options).await,
        Some(Task::Check) => check(&options).await,
        Some(Task::Probe) => probe(&options).await,
    }
}

fn settings(options: &Options, environment: &Environment) -> Result<Settings, String> {
    let mut settings = match &options.config {
        Some(path) => Settings::from_file(path, environment)?,
        None => Settings::from_environment(environment)?,
    };
    if let Some(listen) = &options.listen {
        settings.listen.clone_from(listen);
    }
    if let Some(file) = &options.token_file {
        settings.token.token_file = Some(file.clone());
        settings.token.token_env = None;
    }
    // A variable that is set but empty is refused when it is read: the operator wanted a token.
    if environment.raw(TOKEN).is_some() {
        let env = settings.token.token_env.as_deref();
        if settings.token.token_file.is_some() || env.is_some_and(|name| name != TOKEN) {
            return Err(format!("{TOKEN}: another token is set too; keep one"));
        }
        settings.token.token_env = Some(TOKEN.into());
    }
    Ok(settings)
}

/// The variable with the bearer token.
const TOKEN: &str = "STS_SIDECAR_TOKEN";

fn token(settings: &Settings, environment: &Environment) -> Result<Option<secret::Secret>, String> {
    let place = settings.token.place()?;
    place.map(|place| place.read(environment)).transpose()
}

/// The world of the fetchers, and the time that each of their requests may take.
fn world() -> Result<(World, Timeout), String> {
    let environment = Environment::of_process()?;
    for name in OF_OPTIONS {
        environment.raw(name);
    }
    let timeout = Timeout::default();
    Ok((World::new(environment, &timeout)?, timeout))
}

/// The variables that [`Options`] reads.
const OF_OPTIONS: [&str; 4] = [
    "STS_SIDECAR_CONFIG",
    "STS_SIDECAR_LISTEN",
    "STS_SIDECAR_TOKEN_FILE",
    "STS_SIDECAR_LOG_JSON",
];

/// Reads the settings, at the start and again.
struct Loader {
    options: Options,
    world: World,
    timeout: Timeout,
    metrics: Arc<Metrics>,
}

impl Loader {
    /// Loads all of the settings, or none. `bound` is where this process listens already. This
    /// runs in a thread of its own, since a disk may hang.
    fn load(
        self: &Arc<Loader>,
        known: Sources,
        bound: Option<Listen>,
    ) -> JoinHandle<Result<(Listen, Served), String>> {
        let loader = Arc::clone(self);
        tokio::task::spawn_blocking(move || {
            let environment = &loader.world.environment;
            let settings = settings(&loader.options, environment)?;
            let token = token(&settings, environment)?;
            let place = settings.place(token.is_some())?;
            if let Some(bound) = bound
                && bound != place
            {
                return Err(moved(&bound, &place));
            }
            let (world, metrics) = (&loader.world, &loader.metrics);
            let sources = sources::build(&settings.credentials, world, metrics, &known)?;
            loader.timeout.set(settings.timeout_ms);
            Ok((place, Served { sources, token }))
        })
    }
}

async fn serve(options: Options) -> Result<(), String> {
    // Before anything else: a SIGHUP that nobody handles ends a process.
    let signal = |kind| signal(kind).map_err(|error| error.to_string());
    let mut hangup = signal(SignalKind::hangup())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let limits = Limits::of_this_process()?;
    let metrics = Arc::new(Metrics::new());
    let app = Arc::new(App::new(Arc::clone(&metrics))?);
    let first = async {
        // Certificates may be on a disk that hangs.
        let world = tokio::task::spawn_blocking(world).await;
        let (world, timeout) = world.map_err(|_| BROKEN_OFF)??;
        let loader = Arc::new(Loader {
            options,
            world,
            timeout,
            metrics,
        });
        let loaded = loader.load(Sources::new(), None).await;
        let (place, served) = loaded.map_err(|_| BROKEN_OFF)??;
        let listener = listener::Listener::bind(&place).await?;
        Ok::<_, String>((loader, place, served, listener))
    };
    let (loader, place, served, listener) = tokio::select! {
        first = first => first?,
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    };
    let mut upkeep = maintain(&served.sources);
    app.replace(served);
    tracing::info!(listen = %listener, names = names(&app.served().sources), "listening");
    let serving = Arc::clone(&app);
    let stop = async {
        let mut is_due = false;
        let mut loading: Option<JoinHandle<_>> = None;
        loop {
            if is_due && loading.is_none() {
                is_due = false;
                let known = app.served().sources.clone();
                loading = Some(loader.load(known, Some(place.clone())));
            }
            tokio::select! {
                _ = hangup.recv() => is_due = true,
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                loaded = finished(&mut loading) => match loaded {
                    Ok((_, served)) => {
                        upkeep = maintain(&served.sources);
                        app.replace(served);
                        tracing::info!(names = names(&app.served().sources), "settings reloaded");
                    }
                    Err(problem) => {
                        tracing::error!(problem, "settings refused; the old ones stay in use");
                    }
                },
            }
        }
        tracing::info!("stopping");
        drop(upkeep);
    };
    server::serve(listener, serving, limits, stop).await;
    Ok(())
}

/// Returns what has been loaded; waits for ever if nothing is being loaded.
async fn finished<T>(loading: &mut Option<JoinHandle<Result<T, String>>>) -> Result<T, String> {
    let Some(task) = loading else {
        return std::future::pending().await;
    };
    let mut loaded = tokio::time::timeout(SLOW, &mut *task).await;
    if loaded.is_err() {
        tracing::warn!("the settings are still being read; do their files hang?");
        loaded = Ok(task.await);
    }
    *loading = None;
    let loaded = loaded.map_err(|_| BROKEN_OFF)?;
    loaded.map_err(|_| BROKEN_OFF.to_owned())?
}

/// Settings that take longer to read are reported in the log.
const SLOW: Duration = Duration::from_secs(5);
const BROKEN_OFF: &str = "reading the settings was interrupted";

/// The error of a reload that changes the socket, which stays where it is and as it is. If only
/// the other settings took effect, the old socket might serve callers whom the new settings
/// keep out.
fn moved(bound: &Listen, place: &Listen) -> String {
    if bound.to_string() == place.to_string() {
        return "socket_mode: has changed; restart the sidecar".into();
    }
    format!("listen: has changed from {bound} to {place}; restart the sidecar")
}

/// Starts the tasks that refresh ahead; they end when the values are dropped.
fn maintain(sources: &Sources) -> Vec<Upkeep> {
    let spawn = |source: &Arc<Source>| Upkeep(tokio::spawn(Arc::clone(source).maintain()));
    sources.values().map(spawn).collect()
}

struct Upkeep(JoinHandle<()>);

impl Drop for Upkeep {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn names(sources: &Sources) -> String {
    let mut names: Vec<&str> = sources.keys().map(String::as_str).collect();
    names.sort_unstable();
    names.join(", ")
}

/// Prints a table: name, source, result.
async fn check(options: &Options) -> Result<(), String> {
    let (world, timeout) = world()?;
    let settings = settings(options, &world.environment)?;
    let has_token = token(&settings, &world.environment)?.is_some();
    let place = settings.place(has_token)?;
    timeout.set(settings.timeout_ms);
    let metrics = Arc::new(Metrics::new());
    let sources = sources::build(&settings.credentials, &world, &metrics, &Sources::new())?;
    let has_token = if has_token { "yes" } else { "no" };
    show(&format!("listen: {place}, bearer token: {has_token}"));
    let mut failed = 0;
    let width = sources.keys().map(String::len).max().unwrap_or(0).max(4);
    show(&format!("{:width$}  {:21}  result", "name", "source"));
    for name in settings.credentials.keys() {
        let Some(source) = sources.get(name) else {
            continue;
        };
        let result = match source.credential(Ask::Valid).await {
            Ok(held) => match held.expiration() {
                Some(time) => format!("ok, a token until {time}"),
                None => "ok, a key without an end".to_owned(),
            },
            Err(error) => {
                failed += 1;
                format!("FAILED: {error}")
            }
        };
        show(&format!("{name:width$}  {:21}  {result}", source.kind()));
    }
    for name in world.environment.unheeded() {
        show(&format!("{name}: is set but has no effect here"));
    }
    match failed {
        0 => Ok(()),
        failed => Err(format!(
            "{failed} of {} sources gave no credentials",
            sources.len()
        )),
    }
}

/// Prints a line, even if nobody reads it.
fn show(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout(), "{line}");
}

async fn probe(options: &Options) -> Result<(), String> {
    let environment = Environment::of_process()?;
    let settings = settings(options, &environment)?;
    let place = settings.place(token(&settings, &environment)?.is_some())?;
    match listener::ask(&place, "/readyz").await? {
        200 => Ok(()),
        status => Err(format!("not ready: /readyz answered {status}")),
    }
}
