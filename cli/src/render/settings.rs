//! The settings of the filter in its two roles, as a person would write the JSON.

use super::plan::Plan;
use super::prefixes::name_of;
use super::values::quoted;

/// Adds the filter's settings to a plan.
pub fn add(plan: &mut Plan) {
    plan.signer = signer(plan);
    plan.signer_variables = match (&plan.sidecar, plan.sidecar_token) {
        (None, _) => vec![ID, SECRET],
        (Some(_), true) => vec![TOKEN],
        (Some(_), false) => Vec::new(),
    };
    let checks = plan.readers.signed_urls.is_some() || !plan.readers.referer_at.is_empty();
    plan.access = checks.then(|| access(plan));
    plan.access_variables = match (&plan.readers.signed_urls, plan.readers.url_key_backup) {
        (None, _) => Vec::new(),
        (Some(_), true) => vec![KEY, BACKUP],
        (Some(_), false) => vec![KEY],
    };
}

/// The settings of the filter that signs.
fn signer(plan: &Plan) -> String {
    let source = match &plan.sidecar {
        None => object(&[(
            "access_key",
            object(&[("id_env", quoted(ID)), ("secret_env", quoted(SECRET))]),
        )]),
        Some(_) => {
            let mut sidecar = vec![("cluster", quoted("sts_sidecar"))];
            if plan.sidecar_token {
                sidecar.push(("token_env", quoted(TOKEN)));
            }
            object(&[("sidecar", object(&sidecar))])
        }
    };
    let mut defaults = vec![
        ("bucket", quoted(&plan.origin.bucket)),
        ("region", quoted(&plan.origin.region)),
        ("endpoint", quoted(&plan.origin.endpoint)),
    ];
    for (given, name, value) in [
        (plan.origin.is_domain, "addressing", quoted("cname")),
        (
            plan.features.site || plan.features.spa,
            "index_document",
            quoted("index.html"),
        ),
        (
            plan.features.show_in_browser,
            "forced_download",
            quoted("remove"),
        ),
        (
            plan.features.site || plan.features.spa,
            "errors",
            quoted("neutral"),
        ),
        (
            plan.features.access_log,
            "access_log_fields",
            "true".to_owned(),
        ),
    ] {
        if given {
            defaults.push((name, value));
        }
    }
    let mut sources = vec![("default", source.clone())];
    let mut routes = Vec::new();
    for one in &plan.origin.also {
        sources.push((&one.name, source.clone()));
        let settings = [
            ("bucket", quoted(&one.bucket)),
            ("endpoint", quoted(&one.endpoint)),
            ("addressing", quoted("virtual_hosted")),
            ("credentials", quoted(&one.name)),
            ("strip_prefix", quoted(&format!("/{}/", one.name))),
        ];
        routes.push((one.name.as_str(), object(&settings)));
    }
    let sources = match sources.as_slice() {
        [_] => object(&sources),
        _ => spread(&sources, 2),
    };
    let defaults = match defaults.len() {
        0..=5 => object(&defaults),
        _ => spread(&defaults, 2),
    };
    let mut all = vec![("credentials", sources), ("defaults", defaults)];
    if !routes.is_empty() {
        all.push(("routes", spread(&routes, 2)));
    }
    spread(&all, 0)
}

/// The settings of the filter that checks URLs and links.
fn access(plan: &Plan) -> String {
    let mut all = Vec::new();
    let mut keys = vec![("key_env", quoted(KEY))];
    if plan.readers.url_key_backup {
        keys.push(("backup_key_env", quoted(BACKUP)));
    }
    let kind = [
        ("type", quoted(&plan.readers.url_type)),
        ("valid_seconds", "1800".to_owned()),
    ];
    let signed = object(&[("url_signing", object(&kind))]);
    let of = |access: String| object(&[("access", access)]);
    let mut routes = Vec::new();
    let mut defaults = object(&[("public", "true".to_owned())]);
    match plan.readers.signed_urls.as_deref() {
        None => {}
        Some("/") => defaults = signed,
        Some(prefix) => routes.push((name_of(prefix), of(signed))),
    }
    if plan.readers.signed_urls.is_some() {
        all.push(("url_keys", object(&[("default", object(&keys))])));
    }
    for (prefix, domain) in &plan.readers.referer_at {
        let referer = [
            ("allow", format!("[{}]", quoted(domain))),
            ("allow_empty", "false".to_owned()),
        ];
        let access = object(&[("referer", object(&referer))]);
        routes.push((name_of(prefix), of(access)));
    }
    all.push(("defaults", of(defaults)));
    let routes: Vec<_> = routes
        .iter()
        .map(|(name, settings)| (name.as_str(), settings.clone()))
        .collect();
    match routes.as_slice() {
        [] => {}
        [_] => all.push(("routes", object(&routes))),
        _ => all.push(("routes", spread(&routes, 2))),
    }
    spread(&all, 0)
}

/// A JSON object on one line.
fn object(fields: &[(&str, String)]) -> String {
    let fields: Vec<_> = fields.iter().map(field).collect();
    format!("{{{}}}", fields.join(", "))
}

/// A JSON object with a line for each field.
fn spread(fields: &[(&str, String)], indent: usize) -> String {
    let space = " ".repeat(indent);
    let fields: Vec<_> = fields
        .iter()
        .map(|one| format!("{space}  {}", field(one)))
        .collect();
    format!("{{\n{}\n{space}}}", fields.join(",\n"))
}

fn field((name, value): &(&str, String)) -> String {
    format!("{}: {value}", quoted(name))
}

const ID: &str = "ALIBABA_CLOUD_ACCESS_KEY_ID";
const SECRET: &str = "ALIBABA_CLOUD_ACCESS_KEY_SECRET";
const TOKEN: &str = "STS_SIDECAR_TOKEN";
const KEY: &str = "URL_KEY";
const BACKUP: &str = "URL_KEY_BACKUP";
