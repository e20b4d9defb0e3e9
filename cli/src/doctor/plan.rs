//! The bucket and the filter's settings for the test: from a file, or from the flags.

use std::path::Path;
use std::rc::Rc;

use oss_origin_auth_core::config::choices::Addressing;
use oss_origin_auth_core::config::{
    Config, ConfigError, Facts, Route, RuleInput, Treatment, fields,
};
use oss_origin_auth_core::credentials::Credentials;
use oss_origin_auth_core::fetch::source::SourceKind;
use oss_origin_auth_core::signing::Scheme;
use oss_origin_auth_core::words::Word;
use serde_json::{Value, json};

use super::Options;

/// The reason why there is nothing to test.
#[derive(Debug)]
pub enum Problem {
    /// An argument is wrong, or names a file that cannot be read.
    Argument(String),
    /// The settings that an argument names are wrong.
    Settings(String),
}

/// The settings to test.
pub struct Plan {
    /// The filter's settings, as JSON.
    settings: String,
    /// The name of Envoy's route; empty for the defaults.
    pub route_name: String,
    /// The parsed settings of the route.
    pub route: Rc<Route>,
    /// The name of the credentials in the sidecar's settings.
    pub credentials: String,
    /// Whether the settings are from a file, so that all of the filter's settings are known.
    pub is_of_file: bool,
}

impl Plan {
    /// The settings from the flags or from the file that they name, or the error in them.
    pub fn new(options: &Options) -> Result<Plan, Problem> {
        if options.route.is_some() && options.config.is_none() {
            let text = "--route: is for --config, whose routes it names; leave it out";
            return Err(Problem::Argument(text.to_owned()));
        }
        let (settings, shown) = match &options.config {
            Some(path) => (of_file(path)?, format!("{}: ", path.display())),
            None => (of_flags(options), String::new()),
        };
        let is_of_file = options.config.is_some();
        let read = |settings: &str| {
            parse(settings).map_err(|error| match is_of_file {
                true => Problem::Settings(format!("{shown}{error}")),
                false => Problem::Argument(of_flag(&error)),
            })
        };
        let parsed = read(&settings)?;
        let route_name = options.route.clone().unwrap_or_default();
        let (settings, route_name) = of_rules(&parsed, settings, route_name);
        let parsed = read(&settings)?;
        let route = choose(&parsed, &settings, &route_name);
        let route = route.map_err(|problem| match problem {
            Problem::Argument(why) => Problem::Argument(shown + &why),
            Problem::Settings(why) => Problem::Settings(shown + &why),
        })?;
        let source = parsed.credentials.get(route.account.0);
        let name = source.map_or("default", |source| match &source.kind {
            SourceKind::Sidecar(sidecar) => sidecar
                .path
                .strip_prefix("/v1/credentials/")
                .unwrap_or(&source.name),
            SourceKind::AccessKey(_) => "default",
        });
        let credentials = options.credentials.clone();
        Ok(Plan {
            credentials: credentials.unwrap_or_else(|| name.to_owned()),
            settings,
            route_name,
            route,
            is_of_file,
        })
    }

    /// The filter's configuration, with these credentials in place of all others.
    pub fn with(&self, credentials: &Credentials) -> Result<Config, String> {
        let mut config = parse(&self.settings).map_err(|error| error.to_string())?;
        for source in &mut config.credentials {
            source.kind = SourceKind::AccessKey(credentials.clone());
        }
        Ok(config)
    }

    /// The region that signatures are for, if they are for one.
    pub fn region(&self) -> Option<&str> {
        match &self.route.scheme {
            Scheme::V1 => None,
            Scheme::V4 { region, .. } => Some(region),
        }
    }

    /// The description of the settings in one line.
    pub fn shown(&self) -> String {
        let route = &self.route;
        let scheme = match &route.scheme {
            Scheme::V1 => "v1".to_owned(),
            Scheme::V4 { region, product } => format!("v4 for {region}/{}", product.word()),
        };
        let name = match self.route_name.as_str() {
            "" => String::new(),
            name => format!("route {}, ", name.escape_debug()),
        };
        let addressing = route.rules.addressing.word();
        format!(
            "{name}bucket {}, host {} ({addressing}), signature {scheme}",
            route.bucket, route.host
        )
    }

    /// The kind of the endpoint, with its region.
    pub fn endpoint(&self) -> Endpoint {
        let host = self.route.host.split(':').next().unwrap_or_default();
        let bucket = format!("{}.", self.route.bucket);
        let domain = host.strip_prefix(&bucket).unwrap_or(host);
        let Some(domain) = domain.strip_suffix(".aliyuncs.com") else {
            return Endpoint::Own;
        };
        if self.route.rules.addressing == Addressing::Cname && !host.starts_with(&bucket) {
            return Endpoint::Own;
        }
        if let Some(region) = domain.strip_suffix("-internal") {
            return Endpoint::Internal(region_of(region));
        }
        match region_of(domain) {
            region if region.starts_with("cn-") && !region.starts_with("cn-hongkong") => {
                Endpoint::Mainland(region)
            }
            region => Endpoint::Public(region),
        }
    }
}

