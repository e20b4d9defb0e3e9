//! What stands around a value while a document is looked through.

use serde_json::Value;

use crate::finding::Place;
use crate::input::Source;
use crate::protobuf::field;

/// The name by which our filter is known.
pub const OURS: &str = "oss_origin_auth";

/// Whether the name of a plugin, or the place of its code, is the filter's.
pub fn is_ours(text: Option<&str>) -> bool {
    text.is_some_and(|text| text.replace('-', "_").contains(OURS))
}

/// Where a filter sits.
#[derive(Clone, Debug, PartialEq)]
pub enum Position {
    /// On the cluster of this name: behind every rewrite.
    Cluster(String),
    /// Among the filters of this one of `Found::managers`.
    Manager(usize),
    /// Among the filters of a gateway, whose routes stand elsewhere.
    Gateway,
    /// Among the filters of some routes of a gateway.
    Routes,
    /// It does not show.
    Unknown,
}

/// A `match_delegate` around a filter of ours.
#[derive(Debug)]
pub struct Delegate {
    /// The name by which routes give it another matcher.
    pub name: String,
    /// Envoy reads the deprecated field as well. With none it leaves the filter out
    /// altogether.
    pub matchers: Vec<Value>,
}

/// What stands around a value in the document.
#[derive(Clone, Copy, Debug, Default)]
pub struct Context<'a> {
    /// Where the document is from.
    pub source: Option<&'a Source>,
    /// The outermost that has a name: a cluster, a listener.
    pub within: Option<&'a str>,
    /// The innermost that has a name: a route, a cluster.
    pub owner: Option<&'a str>,
    /// Where a filter here sits.
    pub position: Option<Standing<'a>>,
    /// The name of the filter in which it stands.
    pub filter: &'a str,
    /// The `match_delegate` around it.
    pub delegates: Option<&'a Around<'a>>,
    /// The filter for which a route has this.
    pub of_route: Option<&'a str>,
    /// Whether it stands in a listener that Envoy alone reaches.
    pub is_internal: bool,
}

/// [`Position`], as far as it shows in a document of Envoy.
#[derive(Clone, Copy, Debug)]
pub enum Standing<'a> {
    /// [`Position::Cluster`].
    Cluster(&'a str),
    /// [`Position::Manager`].
    Manager(usize),
    /// [`Position::Gateway`].
    Gateway,
}

/// A `match_delegate`, and those around it.
#[derive(Debug)]
pub struct Around<'a> {
    /// Its name.
    pub name: &'a str,
    /// The message, with its matcher in it.
    pub message: &'a Value,
    /// The next one.
    pub around: Option<&'a Around<'a>>,
}

impl<'a> Context<'a> {
    /// The name of a filter: its own in Envoy, else that of the plugin.
    pub fn name(&self, plugin: Option<&'a str>) -> Option<&'a str> {
        match self.filter {
            "" => plugin,
            filter => Some(filter),
        }
    }

    /// Where a filter of this name is.
    pub fn place(&self, plugin: Option<&'a str>) -> Place {
        let name = self.name(plugin);
        Place {
            filter: name.map(|name| match self.within {
                Some(within) if within != name => format!("{name} in {within}"),
                _ => name.to_owned(),
            }),
            ..self.source.map(Source::place).unwrap_or_default()
        }
    }

    /// Where a filter here sits.
    pub fn position(&self) -> Position {
        match self.position {
            Some(Standing::Cluster(name)) => Position::Cluster(name.to_owned()),
            Some(Standing::Manager(index)) => Position::Manager(index),
            Some(Standing::Gateway) => Position::Gateway,
            None => Position::Unknown,
        }
    }

    /// How findings name the settings in the metadata of the owner.
    pub fn metadata(&self) -> String {
        let owner = self.owner.map(|owner| format!("[{owner}]."));
        let owner = owner.unwrap_or_default();
        format!("{owner}metadata.filter_metadata.{OURS}.config")
    }

    /// The `match_delegate`s around a filter here.
    pub fn delegates(&self) -> Vec<Delegate> {
        let all = std::iter::successors(self.delegates, |delegate| delegate.around);
        all.map(|delegate| {
            let matchers = ["xds_matcher", "matcher"].map(|name| field(delegate.message, name));
            Delegate {
                name: delegate.name.to_owned(),
                matchers: matchers.into_iter().flatten().cloned().collect(),
            }
        })
        .collect()
    }
}
