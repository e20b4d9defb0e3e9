//! The prefixes that have rules of their own. Each path has the rules of one prefix.

use super::plan::Plan;

/// The rules of who may read: the flag and the prefix of each.
pub fn rules(plan: &Plan) -> Vec<(&'static str, &str)> {
    let readers = &plan.readers;
    let members = readers.members.iter().map(|prefix| ("--members", prefix));
    let asked = readers.ask.iter().map(|_| ("--ask", &readers.ask_at));
    let signed = readers.signed_urls.iter();
    let signed = signed.map(|prefix| ("--signed-urls", prefix));
    let referer = readers.referer_at.iter();
    let referer = referer.map(|(prefix, _)| ("--referer-at", prefix));
    let all = members.chain(asked).chain(signed).chain(referer);
    all.map(|(flag, prefix)| (flag, prefix.as_str())).collect()
}

/// Refuses prefixes that overlap, and flags that exclude them.
pub fn check(plan: &Plan) -> Result<(), String> {
    let also = plan.origin.also.iter();
    let mut taken: Vec<_> = also.map(|one| ("--also", prefix_of(&one.name))).collect();
    if plan.features.cache {
        taken.push(("--cache", UNCACHED.to_owned()));
    }
    for (flag, prefix) in rules(plan) {
        if prefix == "/" {
            check_of_all(plan, flag)?;
            continue;
        }
        if RESERVED.contains(&name_of(prefix).as_str()) {
            return Err(format!(
                "{flag} is {prefix:?}: a route has this name; choose another"
            ));
        }
        taken.push((flag, prefix.to_owned()));
    }
    for (index, (flag, prefix)) in taken.iter().enumerate() {
        for (other, earlier) in taken.iter().take(index) {
            let name = name_of(prefix);
            if name == name_of(earlier) && prefix != earlier {
                return Err(format!(
                    "{flag} is {prefix:?}, and {other} is {earlier:?}: both routes would have the \
                     name {name}; choose other prefixes"
                ));
            }
            if prefix.starts_with(earlier) || earlier.starts_with(prefix) {
                return Err(format!(
                    "{flag} and {other} do not go together below {prefix}: one of the prefixes \
                     begins with the other; choose prefixes side by side"
                ));
            }
        }
    }
    let kind = plan.readers.url_type.as_str();
    let before_path = plan.readers.signed_urls.is_some() && ["B", "C1"].contains(&kind);
    if let (true, Some((flag, _))) = (before_path, taken.first()) {
        return Err(format!(
            "--url-type {kind} and {flag} do not go together: the signature stands before the \
             prefix; take type A, C2 or F"
        ));
    }
    Ok(())
}

/// Refuses what excludes a rule for all objects.
fn check_of_all(plan: &Plan, flag: &str) -> Result<(), String> {
    let pages = [("--site", plan.features.site), ("--spa", plan.features.spa)];
    if let Some((page, _)) = pages.iter().find(|(_, given)| *given) {
        return Err(format!(
            "{flag} for all objects and {page} do not go together: the page that answers what \
             does not exist would be refused; give {flag} a prefix"
        ));
    }
    let allows = [
        ("--allow-referer", !plan.readers.allow_referers.is_empty()),
        ("--allow-address", !plan.readers.allow_addresses.is_empty()),
    ];
    match allows.iter().find(|(_, given)| *given) {
        Some((other, _)) if flag == "--members" => Err(format!(
            "--members / and {other} do not go together: members need no other right; give \
             --members a prefix, or take {other} out"
        )),
        _ => Ok(()),
    }
}

/// The name of the route for a prefix.
pub fn name_of(prefix: &str) -> String {
    match prefix.trim_matches('/') {
        "" => "objects".to_owned(),
        names => names.replace('/', "_"),
    }
}

/// The prefix of another bucket.
pub fn prefix_of(name: &str) -> String {
    format!("/{name}/")
}

/// The prefix of what is not cached.
pub const UNCACHED: &str = "/uncached/";

/// The names of other routes.
const RESERVED: [&str; 4] = ["objects", "error_document", "the_page", "pages"];
