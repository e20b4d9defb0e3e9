//! Chromium shows a page, with its images, its frames and its film.

use std::path::Path;
use std::process::Command;

use super::films::film;
use super::{World, digest_of};
use serde_json::json;
use testkit::Process;
use testkit::clients::{client, run};

const PAGE: &str = r#"<!doctype html>
<html><head><title>Shown by the browser</title><link rel="stylesheet" href="style.css"></head>
<body><img src="images/picture.png"><img src="images/picture.jpg"><img src="images/drawing.svg">
<iframe id="alone" src="images/picture.png"></iframe><iframe id="text" src="text.txt"></iframe>
<video id="video" src="film.mp4" preload="auto" muted></video>
<script src="script.js"></script></body></html>
"#;

/// Tells what the browser has made of the page in the path of a last request. WebCrypto
/// works on pages of 127.0.0.1, which need no TLS for it.
const SCRIPT: &str = r#"
const video = document.getElementById("video");
const until = (target, name) => new Promise((done, fail) => {
  target.addEventListener(name, done, { once: true });
  const why = () => fail(new Error(`${target.id}: ${target.error?.message}`));
  target.addEventListener("error", why, { once: true });
});
const digest = async (url) => {
  const bytes = await (await fetch(url)).arrayBuffer();
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
};
const frame = (id) => document.getElementById(id).contentDocument;
const look = async () => {
  // All images and frames are there then.
  if (document.readyState !== "complete") await until(window, "load");
  const images = Array.from(document.images);
  const sizes = images.map((image) => `${image.naturalWidth}x${image.naturalHeight}`);
  if (video.readyState < 2) await until(video, "loadeddata");
  const duration = Math.round(video.duration);
  video.currentTime = 15;
  await until(video, "seeked");
  return [
    "shown", ...sizes, getComputedStyle(images[0]).width,
    frame("alone").images[0].naturalWidth, frame("text").body.innerText.length,
    duration, video.videoWidth, video.currentTime, video.readyState >= 2,
    await digest(images[0].src), await digest(video.src),
  ];
};
const tell = (words) => fetch("/report/" + words.map(encodeURIComponent).join("/"));
look().catch((problem) => ["failed", problem.message]).then(tell);
"#;

const DRAWING: &str = r#"<svg xmlns="http://www.w3.org/2000/svg" width="30" height="40"></svg>"#;
/// Many times, so that OSS sends it in gzip.
const TEXT: &str = "All of it is text. ";

pub fn browser(folder: &Path) -> Command {
    let mut command = client("chromium", folder);
    // As root there is no sandbox, in a container hardly any /dev/shm.
    command.args([
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
    ]);
    command.args([
        "--no-first-run",
        "--disable-background-networking",
        "--disable-sync",
    ]);
    command.arg(format!(
        "--user-data-dir={}",
        folder.join("profile").display()
    ));
    command
}

fn picture(folder: &Path, name: &str) {
    let mut ffmpeg = client("ffmpeg", folder);
    ffmpeg.args(["-v", "error", "-f", "lavfi", "-i", "testsrc2=size=200x100"]);
    run(ffmpeg.args(["-frames:v", "1", name]));
}

/// The page and all that belongs to it.
fn put_page(world: &World) {
    let folder = &world.folder;
    for name in ["picture.png", "picture.jpg"] {
        picture(folder, name);
    }
    // What is small the browser reads at once, and nothing is sought.
    film(folder, 30);
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    for (key, content, kind) in [
        ("index.html", PAGE.into(), "text/html; charset=utf-8"),
        ("script.js", SCRIPT.into(), "application/javascript"),
        ("style.css", "img { width: 321px }".into(), "text/css"),
        ("text.txt", TEXT.repeat(200).into(), "text/plain"),
        ("images/drawing.svg", DRAWING.into(), "image/svg+xml"),
        ("images/picture.png", read("picture.png"), "image/png"),
        ("images/picture.jpg", read("picture.jpg"), "image/jpeg"),
        ("film.mp4", read("end.mp4"), "video/mp4"),
    ] {
        let more = json!({"content_type": kind, "headers": {"Cache-Control": "max-age=3600"}});
        world.alibaba.put_object(key, content, more);
    }
}

/// What the browser has put into its folder for downloads.
fn downloads(world: &World) -> Vec<String> {
    let entries = std::fs::read_dir(world.folder.join("Downloads"));
    let entries = entries.into_iter().flatten().flatten();
    let read = |entry: std::fs::DirEntry| std::fs::read_to_string(entry.path());
    entries.filter_map(|entry| read(entry).ok()).collect()
}

#[test]
fn chromium_shows_a_page_with_its_pictures_and_its_film() {
    for (file, page) in [("site.yaml", ""), ("cached.yaml", "index.html")] {
        let world = World::start(file);
        put_page(&world);
        let mut chromium = Process::start("chromium", browser(&world.folder).arg(world.url(page)));
        let mut report = None;
        chromium.wait_for("the page's report", || {
            let downloads = downloads(&world);
            assert!(downloads.is_empty(), "downloaded, not shown: {downloads:?}");
            let mut seen = world.alibaba.seen().into_iter();
            report = seen.find_map(|seen| Some(seen.target.strip_prefix("/report/")?.to_owned()));
            report.is_some()
        });
        let digest = |name: &str| digest_of(&world.folder.join(name));
        let want = [
            "shown/200x100/200x100/30x40/321px",
            &format!("200/{}", TEXT.len() * 200),
            "20/320/15/true",
            &digest("picture.png"),
            &digest("end.mp4"),
        ];
        assert_eq!(report.unwrap(), want.join("/"), "{file}");
        // It has sought, and not only read.
        let size = std::fs::metadata(world.folder.join("end.mp4")).unwrap();
        world.assert_fetched_well(("film.mp4", size.len() as usize), file, 2);
    }
}

/// What the test above would see if the filter left in what OSS adds on its own domains.
#[test]
fn chromium_downloads_a_page_that_oss_has_marked() {
    let removes = "\"forced_download\": \"remove\"";
    let world = World::start_with("site.yaml", |text| {
        assert!(text.contains(removes), "{text}");
        text.replace(removes, "\"forced_download\": \"keep\"")
    });
    put_page(&world);
    let mut chromium = Process::start("chromium", browser(&world.folder).arg(world.url("")));
    chromium.wait_for("the download", || {
        let downloads = downloads(&world);
        downloads.iter().any(|page| page == PAGE)
    });
    let seen = world.alibaba.seen();
    assert!(
        seen.iter().all(|seen| seen.target != "/script.js"),
        "{seen:?}"
    );
}
