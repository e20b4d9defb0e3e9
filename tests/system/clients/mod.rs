//! Clients that people have, through the configurations that people are given: what
//! they get is the object, byte for byte.

mod browser;
mod demo;
mod downloads;
mod films;
mod sdks;
mod signed_urls;
mod small_files;

use std::path::{Path, PathBuf};

use crate::common::{SECRET, TOKEN, good_answer};
use serde_json::json;
use sha2::{Digest, Sha256};
use testkit::alibaba::{Seen, generated};
use testkit::process::scratch;
use testkit::shipped::Shipped;
use testkit::{FakeAlibaba, StubSidecar};

/// The fake OSS, Envoy with a shipped configuration, and a folder for the client.
struct World {
    alibaba: FakeAlibaba,
    envoy: Shipped,
    folder: PathBuf,
    _stub: StubSidecar,
}

/// Up to which size cached.yaml keeps an object.
const CACHED: usize = 16_777_216;

impl World {
    fn start(file: &str) -> World {
        World::start_with(file, |text| text)
    }

    /// With a last change of the configuration.
    fn start_with(file: &str, adapt: impl Fn(String) -> String) -> World {
        let alibaba = FakeAlibaba::start();
        alibaba.add_key("STS.example", SECRET, Some(TOKEN), None);
        let stub = StubSidecar::start(good_answer());
        let folder = scratch("client");
        std::fs::create_dir_all(&folder).unwrap();
        let envoy = Shipped::start_with(file, alibaba.oss_port, stub.port, &[], adapt);
        World {
            alibaba,
            envoy,
            folder,
            _stub: stub,
        }
    }

    fn url(&self, key: &str) -> String {
        format!("http://127.0.0.1:{}/{key}", self.envoy.port)
    }

    /// An object of so many bytes; its digest.
    fn put_generated(&self, key: &str, size: usize) -> String {
        let more = json!({"size": size, "headers": {"Cache-Control": "max-age=3600"}});
        self.alibaba.put_object(key, "", more);
        digest(&generated(0, size))
    }

    /// The cache fetches an object once and as a whole, and cuts from it what clients want;
    /// but requests with If-Range, which browsers send when they seek, pass it by. Without it,
    /// or if the object is too large for it, OSS itself has answered at least so many ranges,
    /// each as such, or that nothing has changed (browsers ask that).
    fn assert_fetched_well(&self, (key, size): (&str, usize), file: &str, at_least: usize) {
        let ranges = self.ranges_of(key);
        if file == "cached.yaml" && size <= CACHED {
            let mut seen = self.alibaba.seen();
            seen.retain(|seen| seen.target == format!("/{key}"));
            seen.retain(|seen| seen.header("if-range").is_empty());
            let of = |seen: &Seen| (seen.status, seen.header("range").concat());
            let fetches: Vec<_> = seen.iter().map(of).collect();
            assert_eq!(fetches, [(200, String::new())], "{key}");
        } else {
            assert!(ranges.len() >= at_least, "{file}: {key}: {ranges:?}");
            let all_parts = ranges.iter().all(|status| matches!(status, 206 | 304));
            assert!(all_parts, "{file}: {key}: {ranges:?}");
        }
    }

    /// The statuses with which OSS answered the GETs of an object that had a Range.
    fn ranges_of(&self, key: &str) -> Vec<u64> {
        let target = format!("/{key}");
        let mut seen = self.alibaba.seen();
        seen.retain(|seen| seen.target == target && !seen.header("range").is_empty());
        seen.iter().map(|seen| seen.status).collect()
    }
}

/// With settings for every route, before those that are there.
fn with_settings(settings: &'static str) -> impl Fn(String) -> String {
    move |text| {
        let place = "\"bucket\": \"demo-bucket\"";
        assert!(text.contains(place), "{text}");
        text.replace(place, &format!("{settings}, {place}"))
    }
}

/// SHA-256 in hex.
fn digest(content: &[u8]) -> String {
    let digest = Sha256::digest(content);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn digest_of(file: &Path) -> String {
    let content = std::fs::read(file);
    digest(&content.unwrap_or_else(|error| panic!("{}: {error}", file.display())))
}