/// The kind of an endpoint, with the region in its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A domain of the bucket's owner, or an unknown one.
    Own,
    /// An internal endpoint, which answers only within its region.
    Internal(String),
    /// A public endpoint in the mainland of China.
    Mainland(String),
    /// A public endpoint elsewhere.
    Public(String),
}

impl Endpoint {
    /// The region in the endpoint's name; empty if there is none.
    pub fn region(&self) -> &str {
        match self {
            Endpoint::Own => "",
            Endpoint::Internal(region) | Endpoint::Mainland(region) | Endpoint::Public(region) => {
                region
            }
        }
    }
}

/// The region in a domain such as `oss-cn-hangzhou` or `cn-hangzhou.oss`; empty for accelerated
/// endpoints.
fn region_of(domain: &str) -> String {
    let region = domain.strip_prefix("oss-").or(domain.strip_suffix(".oss"));
    let region = region.filter(|region| !region.starts_with("accelerate"));
    region.unwrap_or_default().to_owned()
}

/// Parses the filter's settings. The variables that they name need not be set.
fn parse(settings: &str) -> Result<Config, ConfigError> {
    Config::parse(settings.as_bytes(), |name| {
        let set = std::env::var(name).ok().filter(|value| !value.is_empty());
        Some(set.unwrap_or_else(|| "unset".into()))
    })
}

/// The settings in a file of the filter or of Envoy.
fn of_file(path: &Path) -> Result<String, Problem> {
    let shown = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| Problem::Argument(format!("--config: {shown}: {error}")))?;
    let found = oss_origin_auth_checker::settings(&text);
    let found = found.map_err(|problem| Problem::Settings(format!("{shown}: {problem}")))?;
    let signs = |settings: &str| {
        let settings: Option<Value> = serde_json::from_str(settings).ok();
        // Settings that cannot be parsed are kept, so that the error is reported.
        settings.is_none_or(|settings| settings.get("credentials").is_some())
    };
    let mut signing: Vec<String> = found
        .into_iter()
        .map(|(_, settings)| settings)
        .filter(|settings| signs(settings))
        .collect();
    signing.dedup();
    match (signing.len(), signing.pop()) {
        (1, Some(settings)) => Ok(settings),
        (0, _) => Err(Problem::Settings(format!(
            "{shown}: has no `credentials`: nothing is signed by it"
        ))),
        (count, _) => Err(Problem::Settings(format!(
            "{shown}: has {count} filters with settings of their own; write those of one into a \
             file, and name that"
        ))),
    }
}

/// The settings that the flags describe.
fn of_flags(options: &Options) -> String {
    let region = options.region.as_deref().unwrap_or_default();
    let endpoint = options.endpoint.clone();
    let endpoint = endpoint.unwrap_or_else(|| format!("oss-{region}-internal.aliyuncs.com"));
    let mut defaults = json!({"endpoint": endpoint});
    for (name, value) in [
        ("bucket", &options.bucket),
        ("region", &options.region),
        ("addressing", &options.addressing),
        ("signature_version", &options.signature_version),
        ("product", &options.product),
    ] {
        if let Some(value) = value {
            defaults[name] = json!(value);
        }
    }
    let sidecar = json!({"default": {"sidecar": {"cluster": "sts_sidecar"}}});
    json!({"credentials": sidecar, "defaults": defaults}).to_string()
}

/// The message of an error in the flags' settings, with the flag in place of the setting.
fn of_flag(error: &ConfigError) -> String {
    let text = error.to_string();
    let Some(rest) = text.strip_prefix("defaults.") else {
        return text;
    };
    let (name, problem) = rest.split_once(": ").unwrap_or((rest, ""));
    format!("--{}: {problem}", name.replace('_', "-"))
}

/// The settings with each rule as a route, which is named by the rule's place, and the name of
/// the rule that holds for `route_name`. Without rules, both are returned unchanged.
fn of_rules(config: &Config, settings: String, route_name: String) -> (String, String) {
    let root: Option<Value> = serde_json::from_str(&settings).ok();
    let Some(Value::Object(mut root)) = root else {
        return (settings, route_name);
    };
    let Some(Value::Array(rules)) = root.remove(fields::RULES) else {
        return (settings, route_name);
    };
    let name = |place: usize| format!("{}[{place}]", fields::RULES);
    let routes = rules.into_iter().enumerate().map(|(place, mut rule)| {
        if let Value::Object(own) = &mut rule {
            let is_condition = |name: &String| fields::RULE.iter().any(|one| one.name == name);
            own.retain(|name, _| !is_condition(name));
        }
        (name(place), rule)
    });
    root.insert("routes".into(), Value::Object(routes.collect()));
    let input = RuleInput {
        route_name: route_name.as_bytes(),
        ..RuleInput::default()
    };
    let is_place = route_name.starts_with(fields::RULES);
    // Without a name the defaults are chosen.
    let is_route = !is_place && !route_name.is_empty();
    let rule = config.rule_of(input).filter(|_| is_route);
    let chosen = rule.map_or(route_name, name);
    (Value::Object(root).to_string(), chosen)
}

