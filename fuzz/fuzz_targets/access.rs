#![no_main]
//! Whatever a client sends: a URL that passes has the one hash that belongs to what is left of
//! it, and nothing of its signature is left.

use std::rc::Rc;

use libfuzzer_sys::fuzz_target;
use oss_origin_auth_core::access::{
    Access, Keys, List, Referer, TimeFormat, UrlSigning, UrlType, UserAgent,
};
use oss_origin_auth_core::credentials::Secret;
use oss_origin_auth_core::words::Word;

const NOW: u64 = 1_764_946_083;

fuzz_target!(|input: (u8, &str, &[u8], &[u8], &[u8])| {
    let (choices, path, tail, name, value) = input;
    let keys = Keys {
        name: "default".into(),
        main: Secret::new("main"),
        backup: (choices & 1 != 0).then(|| Secret::new("backup")),
    };
    let kind = UrlType::ALL[usize::from(choices >> 1) % UrlType::ALL.len()];
    let mut signing = UrlSigning::new(kind, Rc::new(keys), 1_800);
    if kind == UrlType::F && choices & 1 != 0 {
        signing.time_format = TimeFormat::Hex;
    }
    let list = |allows| List {
        allows,
        entries: vec![String::from_utf8_lossy(name).to_lowercase(), "*a*b*".into()],
    };
    let lists = Access {
        referer: Some(Referer {
            list: list(choices & 2 != 0),
            allow_empty: choices & 4 != 0,
            ignore_scheme: choices & 8 != 0,
        }),
        user_agent: Some(UserAgent(list(choices & 4 != 0))),
        ..Access::default()
    };
    let headers: &[(&[u8], &[u8])] = &[(b"referer", value), (b"user-agent", value)];
    let _ = lists.check(headers, tail, NOW);

    // What is signed passes; with something behind it, only as what was signed.
    let target = format!("/{path}");
    let signed = signing.sign(&signing.keys.main, &target, NOW, "r-u");
    let signed = signed.expect("a time of these years").into_bytes();
    let plain = target.split('?').next().unwrap_or_default();
    let access = Access { url_signing: Some(signing), ..Access::default() };
    for sent in [signed.clone(), [&signed, tail].concat(), tail.to_vec()] {
        let Ok(passed) = access.check(&[], &sent, NOW) else {
            continue;
        };
        assert_eq!(access.strip(&sent), Ok(passed.path.clone()));
        let left = passed.path.split(|byte| *byte == b'?').next();
        assert_eq!(left, Some(plain.as_bytes()), "the path that was signed");
    }
});
