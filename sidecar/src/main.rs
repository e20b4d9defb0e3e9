//! `sts-sidecar`: serves Alibaba Cloud credentials over HTTP, in the form that
//! Alibaba's SDKs know as credentials URI.

mod server;
mod settings;
mod source;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use settings::Settings;

/// Serves Alibaba Cloud credentials at /v1/credentials/NAME.
///
/// Without --config there is one name, `default`, taken from the environment:
/// ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET, and, to
/// assume a role with them, ALIBABA_CLOUD_ROLE_ARN (with
/// ALIBABA_CLOUD_EXTERNAL_ID and ALIBABA_CLOUD_STS_ENDPOINT if needed).
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// A TOML file; docs/SIDECAR.md describes it
    #[arg(long, env = "STS_SIDECAR_CONFIG")]
    config: Option<PathBuf>,
    /// Address and port to listen on; overrides the file
    #[arg(long, env = "STS_SIDECAR_LISTEN")]
    listen: Option<String>,
    /// Listen on an address that other machines may reach; whoever reaches it
    /// gets the credentials
    #[arg(long, env = "STS_SIDECAR_ALLOW_NON_LOOPBACK")]
    allow_non_loopback: bool,
    /// Log in JSON
    #[arg(long, env = "STS_SIDECAR_LOG_JSON")]
    log_json: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    let log = tracing_subscriber::fmt()
        .with_target(false)
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into()),
        );
    if options.log_json {
        log.json().init();
    } else {
        log.with_ansi(false).init();
    }
    match run(options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("sts-sidecar: {problem}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> Result<(), String> {
    let mut settings = match &options.config {
        Some(path) => Settings::from_file(path)?,
        None => Settings::from_environment()?,
    };
    if let Some(listen) = options.listen {
        settings.listen = listen;
    }
    settings.allow_non_loopback |= options.allow_non_loopback;
    let address = settings.address()?;

    // The only provider that is compiled in.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder()
        .connect_timeout(Duration::from_secs(3))
        .timeout(Duration::from_secs(10))
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(|error| format!("HTTPS client: {error}"))?;
    let sources = source::build(&settings.credentials, client)?;
    let names: Vec<&str> = settings.credentials.keys().map(String::as_str).collect();
    let names = names.join(", ");

    let listener = TcpListener::bind(address)
        .await
        .map_err(|error| format!("listen: cannot bind {address}: {error}"))?;
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| error.to_string())?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| error.to_string())?;
    tracing::info!(%address, names, "listening");
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
    };
    axum::serve(listener, server::router(sources))
        .with_graceful_shutdown(stop)
        .await
        .map_err(|error| error.to_string())
}
