//! Good answers of OSS: what a client sees of their headers; on both hosts.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test support")]

mod hosts;

use hosts::asked::{CONFIGURATION, respond, sent, with};
use hosts::node::{Edited, OssAnswer, Seen, untouched};
use hosts::world::{Fleet, Solo, World};

on_both_hosts! {
    a_good_answer_passes_untouched
    headers_are_stripped_from_good_answers_too
    what_oss_has_made_a_download_is_shown
}

fn a_good_answer_passes_untouched<W: World>() {
    for status in [200, 206] {
        let (mut world, stream) = sent::<W>(CONFIGURATION);
        let seen = respond(
            &mut world,
            stream,
            OssAnswer::new(status).piece("a").trailer("t"),
        );
        assert!(seen.iter().all(|seen| *seen == untouched()), "{status}");
        assert!(!world.first(move |node| node.wants_body(stream)));
        world.pass(1_000);
        assert_eq!(world.fetching(), 0);
    }
}

fn headers_are_stripped_from_good_answers_too<W: World>() {
    let settings = with(r#""strip_response_headers": ["x-oss-*"]"#);
    let (mut world, stream) = sent::<W>(&settings);
    let answer = OssAnswer::new(200)
        .header("x-oss-storage-class", "Standard")
        .header("etag", "\"1\"")
        .piece("body");
    let seen = respond(&mut world, stream, answer);
    let edits = Edited {
        remove: vec!["x-oss-storage-class".into()],
        ..Edited::default()
    };
    assert_eq!(seen, [Seen::Passes(edits), untouched()]);
}

fn what_oss_has_made_a_download_is_shown<W: World>() {
    let answer = |status| {
        OssAnswer::new(status)
            .header("x-oss-force-download", "true")
            .header("content-disposition", "attachment")
            .piece("body")
    };
    let removes = with(r#""forced_download": "remove", "strip_response_headers": ["server"]"#);
    let (mut world, stream) = sent::<W>(&removes);
    let edits = Edited {
        remove: ["x-oss-force-download", "x-oss-ec", "content-disposition"]
            .map(Into::into)
            .into(),
        ..Edited::default()
    };
    let seen = respond(&mut world, stream, answer(206));
    assert_eq!(seen, [Seen::Passes(edits), untouched()]);
    // The client's own wish, and what is kept by default.
    let wish = "/a?response-content-disposition=attachment";
    let forwards = removes.replace(
        "\"region\"",
        "\"forward_parameters\": [\"response-*\"], \"region\"",
    );
    for (configuration, path) in [(forwards.as_str(), wish), (CONFIGURATION, "/a")] {
        let (mut world, _) = sent::<W>(configuration);
        let stream = world.first(move |node| node.request(path));
        let seen = respond(&mut world, stream, answer(200));
        assert_eq!(seen, [untouched(), untouched()], "{path}");
    }
}
