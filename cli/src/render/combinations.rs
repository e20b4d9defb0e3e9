//! The combinations of flags. A wrong one is refused, and the message says what to do.

use super::options::Options;

/// The flags on the command line, without their values.
#[derive(Debug)]
pub struct Given(pub Vec<String>);

impl Given {
    /// Whether a flag such as `--site` is given.
    pub fn has(&self, flag: &str) -> bool {
        self.0.iter().any(|given| given == flag)
    }

    /// The first one of `flags` that is given.
    pub fn first<'a>(&self, flags: &[&'a str]) -> Option<&'a str> {
        flags.iter().copied().find(|flag| self.has(flag))
    }
}

/// Refuses flags that exclude each other, and flags without those that they need.
pub fn check(given: &Given, options: &Options) -> Result<(), String> {
    let target = options.target.as_str();
    for (flags, others, fix) in APART {
        if let (Some(one), Some(other)) = (given.first(flags), given.first(others)) {
            return Err(format!("{one} and {other} do not go together: {fix}"));
        }
    }
    for (flag, needed) in NEEDED {
        if given.has(flag) && !given.has(needed) {
            return Err(format!("{flag} needs {needed}: add it, or take {flag} out"));
        }
    }
    check_words(given, options)?;
    let (refused, fix) = match target {
        "envoy" => (NOTHING, ""),
        "compose" => (
            OF_ONE_FILE,
            "use --target envoy, and start Envoy by yourself",
        ),
        "kubernetes" => (
            OF_ONE_FILE_OR_COMPOSE,
            "in the pod the sidecar is on 127.0.0.1, and nobody else reaches it; take it out, \
             or use --target envoy",
        ),
        _ => (
            FEATURES,
            "the gateway has its own way to do so; take it out",
        ),
    };
    if let Some(flag) = given.first(refused) {
        return Err(format!(
            "{flag} and --target {target} do not go together: {fix}"
        ));
    }
    for (of, flags) in OF_TARGETS {
        if !of.contains(&target)
            && let Some(flag) = given.first(flags)
        {
            let of = of.join(" or ");
            return Err(format!(
                "{flag} and --target {target} do not go together: it is for --target {of}; take \
                 it out"
            ));
        }
    }
    Ok(())
}

/// Refuses flags that exclude a word of another flag.
fn check_words(given: &Given, options: &Options) -> Result<(), String> {
    let of_gateway = "the gateway itself has the module and the authorities; take it out";
    let apart = |flags: &[&str], word: &str, fix: &str| match given.first(flags) {
        Some(flag) => Err(format!("{flag} and {word} do not go together: {fix}")),
        None => Ok(()),
    };
    if options.credentials.credentials == "environment" {
        let fix = "take one of them out";
        apart(
            &["--sidecar", "--sidecar-token"],
            "--credentials environment",
            fix,
        )?;
    }
    if options.target == "istio" && options.cluster.istio == "wasm-plugin" {
        apart(
            &["--module", "--ca-file"],
            "--istio wasm-plugin",
            of_gateway,
        )?;
    }
    Ok(())
}

/// Whether the variable that stands in for a flag is ignored, since the flag would be refused
/// here. The images set these variables, and not every target and feature uses them.
pub fn is_idle(given: &Given, options: &Options, flag: &str) -> bool {
    let mut with_flag = given.0.clone();
    with_flag.push(flag.to_owned());
    check(given, options).is_ok() && check(&Given(with_flag), options).is_err()
}

type Apart = (
    &'static [&'static str],
    &'static [&'static str],
    &'static str,
);

const APART: &[Apart] = &[
    (
        &["--site"],
        &["--spa"],
        "both answer what does not exist; take one of them out",
    ),
    (
        &["--cors"],
        &["--site", "--spa"],
        "what answers in place of an object would lack the headers of CORS; serve the site by one \
         Envoy, and what other origins read by another",
    ),
    (
        &["--pass-good-answers"],
        &["--site", "--spa", "--cache", "--show-in-browser"],
        "OSS's good answers must pass the filter, which takes the header off that makes browsers \
         download; take --pass-good-answers out",
    ),
    (
        &["--native"],
        &["--module"],
        "Envoy looks for a native module in the folder of ENVOY_DYNAMIC_MODULES_SEARCH_PATH; take \
         --module out",
    ),
    (
        &["--native"],
        &["--pass-good-answers"],
        "a good answer costs a native module little, and there it takes the signature off the \
         request; take --pass-good-answers out",
    ),
    (
        &["--cache"],
        &["--site", "--spa"],
        "the cache is behind the error document; put a CDN or a second Envoy with --cache in front",
    ),
    (
        &["--cache"],
        &["--also"],
        "the cache has one name for an object, without its bucket; render an Envoy for each bucket",
    ),
    (
        &["--also"],
        &["--site", "--spa"],
        "the error document is one for all; render an Envoy for each bucket",
    ),
    (
        &["--deny-address"],
        &["--allow-referer", "--allow-address"],
        "who is not allowed is refused; take --deny-address out",
    ),
];

const NEEDED: &[(&str, &str)] = &[
    ("--members", "--jwks"),
    ("--members", "--jwt-issuer"),
    ("--members", "--jwt-audience"),
    ("--jwks", "--members"),
    ("--jwt-issuer", "--members"),
    ("--jwt-audience", "--members"),
    ("--ask-at", "--ask"),
    ("--url-type", "--signed-urls"),
    ("--url-key-backup", "--signed-urls"),
    ("--cache-folder", "--cache"),
    ("--refresh-port", "--cache"),
    ("--refresh-users", "--cache"),
    ("--tls-folder", "--tls"),
];

const NOTHING: &[&str] = &[];
const OF_ONE_FILE: &[&str] = &["--cache", "--sidecar"];
const OF_ONE_FILE_OR_COMPOSE: &[&str] = &["--cache", "--sidecar", "--sidecar-token"];
const FEATURES: &[&str] = &[
    "--site",
    "--spa",
    "--cors",
    "--cache",
    "--also",
    "--tls",
    "--pass-good-answers",
    "--show-in-browser",
    "--access-log",
    "--signed-urls",
    "--members",
    "--ask",
    "--referer-at",
    "--allow-referer",
    "--allow-address",
    "--deny-address",
    "--port",
    "--admin-port",
    "--sidecar",
    "--sidecar-token",
    "--connect",
    "--oss-tls",
];

/// The targets, by the flags that only they have.
const OF_TARGETS: &[(&[&str], &[&str])] = &[
    (&["envoy"], &["--native"]),
    (&["kubernetes"], &["--pod-credentials", "--role"]),
    (&["istio"], &["--istio"]),
    (
        &["envoy", "compose", "kubernetes", "istio"],
        &["--module", "--ca-file"],
    ),
    (&["istio", "envoy-gateway", "higress"], &["--host"]),
    (
        &["kubernetes", "istio", "envoy-gateway", "higress"],
        &["--registry"],
    ),
];
