//! README.md, followed as a newcomer would.

use std::process::Command;

use serde_json::json;
use testkit::demo::{Demo, start_envoy};
use testkit::process::{scratch, wait_until};
use testkit::shipped::users_of_refresh;
use testkit::{FakeAlibaba, Request, StubSidecar, tools};

use crate::common::{SECRET, TOKEN, good_answer};

fn readme() -> String {
    std::fs::read_to_string(tools::root().join("README.md")).unwrap()
}

/// The blocks of code of a chapter in a language.
fn blocks(chapter: &str, language: &str) -> Vec<String> {
    let readme = readme();
    let chapter = readme.split(&format!("\n## {chapter}\n")).nth(1).unwrap();
    let chapter = chapter.split("\n## ").next().unwrap();
    let begin = format!("```{language}\n");
    let blocks = chapter.split(&begin).skip(1);
    let blocks = blocks.map(|block| block.split("```").next().unwrap().to_owned());
    blocks.collect()
}

/// The same text, whatever its numbers.
fn without_digits(text: &str) -> String {
    let mut plain = String::new();
    for part in text.split_inclusive(|c: char| c.is_ascii_digit()) {
        let text = part.trim_end_matches(|c: char| c.is_ascii_digit());
        plain += text;
        if text.len() < part.len() && !plain.ends_with('#') {
            plain.push('#');
        }
    }
    plain
}

#[test]
fn the_demo_says_what_the_readme_shows() {
    assert_eq!(without_digits("a 12:3 403"), "a #:# #");
    let shown = blocks("Two commands", "text").remove(0);
    let (first, shown) = shown.split_once("\n\n").unwrap();
    // `told` of xtask/src/demo.rs makes it, and has a test of its own.
    assert!(first.starts_with("The first object came after "), "{first}");
    let demo = Demo::start();
    let said = demo.tour().unwrap();
    let by_line = |lines: Vec<&str>| -> Vec<String> {
        let (answers, others) = lines
            .into_iter()
            .partition::<Vec<_>, _>(|line| line.starts_with("Envoy") || line.starts_with("OSS"));
        // Statuses are as they are.
        let answers = answers.into_iter().map(str::to_owned);
        answers
            .chain(others.into_iter().map(without_digits))
            .collect()
    };
    let said = by_line(said.iter().map(String::as_str).collect());
    assert_eq!(by_line(shown.lines().collect()), said);
}

/// `render` of a recipe, with where the fakes are, and Envoy with what it writes.
#[test]
fn each_recipe_serves_what_it_says() {
    let alibaba = FakeAlibaba::start();
    alibaba.add_key("STS.example", SECRET, Some(TOKEN), None);
    let stub = StubSidecar::start(good_answer());
    for (key, text) in [
        ("index.html", "the site"),
        ("docs/index.html", "its documents"),
        ("404.html", "not here"),
        ("members/film.mp4", "the film"),
    ] {
        let more =
            json!({"content_type": "text/html", "headers": {"Cache-Control": "max-age=3600"}});
        alibaba.put_object(key, text, more);
    }
    let cache = scratch("cache");
    std::fs::create_dir_all(&cache).unwrap();
    let mut recipes = blocks("Three recipes", "sh").into_iter();
    let mut serve = |expected: &str| {
        let recipe = recipes.next().unwrap();
        let lines = recipe.lines().map(str::to_owned);
        let lines: Vec<String> = lines.collect();
        let render = lines.iter().find(|line| line.contains(" render ")).unwrap();
        let flags = render.split_once(" render ").unwrap().1;
        assert!(flags.contains(expected), "{flags}");
        // The bucket is the fake's, and what is rendered is printed.
        let (flags, _) = flags.split_once(" --out ").unwrap();
        let flags: Vec<&str> = flags.split(' ').skip(4).collect();
        let settings = [
            ("OSS_BUCKET", testkit::alibaba::BUCKET.to_owned()),
            ("OSS_REGION", testkit::alibaba::REGION.to_owned()),
            ("OSS_ADDRESS", format!("127.0.0.1:{}", alibaba.oss_port)),
            ("OSS_TLS", "off".to_owned()),
            ("CACHE_FOLDER", cache.display().to_string()),
            ("REFRESH_USERS", users_of_refresh()),
            ("REFRESH_PORT", "0".to_owned()),
        ];
        let envoy = start_envoy(&flags, stub.port, &settings).unwrap();
        (lines, envoy)
    };
    let get = |port: u16, path: &str| {
        let answer = Request::get(path).send(port);
        (answer.status, answer.text())
    };
    let good = |text: &str| (200, text.to_owned());

    let (_, (_site, ports)) = serve("--site");
    assert_eq!(get(ports.only(), "/"), good("the site"));
    assert_eq!(get(ports.only(), "/docs/"), good("its documents"));
    assert_eq!(get(ports.only(), "/absent"), (404, "not here".to_owned()));

    let (lines, (_members, ports)) = serve("--signed-urls /members/");
    let port = ports.only();
    assert_eq!(get(port, "/members/film.mp4").0, 403);
    assert_eq!(get(port, "/docs/index.html"), good("its documents"));
    let signed = signed_by(lines.last().unwrap());
    let path = signed.split_once(":10000").unwrap().1;
    assert_eq!(get(port, path), good("the film"));

    let (_, (_cache, ports)) = serve("--cache");
    let port = ports.of("public");
    wait_until("a hit", || {
        let answer = Request::get("/members/film.mp4").send(port);
        answer.header("age").is_some()
    });
    alibaba.clear_log();
    for _ in 0..3 {
        assert_eq!(get(port, "/members/film.mp4"), good("the film"));
    }
    assert!(alibaba.seen().is_empty(), "the cache has it");
    assert_eq!(recipes.next(), None);
}

/// What a line of the recipe prints, with the demo's key in the environment.
fn signed_by(line: &str) -> String {
    let mut words = line.split(' ');
    assert_eq!(words.next(), Some("oss-origin-auth"));
    let (name, key) = testkit::demo::URL_KEY;
    let mut command = Command::new(tools::cli());
    let output = command.args(words).env(name, key).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn the_smallest_configuration_is_what_its_command_writes() {
    let command = blocks("The smallest configuration", "sh").remove(0);
    let (_, flags) = command.trim().split_once(" render ").unwrap();
    let (flags, _) = flags.split_once(" --out ").unwrap();
    let mut render = Command::new(tools::cli());
    render.arg("render").args(flags.split(' ')).env_clear();
    let output = render.output().unwrap();
    let rendered = String::from_utf8(output.stdout).unwrap();
    let shipped = std::fs::read_to_string(tools::root().join("envoy/minimal.yaml")).unwrap();
    assert_eq!(rendered, shipped);
    let shown = blocks("The smallest configuration", "yaml").remove(0);
    assert!(shipped.contains(&shown), "{shown}");
}
