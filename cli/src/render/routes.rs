//! The routes of the listener for clients.

use super::plan::{Plan, Route};
use super::prefixes::{UNCACHED, name_of, prefix_of, rules};

/// The routes, in their order.
pub fn routes(plan: &Plan) -> Vec<Route> {
    let features = &plan.features;
    let to = if features.cache { "cache" } else { "oss" };
    let own = |name: &str, matches: String| route(name, matches, to, &plan.origin.host);
    let mut routes = Vec::new();
    if features.cache {
        let host = &plan.origin.host;
        routes.push(route("uncached", below(UNCACHED), "oss", host));
    }
    if features.site {
        routes.push(own("error_document", "{path: /404.html}".to_owned()));
    }
    if features.spa {
        routes.push(own("the_page", "{path: /index.html}".to_owned()));
    }
    for (flag, prefix) in rules(plan) {
        // The filter for JWTs looks at the path. The route only says that a JWT suffices.
        if prefix != "/" && (flag != "--members" || plan.readers.allow()) {
            routes.push(own(&name_of(prefix), below(prefix)));
        }
    }
    for one in &plan.origin.also {
        let cluster = format!("oss_{}", one.name);
        let below = below(&prefix_of(&one.name));
        routes.push(route(&one.name, below, &cluster, &one.host));
    }
    if features.spa {
        let pages = "{safe_regex: {regex: '/(.*/)?[^./]*'}}";
        routes.push(own("pages", pages.to_owned()));
    }
    routes.push(own("objects", below("/")));
    for route in &mut routes {
        add_rules(plan, route);
    }
    share(&mut routes, features.cache);
    routes
}

fn route(name: &str, matches: String, to: &str, host: &str) -> Route {
    Route {
        name: name.to_owned(),
        r#match: matches,
        to: to.to_owned(),
        host: host.to_owned(),
        ..Route::default()
    }
}

/// Sets what is checked on a route, and what is not.
fn add_rules(plan: &Plan, route: &mut Route) {
    let readers = &plan.readers;
    let is_of = |prefix: &str| route.name == name_of(prefix);
    let of_members = readers.members.as_deref().is_some_and(is_of);
    let of_signed = readers.signed_urls.as_deref().is_some_and(is_of);
    let of_referer = readers.referer_at.iter().any(|(prefix, _)| is_of(prefix));
    route.members = readers.allow() && of_members;
    route.not_asked = readers.ask.is_some() && readers.ask_at != "/" && !is_of(&readers.ask_at);
    route.in_settings = route.name != "objects" && (of_signed || of_referer);
}

/// Writes an action that several routes share only once.
fn share(routes: &mut [Route], cache: bool) {
    let clusters: Vec<_> = routes.iter().map(|route| route.to.clone()).collect();
    for (index, route) in routes.iter_mut().enumerate() {
        let earlier = clusters.iter().take(index).any(|to| *to == route.to);
        let later = clusters.iter().skip(index + 1).any(|to| *to == route.to);
        let anchor = match route.to.as_str() {
            "cache" => "held",
            to => to,
        };
        if earlier {
            route.alias = Some(anchor.to_owned());
        } else if later || cache {
            route.anchor = Some(anchor.to_owned());
        }
    }
}

fn below(prefix: &str) -> String {
    format!("{{prefix: {prefix}}}")
}
