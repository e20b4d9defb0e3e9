//! Makes the plan from the flags.

use super::combinations::{self, Given};
use super::options::{self, Options};
use super::origin::{origin, sidecar, sidecar_token};
use super::parse::{each, is_set, one, optional};
use super::plan::{Cluster, Features, Origin, Places, Plan, Readers};
use super::{prefixes, routes, settings, values};

/// Checks the values of the flags, and makes the plan.
pub fn plan(options: &Options, given: &Given, made_by: String) -> Result<Plan, String> {
    combinations::check(given, options)?;
    let mut plan = Plan {
        target: options.target.clone(),
        made_by,
        version: env!("CARGO_PKG_VERSION"),
        from_checkout: options.from_checkout,
        native: options.native,
        is_smallest: false,
        origin: origin(options)?,
        sidecar: sidecar(options)?,
        sidecar_token: sidecar_token(options),
        features: features(options)?,
        readers: readers(&options.access, options.features.cache)?,
        places: places(options)?,
        cluster: cluster(&options.cluster)?,
        routes: Vec::new(),
        signer: String::new(),
        signer_variables: Vec::new(),
        access: None,
        access_variables: Vec::new(),
    };
    plan.is_smallest = !plan.native && is_smallest(&plan.origin, &plan.features, &plan.readers);
    check_ports(&plan)?;
    prefixes::check(&plan)?;
    plan.routes = routes::routes(&plan);
    settings::add(&mut plan);
    Ok(plan)
}

fn features(options: &Options) -> Result<Features, String> {
    let (given, folder) = (&options.features, &options.places.tls_folder);
    let tls_folder = optional("--tls-folder (TLS_FOLDER)", folder, values::path)?;
    let tls_folder = tls_folder.unwrap_or_else(|| "/etc/envoy".to_owned());
    Ok(Features {
        site: given.site,
        spa: given.spa,
        cors: each("--cors", &given.cors, values::origin)?,
        cache: given.cache,
        pass_good_answers: given.pass_good_answers,
        show_in_browser: given.cache || given.site || given.spa || given.show_in_browser,
        access_log: given.access_log,
        tls_folder: given.tls.then_some(tls_folder),
    })
}

fn readers(given: &options::Access, cache: bool) -> Result<Readers, String> {
    let jwks = optional("--jwks", &given.jwks, values::jwks)?;
    let (jwks, jwks_host) = jwks.unwrap_or_default();
    let ask_at = optional("--ask-at", &given.ask_at, values::prefix)?;
    let mut readers = Readers {
        signed_urls: optional("--signed-urls", &given.signed_urls, values::prefix)?,
        url_type: given.url_type.clone().unwrap_or_else(|| "A".to_owned()),
        url_key_backup: given.url_key_backup || is_set("URL_KEY_BACKUP"),
        members: optional("--members", &given.members, values::prefix)?,
        jwks,
        jwks_host,
        jwt_issuer: optional("--jwt-issuer", &given.jwt_issuer, values::text)?.unwrap_or_default(),
        jwt_audiences: each("--jwt-audience", &given.jwt_audience, values::text)?,
        ask: optional("--ask", &given.ask, values::address)?,
        ask_at: ask_at.unwrap_or_else(|| "/".to_owned()),
        referer_at: each("--referer-at", &given.referer_at, referer_at)?,
        allow_referers: each("--allow-referer", &given.allow_referer, values::page)?,
        allow_addresses: each("--allow-address", &given.allow_address, values::network)?,
        deny_addresses: each("--deny-address", &given.deny_address, values::network)?,
        checks_addresses: false,
        one_spelling: false,
    };
    readers.checks_addresses =
        !(readers.allow_addresses.is_empty() && readers.deny_addresses.is_empty());
    readers.one_spelling = cache
        || readers.signed_urls.is_some()
        || readers.members.is_some()
        || readers.ask.is_some()
        || !readers.referer_at.is_empty()
        || !readers.allow_referers.is_empty();
    Ok(readers)
}

fn referer_at(text: &str) -> Result<(String, String), String> {
    let problem = "it must be a prefix and a domain: /pictures/=example.com";
    let (prefix, domain) = text.split_once('=').ok_or(problem)?;
    let prefix = values::prefix(prefix)?;
    let domain = values::host(domain).map_err(|_| problem)?;
    match prefix.as_str() {
        "/" => Err(format!("{problem}; for all objects use --allow-referer")),
        _ => Ok((prefix, domain)),
    }
}

