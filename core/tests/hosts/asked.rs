//! What most tests of responses begin with.

use super::node::{OssAnswer, Seen};
use super::world::World;

pub const CONFIGURATION: &str = r#"{"credentials": {"default": {"sidecar": {"cluster": "sts"}}},
    "defaults": {"bucket": "my-bucket", "region": "cn-hangzhou", "endpoint": "oss"}}"#;

/// The configuration with these settings of its defaults besides.
pub fn with(defaults: &str) -> String {
    let region = r#""region": "cn-hangzhou""#;
    CONFIGURATION.replace(region, &format!("{region}, {defaults}"))
}

/// A host that has credentials, and a request that has left.
pub fn sent<W: World>(configuration: &str) -> (W, u32) {
    let mut world = W::new(configuration);
    world.tick();
    world.give("STS.first-of-them");
    let stream = world.first(|node| node.request("/a"));
    assert_eq!(
        key_of(&mut world, stream).as_deref(),
        Some("STS.first-of-them")
    );
    (world, stream)
}

/// The key that signed a request; `None` while it is held.
pub fn key_of<W: World>(world: &mut W, stream: u32) -> Option<String> {
    Some(world.first(move |node| node.fate(stream))?.key())
}

pub fn respond<W: World>(world: &mut W, stream: u32, answer: OssAnswer) -> Vec<Seen> {
    world.first(move |node| node.respond(stream, &answer))
}
