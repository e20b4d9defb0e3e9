//! The templates, and the files that they make for a target.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, UndefinedBehavior, context};

use super::plan::Plan;
use super::values;

/// A file that is to be written.
#[derive(Debug)]
pub struct File {
    /// Its name in the folder.
    pub name: &'static str,
    pub text: String,
}

/// All files of a target.
pub fn files(plan: &Plan) -> Result<Vec<File>, String> {
    let environment = environment().map_err(|error| format!("a template: {error:#}"))?;
    let render = |(name, template): (&'static str, &str)| {
        let template = environment.get_template(template)?;
        let text = template.render(context! { p => Serde(plan) })?;
        Ok(File { name, text })
    };
    let rendered: Result<Vec<_>, minijinja::Error> =
        of_target(plan).into_iter().map(render).collect();
    rendered.map_err(|error| format!("a template: {error:#}"))
}

/// The files of a target, and their templates.
fn of_target(plan: &Plan) -> Vec<(&'static str, &'static str)> {
    let envoy = ("envoy.yaml", "envoy/envoy.yaml");
    match (plan.target.as_str(), plan.cluster.istio.as_str()) {
        ("compose", _) => vec![
            envoy,
            ("docker-compose.yml", "compose/docker-compose.yml"),
            (".env.example", "compose/env.example"),
        ],
        ("kubernetes", _) => {
            let mut files = vec![
                envoy,
                (
                    "envoy-with-sidecar.yaml",
                    "kubernetes/envoy-with-sidecar.yaml",
                ),
            ];
            if plan.cluster.pod_secret {
                files.push(("secret.yaml", "kubernetes/secret.yaml"));
            }
            files
        }
        ("istio", "wasm-plugin") => vec![("wasm-plugin.yaml", "istio/wasm-plugin.yaml")],
        ("istio", _) => vec![("envoy-filter.yaml", "istio/envoy-filter.yaml")],
        ("envoy-gateway", _) => vec![(
            "extension-policy.yaml",
            "envoy-gateway/extension-policy.yaml",
        )],
        ("higress", _) => vec![("wasm-plugin.yaml", "higress/wasm-plugin.yaml")],
        _ => vec![envoy],
    }
}

fn environment() -> Result<Environment<'static>, minijinja::Error> {
    let mut environment = Environment::new();
    // `values` makes sure that values are plain, or puts them in quotation marks.
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    let mut syntax = SyntaxConfig::builder();
    syntax
        .trim_blocks(true)
        .lstrip_blocks(true)
        .keep_trailing_newline(true);
    environment.set_syntax(syntax.build()?);
    environment.add_filter("scalar", |text: &str| values::scalar(text));
    for (name, text) in TEMPLATES {
        environment.add_template(name, text)?;
    }
    Ok(environment)
}

macro_rules! templates {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../templates/", $name)))),*]
    };
}

/// The files in the folder cli/templates.
const TEMPLATES: &[(&str, &str)] = templates![
    "blocks.yaml",
    "compose/docker-compose.yml",
    "compose/env.example",
    "envoy-gateway/extension-policy.yaml",
    "envoy/cache_clusters.yaml",
    "envoy/cache_listeners.yaml",
    "envoy/checks.yaml",
    "envoy/envoy.yaml",
    "envoy/head.yaml",
    "envoy/keys.yaml",
    "envoy/pages.yaml",
    "envoy/routes.yaml",
    "envoy/stats.yaml",
    "higress/wasm-plugin.yaml",
    "istio/envoy-filter.yaml",
    "istio/wasm-plugin.yaml",
    "kubernetes/envoy-with-sidecar.yaml",
    "kubernetes/secret.yaml",
];