fn places(options: &Options) -> Result<Places, String> {
    let given = &options.places;
    let port = |flag, value, otherwise| {
        let port = optional(flag, value, values::port)?;
        Ok::<_, String>(port.unwrap_or(otherwise))
    };
    let path = |flag, value, otherwise: &str| {
        let path = optional(flag, value, values::path)?;
        Ok::<_, String>(path.unwrap_or_else(|| otherwise.to_owned()))
    };
    let refresh_port = "--refresh-port (REFRESH_PORT)";
    let (cache, folder) = ("--cache-folder (CACHE_FOLDER)", "/var/cache/envoy");
    let (users, file) = (
        "--refresh-users (REFRESH_USERS)",
        "/etc/envoy/refresh.htpasswd",
    );
    let module = module_of(&options.target);
    let ca_file = path("--ca-file (CA_FILE)", &given.ca_file, CERTIFICATES)?;
    Ok(Places {
        port: port(PORT, &given.port, 10000)?,
        admin_port: port(ADMIN_PORT, &given.admin_port, 9901)?,
        stats_port: (options.target == "kubernetes").then_some(9902),
        refresh_port: port(refresh_port, &given.refresh_port, 10001)?,
        module: path("--module (WASM_FILE)", &given.module, module)?,
        own_ca: ca_file != CERTIFICATES,
        ca_file,
        cache_folder: path(cache, &given.cache_folder, folder)?,
        refresh_users: path(users, &given.refresh_users, file)?,
    })
}

fn cluster(given: &options::Cluster) -> Result<Cluster, String> {
    Ok(Cluster {
        registry: one("--registry", &given.registry, values::registry)?,
        pod_secret: given.pod_credentials == "secret",
        role: one("--role", &given.role, values::name)?,
        istio: given.istio.clone(),
        clients_host: one("--host", &given.host, values::host)?,
    })
}

fn is_smallest(origin: &Origin, features: &Features, readers: &Readers) -> bool {
    let pages = features.site || features.spa || !features.cors.is_empty();
    let ways = origin.is_domain || !origin.also.is_empty() || features.tls_folder.is_some();
    let more = features.pass_good_answers || features.access_log;
    !(pages || ways || more || readers.one_spelling || readers.checks_addresses)
}

fn check_ports(plan: &Plan) -> Result<(), String> {
    let places = &plan.places;
    let mut taken = Vec::new();
    if let Some(sidecar) = plan.sidecar.iter().find(|at| at.host == "127.0.0.1") {
        taken.push(("--sidecar (SIDECAR_ADDRESS)", sidecar.port));
    }
    if let Some(port) = places.stats_port {
        taken.push(("the port of the metrics", port));
    }
    let fixed = ["compose", "kubernetes"].contains(&plan.target.as_str());
    for (flag, port) in [(PORT, places.port), (ADMIN_PORT, places.admin_port)] {
        if fixed && port == 0 {
            let target = &plan.target;
            return Err(format!(
                "{flag} is 0: with --target {target} others must know it; give a number, or take \
                 it out"
            ));
        }
        taken.push((flag, port));
    }
    if plan.features.cache {
        taken.push(("--refresh-port (REFRESH_PORT)", places.refresh_port));
    }
    for (index, (flag, port)) in taken.iter().enumerate() {
        let earlier = taken.iter().take(index).find(|(_, other)| other == port);
        if let (Some((other, _)), true) = (earlier, *port != 0) {
            return Err(format!(
                "{flag} is {port}, and so is {other}: choose another"
            ));
        }
    }
    Ok(())
}

/// The place of the module, if no flag names it.
fn module_of(target: &str) -> &'static str {
    match target {
        "istio" => "/var/lib/oss-origin-auth/oss_origin_auth.wasm",
        _ => "/etc/envoy/oss_origin_auth.wasm",
    }
}

const PORT: &str = "--port (LISTEN_PORT)";
const ADMIN_PORT: &str = "--admin-port (ADMIN_PORT)";

/// The file of the system's certificate authorities.
const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";