/// Finds the settings of a route.
fn choose(config: &Config, settings: &str, name: &str) -> Result<Rc<Route>, Problem> {
    let settings: Value = serde_json::from_str(settings).unwrap_or_default();
    let names = settings["routes"].as_object().into_iter().flatten();
    let names: Vec<&str> = names.map(|(name, _)| name.as_str()).collect();
    let known = match names.as_slice() {
        [] => "there are no `routes`".to_owned(),
        names => format!("there are {}", names.join(", ")),
    };
    if !name.is_empty() && !names.contains(&name) {
        let text = format!("--route: there are no settings of that name; {known}");
        return Err(Problem::Argument(text));
    }
    let nothing = match config.treatment(&Facts::of_route(name.as_bytes())) {
        Some(Treatment::Sign(route)) => return Ok(Rc::clone(route)),
        Some(Treatment::Deny) => {
            format!("these settings refuse every request (`deny`); --route names others: {known}")
        }
        Some(Treatment::PassUnsigned(_)) => format!(
            "these settings sign nothing (`enabled` is false); --route names others: {known}"
        ),
        None => format!("the defaults are not complete; name a route with --route; {known}"),
    };
    Err(Problem::Settings(nothing))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_chosen_by_its_route_or_its_place() {
        let rule = |own: Value| {
            let mut rule =
                json!({"bucket": "my-bucket", "region": "cn-hangzhou", "endpoint": "oss"});
            rule.as_object_mut()
                .unwrap()
                .extend(own.as_object().unwrap().clone());
            rule
        };
        let settings = json!({
            "credentials": {"default": {"sidecar": {"cluster": "c"}}},
            "_rules_": [rule(json!({"_match_domain_": ["a.com"], "bucket": "bucket-one"})),
                        rule(json!({"_match_route_prefix_": ["obj"], "bucket": "bucket-two"})),
                        rule(json!({"_match_domain_": ["*"], "bucket": "bucket-three"}))],
        });
        let settings = settings.to_string();
        let chosen = |name: &str| {
            let (settings, name) =
                of_rules(&parse(&settings).unwrap(), settings.clone(), name.into());
            let route = choose(&parse(&settings).unwrap(), &settings, &name);
            route.map(|route| route.bucket.clone())
        };
        assert_eq!(chosen("objects").unwrap(), "bucket-two");
        for (place, bucket) in ["bucket-one", "bucket-two", "bucket-three"]
            .iter()
            .enumerate()
        {
            assert_eq!(chosen(&format!("_rules_[{place}]")).unwrap(), *bucket);
        }
        assert_eq!(chosen("other").unwrap(), "bucket-three");
        assert!(chosen("").is_err(), "the defaults, which have no bucket");
        for name in ["_rules_[3]"] {
            match chosen(name) {
                Err(Problem::Argument(why)) => {
                    assert!(why.contains("_rules_[0], _rules_[1]"), "{why}")
                }
                other => panic!("{other:?}"),
            }
        }
        assert!(matches!(chosen(""), Err(Problem::Settings(_))));
    }

    #[test]
    fn an_endpoint_is_known_by_its_name() {
        let endpoint = |host: &str, addressing: &str| {
            let settings = json!({
                "credentials": {"default": {"sidecar": {"cluster": "c"}}},
                "defaults": {"bucket": "my-bucket", "region": "cn-hangzhou", "endpoint": host,
                             "addressing": addressing},
            });
            let settings = settings.to_string();
            let route = choose(&parse(&settings).unwrap(), &settings, "").unwrap();
            let plan = Plan {
                settings,
                route_name: String::new(),
                route,
                credentials: String::new(),
                is_of_file: false,
            };
            plan.endpoint()
        };
        let hosted = |host| endpoint(host, "virtual_hosted");
        let hangzhou = || "cn-hangzhou".to_owned();
        for (host, want) in [
            (
                "oss-cn-hangzhou-internal.aliyuncs.com",
                Endpoint::Internal(hangzhou()),
            ),
            (
                "oss-cn-hangzhou.aliyuncs.com",
                Endpoint::Mainland(hangzhou()),
            ),
            (
                "cn-hangzhou.oss.aliyuncs.com",
                Endpoint::Mainland(hangzhou()),
            ),
            (
                "oss-cn-hongkong.aliyuncs.com",
                Endpoint::Public("cn-hongkong".into()),
            ),
            (
                "oss-eu-central-1.aliyuncs.com",
                Endpoint::Public("eu-central-1".into()),
            ),
            (
                "oss-accelerate.aliyuncs.com",
                Endpoint::Public(String::new()),
            ),
            ("oss.example.com", Endpoint::Own),
        ] {
            assert_eq!(hosted(host), want, "{host}");
        }
        assert_eq!(endpoint("img.example.com", "cname"), Endpoint::Own);
    }
}
