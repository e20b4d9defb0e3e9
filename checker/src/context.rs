//! The surroundings of a value while a document is searched.

use serde_json::Value;

use crate::finding::Place;
use crate::input::Source;
use crate::protobuf::field;

/// The name that marks our filter.
pub const OURS: &str = "oss_origin_auth";

/// Whether the name of a plugin, or the place of its code, is that of the filter.
pub fn is_ours(text: Option<&str>) -> bool {
    text.is_some_and(|text| text.replace('-', "_").contains(OURS))
}

/// The place of a filter in Envoy.
#[derive(Clone, Debug, PartialEq)]
pub enum Position {
    /// An upstream filter, on the cluster of this name: it runs after every rewrite.
    Cluster(String),
    /// A downstream filter of the manager with this index in `Found::managers`.
    Manager(usize),
    /// A filter of a gateway, whose routes are elsewhere.
    Gateway,
    /// A filter of some routes of a gateway.
    Routes,
    /// The position is not known.
    Unknown,
}

/// A `match_delegate` around one of our filters.
#[derive(Debug)]
pub struct Delegate {
    /// The name by which a route can replace its matcher.
    pub name: String,
    /// The matchers in both fields; Envoy reads the deprecated one as well. Without a matcher
    /// Envoy leaves the filter out.
    pub matchers: Vec<Value>,
}

/// The surroundings of a value in the document.
#[derive(Clone, Copy, Debug, Default)]
pub struct Context<'a> {
    /// The document.
    pub source: Option<&'a Source>,
    /// The outermost parent that has a name: a cluster or a listener.
    pub within: Option<&'a str>,
    /// The innermost parent that has a name: a route or a cluster.
    pub owner: Option<&'a str>,
    /// The position of a filter here.
    pub position: Option<Standing<'a>>,
    /// The name of the filter that contains the value.
    pub filter: &'a str,
    /// The innermost `match_delegate` around the value.
    pub delegates: Option<&'a Around<'a>>,
    /// The filter that a route configures with the value.
    pub of_route: Option<&'a str>,
    /// Whether the value is in a listener that only this Envoy reaches.
    pub is_internal: bool,
}

/// A [`Position`] that can be seen in a document of Envoy.
#[derive(Clone, Copy, Debug)]
pub enum Standing<'a> {
    /// [`Position::Cluster`].
    Cluster(&'a str),
    /// [`Position::Manager`].
    Manager(usize),
    /// [`Position::Gateway`].
    Gateway,
}

/// A `match_delegate`, linked to the one around it.
#[derive(Debug)]
pub struct Around<'a> {
    /// The name of the `match_delegate`.
    pub name: &'a str,
    /// The message, which holds the matcher.
    pub message: &'a Value,
    /// The next `match_delegate` outwards.
    pub around: Option<&'a Around<'a>>,
}

impl<'a> Context<'a> {
    /// The name of a filter here: its own in Envoy, or that of the plugin.
    pub fn name(&self, plugin: Option<&'a str>) -> Option<&'a str> {
        match self.filter {
            "" => plugin,
            filter => Some(filter),
        }
    }

    /// The place of a filter with this name.
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

    /// The position of a filter here.
    pub fn position(&self) -> Position {
        match self.position {
            Some(Standing::Cluster(name)) => Position::Cluster(name.to_owned()),
            Some(Standing::Manager(index)) => Position::Manager(index),
            Some(Standing::Gateway) => Position::Gateway,
            None => Position::Unknown,
        }
    }

    /// The name that findings use for the settings in the owner's metadata.
    pub fn metadata(&self) -> String {
        let owner = self.owner.map(|owner| format!("[{owner}]."));
        let owner = owner.unwrap_or_default();
        format!("{owner}metadata.filter_metadata.{OURS}.config")
    }

    /// The list of `match_delegate`s around a filter here.
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
