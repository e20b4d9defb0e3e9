//! curl, wget and aria2, also where a download is cut or resumed.

use super::{World, digest, digest_of};
use serde_json::json;
use testkit::alibaba::{generated, is_generated};
use testkit::clients::{client, ended, run};

const SIZE: usize = 3_000_000;
/// In which files these downloads are tried.
const FILES: [&str; 3] = ["minimal.yaml", "site.yaml", "cached.yaml"];

#[test]
fn curl_gets_the_whole_and_every_part() {
    for file in FILES {
        let world = World::start(file);
        let want = world.put_generated("large", SIZE);
        let url = world.url("large");
        let curl = |arguments: &[&str]| {
            let always = ["--silent", "--show-error", "--fail"];
            run(client("curl", &world.folder).args(always).args(arguments))
        };
        let parts = || {
            for (range, first, length) in [
                ("1000-1999", 1000, 1000),
                ("-500", SIZE - 500, 500),
                ("2999000-", 2_999_000, 1000),
                ("2999000-9999999", 2_999_000, 1000),
                ("0-0", 0, 1),
            ] {
                let got = curl(&["--range", range, &url]);
                let same = got == generated(first as u64, length);
                assert!(same, "{file}: {range}: {} other bytes", got.len());
            }
        };
        // Where there is a cache, these are cold, and the others warm.
        parts();
        assert_eq!(digest(&curl(&[&url])), want, "{file}");
        parts();
        let head = String::from_utf8(curl(&["--head", &url])).unwrap();
        let head = head.to_lowercase();
        assert!(head.contains("content-length: 3000000"), "{file}: {head}");

        // As text, and in gzip, which curl takes off again.
        let text = "All of it is text.\n".repeat(1000);
        let more = json!({"content_type": "text/plain",
                          "headers": {"Cache-Control": "max-age=3600"}});
        world.alibaba.put_object("text", &text, more);
        for compressed in [false, true, true, false] {
            let option = if compressed {
                "--compressed"
            } else {
                "--no-compressed"
            };
            let size = ["--write-out", "%{size_download}", "--output", "text"];
            let size = curl(&[&[option, &world.url("text")], &size[..]].concat());
            let size: usize = String::from_utf8(size).unwrap().parse().unwrap();
            let got = std::fs::read_to_string(world.folder.join("text")).unwrap();
            assert_eq!(got, text, "{file}: {option}");
            assert_eq!(size < text.len() / 2, compressed, "{file}: {size} bytes");
        }
        // A part is one of the plain text.
        let part = curl(&["--compressed", "--range", "1000-1999", &world.url("text")]);
        assert_eq!(part, text.as_bytes()[1000..2000], "{file}");
        // A client with a past.
        let cookies = format!("Cookie: a={}", "a".repeat(30_000));
        assert_eq!(
            curl(&["--header", &cookies, "--range", "0-3", &url]),
            generated(0, 4)
        );
    }
}

/// What has come so far stays, and nobody takes it for the whole.
#[test]
fn curl_resumes_a_download_that_was_cut() {
    for file in FILES {
        let world = World::start(file);
        // The connection ends after so many bytes, each time.
        world
            .alibaba
            .put_object("cut", "", json!({"size": SIZE, "cut": 1_200_000}));
        let got = world.folder.join("got");
        let mut sizes = Vec::new();
        for _ in 0..3 {
            let mut curl = client("curl", &world.folder);
            curl.args(["--silent", "--show-error", "--fail", "--continue-at", "-"]);
            let output = ended(curl.arg("--output").arg(&got).arg(world.url("cut")));
            sizes.push((output.status.code(), std::fs::metadata(&got).unwrap().len()));
        }
        // curl(1): 18 is a partial file.
        let want = [
            (Some(18), 1_200_000),
            (Some(18), 2_400_000),
            (Some(0), 3_000_000),
        ];
        assert_eq!(sizes, want, "{file}");
        assert_eq!(digest_of(&got), digest(&generated(0, SIZE)), "{file}");
    }
}

#[test]
fn wget_goes_on_where_it_was_cut() {
    for file in FILES {
        let world = World::start(file);
        world
            .alibaba
            .put_object("cut", "", json!({"size": SIZE, "cut": 1_200_000}));
        let want = world.put_generated("large", SIZE);
        let wget = |arguments: &[&str]| {
            let always = ["--no-verbose", "--waitretry=0", "--timeout=60"];
            run(client("wget", &world.folder).args(always).args(arguments))
        };
        wget(&[&world.url("cut")]);
        assert_eq!(digest_of(&world.folder.join("cut")), want, "{file}");
        // What another run has left.
        let half = world.folder.join("large");
        std::fs::write(&half, generated(0, SIZE / 2)).unwrap();
        wget(&["--continue", &world.url("large")]);
        assert_eq!(digest_of(&half), want, "{file}");
        // The file is there: 416, and wget is content.
        wget(&["--continue", &world.url("large")]);
        assert_eq!(digest_of(&half), want, "{file}");
    }
}

#[test]
fn aria2_gets_one_object_by_sixteen_connections() {
    const LARGE: usize = 25_000_000;
    // The cache keeps it.
    const KEPT: usize = 16_000_000;
    for file in FILES {
        let world = World::start(file);
        world.put_generated("large", LARGE);
        world.put_generated("kept", KEPT);
        // The connection ends after so many bytes, each time.
        let more = json!({"size": LARGE, "cut": 1_000_000});
        world.alibaba.put_object("cut", "", more);
        for (key, size) in [("large", LARGE), ("kept", KEPT), ("cut", LARGE)] {
            let mut aria2 = client("aria2c", &world.folder);
            aria2.args(["--no-conf", "--max-connection-per-server=16", "--split=16"]);
            aria2.args(["--min-split-size=1M", "--file-allocation=none"]);
            aria2.args(["--max-tries=0", "--summary-interval=0"]);
            let output = run(aria2.arg(world.url(key)));
            let got = std::fs::read(world.folder.join(key)).unwrap();
            let same = got.len() == size && is_generated(0, &got);
            let output = String::from_utf8_lossy(&output);
            assert!(same, "{file}: {key}: {} other bytes: {output}", got.len());
        }
        world.assert_fetched_well(("large", LARGE), file, 15);
        world.assert_fetched_well(("kept", KEPT), file, 12);
    }
}
