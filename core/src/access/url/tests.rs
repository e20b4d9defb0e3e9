use super::*;

fn keys() -> Rc<Keys> {
    Rc::new(Keys {
        name: "default".into(),
        main: Secret::new("aliyuncdnexp1234"),
        backup: Some(Secret::new("another-key")),
    })
}

fn signing(kind: UrlType) -> UrlSigning {
    UrlSigning::new(kind, keys(), 1800)
}

fn hex_times() -> UrlSigning {
    UrlSigning {
        time_format: TimeFormat::Hex,
        ..signing(UrlType::F)
    }
}

/// Returns the remaining path, or the reason of the refusal.
fn check(rule: &UrlSigning, target: &str, now: u64) -> Result<String, Denied> {
    let passed = rule.check(target.as_bytes(), now)?;
    assert_eq!(rule.strip(target.as_bytes()).unwrap(), passed.path);
    Ok(String::from_utf8(passed.path.into_owned()).unwrap())
}

/// The examples of the CDN's documentation, recomputed with another MD5. 201508150800 is
/// 1439596800 (`date -d '2015-08-15 08:00 +8' +%s`), 55CE8100 is 1439596800, too.
const VECTORS: [(UrlType, &str, u64, &str); 5] = [
    (
        UrlType::A,
        "/video/standard/1K.html?auth_key=1444435200-0-0-80cd3862d699b7118eed99103f2a3a4f",
        1_444_435_200,
        "/video/standard/1K.html",
    ),
    (
        UrlType::B,
        "/201508150800/9044548ef1527deadafa49a890a377f0/4/44/44c0909bcfc20a01afaf256ca99a8b8b.mp3",
        1_439_596_800,
        "/4/44/44c0909bcfc20a01afaf256ca99a8b8b.mp3",
    ),
    (
        UrlType::C1,
        "/a37fa50a5fb8f71214b1e7c95ec7a1bd/55CE8100/test.flv",
        1_439_596_800,
        "/test.flv",
    ),
    (
        UrlType::C2,
        "/test.flv?KEY1=a37fa50a5fb8f71214b1e7c95ec7a1bd&KEY2=55CE8100",
        1_439_596_800,
        "/test.flv",
    ),
    (
        UrlType::F,
        "/test.flv?sign=a37fa50a5fb8f71214b1e7c95ec7a1bd&time=55CE8100",
        1_439_596_800,
        "/test.flv",
    ),
];

fn rule_of(kind: UrlType) -> UrlSigning {
    match kind {
        UrlType::F => hex_times(),
        kind => signing(kind),
    }
}

#[test]
fn the_examples_of_the_documentation_are_good_until_they_expire() {
    for (kind, target, time, left) in VECTORS {
        let rule = rule_of(kind);
        for now in [0, time, time + 1800] {
            assert_eq!(check(&rule, target, now), Ok(left.into()), "{kind:?}");
        }
        assert_eq!(check(&rule, target, time + 1801), Err(Denied::UrlExpired));
    }
}

#[test]
fn what_is_signed_here_is_good_here() {
    for (kind, target, time, left) in VECTORS {
        let rule = rule_of(kind);
        let again = rule.sign(&rule.keys.main, left, time, "0-0").unwrap();
        assert_eq!(again, target, "{kind:?}");
        let with_query = format!("{left}?x=1&y");
        let signed = rule.sign(&rule.keys.main, &with_query, time, "r-u");
        let passed = rule
            .check(signed.as_ref().unwrap().as_bytes(), time)
            .unwrap();
        assert_eq!(passed.path, with_query.as_bytes());
        assert_eq!(passed.key, Some(Key::Main));
        let backup = keys().backup.clone().unwrap();
        let signed = rule.sign(&backup, &with_query, time, "r-u").unwrap();
        let passed = rule.check(signed.as_bytes(), time).unwrap();
        assert_eq!(passed.key, Some(Key::Backup));
        let other = rule.sign(&Secret::new("x"), left, time, "0-0").unwrap();
        assert_eq!(check(&rule, &other, time), Err(Denied::UrlWrong));
        assert_eq!(rule.sign(&backup, left, 99_999_999_999, "0-0"), None);
    }
}

#[test]
fn a_byte_more_less_or_changed_is_refused() {
    for (kind, target, time, left) in VECTORS {
        let rule = rule_of(kind);
        for at in 0..target.len() {
            for byte in 0..=255 {
                let mut changed = target.as_bytes().to_vec();
                changed[at] = byte;
                let passed = rule.check(&changed, time);
                // A question mark or an ampersand may cut something off, which leaves another path.
                let same = passed.is_ok_and(|passed| passed.path == left.as_bytes());
                assert_eq!(
                    same,
                    changed == target.as_bytes(),
                    "{}",
                    changed.escape_ascii()
                );
            }
            let mut less = target.to_owned();
            less.remove(at);
            assert!(check(&rule, &less, time).is_err(), "{less}");
            let mut more = target.to_owned();
            more.insert(at, '0');
            assert!(check(&rule, &more, time).is_err(), "{more}");
        }
    }
}

/// Checks that a target is refused. `HASH` in it is replaced by a hash, `UPPER` by one in upper
/// case.
fn refused_as(rule: &UrlSigning, target: &str, why: Denied) {
    const HASH: &str = "a37fa50a5fb8f71214b1e7c95ec7a1bd";
    let target = target.replace("HASH", HASH);
    let target = target.replace("UPPER", &HASH.to_uppercase());
    assert_eq!(check(rule, &target, 1_439_596_800), Err(why), "{target}");
}

#[test]
fn what_is_no_signature_is_told_from_none() {
    let rule = signing(UrlType::A);
    for target in ["/x", "/x?", "/x?Auth_key=1", "/x?y=auth_key", "", "*"] {
        refused_as(&rule, target, Denied::UrlMissing);
    }
    for target in [
        "/x?auth_key",
        "/x?auth_key=",
        "/x?auth_key=1444435200-0-HASH",
        "/x?auth_key=1444435200-0-0-0-HASH",
        "/x?auth_key=-444435200-0-0-HASH",
        "/x?auth_key=+444435200-0-0-HASH",
        "/x?auth_key=55CE8100aa-0-0-HASH",
        "/x?auth_key=14444352001444435200-0-0-HASH",
        "/x?auth_key=1444435200-0-0-UPPER",
        "/x?auth_key=1444435200-0-0-HASH0",
        "/x?auth_key=1444435200-0-0-HASH&auth_key=x",
        "/x?auth_key=1444435200-0-0-HASH&auth%5Fkey=x",
    ] {
        refused_as(&rule, target, Denied::UrlMalformed);
    }
    refused_as(&rule, "/x?auth_key=1444435200-0-0-HASH", Denied::UrlWrong);
}

#[test]
fn each_type_has_its_own_form() {
    let rule = signing(UrlType::F);
    for target in [
        "/x?sign=HASH",
        "/x?time=1444435200",
        "/x?sign=HASH&time=55CE8100",
        "/x?sign=HASH&time=21444435200",
    ] {
        refused_as(&rule, target, Denied::UrlMalformed);
    }
    refused_as(&rule, "/x?KEY1=HASH&KEY2=1444435200", Denied::UrlMissing);
    let rule = signing(UrlType::B);
    for target in [
        "/201508150800/HASH",
        "/201508150800/x/y",
        "/HASH/55CE8100/x",
    ] {
        refused_as(&rule, target, Denied::UrlMissing);
    }
    for target in [
        "/201513150800/HASH/x",
        "/197001010700/HASH/x",
        "/2015081508000/HASH/x",
        "//HASH/x",
    ] {
        refused_as(&rule, target, Denied::UrlMalformed);
    }
    refused_as(&rule, "/201508150800/HASH/../x", Denied::UrlWrong);
}

/// `/v2` at 1700000000 has the hash of `/v` at 21700000000, and of `/v21` at 700000000.
#[test]
fn a_time_does_not_take_a_digit_from_the_path() {
    let rule = signing(UrlType::F);
    let key = &rule.keys.main;
    let hash = rule.hash(key, b"/v2", b"1700000000");
    let hash = String::from_utf8(hash).unwrap();
    for (target, result) in [
        ("/v2?sign=HASH&time=1700000000", Ok("/v2".to_owned())),
        ("/v?sign=HASH&time=21700000000", Err(Denied::UrlMalformed)),
        ("/v21?sign=HASH&time=700000000", Err(Denied::UrlMalformed)),
    ] {
        let target = target.replace("HASH", &hash);
        assert_eq!(check(&rule, &target, 0), result, "{target}");
    }
}

#[test]
fn a_path_has_no_byte_by_which_the_hash_could_be_continued() {
    let rule = signing(UrlType::B);
    for bytes in [&b"/x\x80"[..], b"/x\x00", b"/x y", b"/\xc3\xa9", b"/x\x7f"] {
        let hash = rule.hash(&rule.keys.main, bytes, b"201508150800");
        let target = [&b"/201508150800/"[..], &hash, bytes].concat();
        assert_eq!(rule.check(&target, 0), Err(Denied::UrlMalformed));
    }
}

#[test]
fn other_parameters_stay_as_they_are() {
    let rule = signing(UrlType::C2);
    let signed = rule.sign(&rule.keys.main, "/x", 1_439_596_800, "").unwrap();
    let own: Vec<String> = (0..100).map(|n| format!("p{n}=%2F+{n}")).collect();
    let own = own.join("&");
    let (path, signature) = signed.split_once('?').unwrap();
    let (one, other) = signature.split_once('&').unwrap();
    for target in [
        format!("{path}?{signature}&{own}"),
        format!("{path}?{own}&{signature}"),
        format!("{path}?{one}&{own}&{other}"),
    ] {
        assert_eq!(check(&rule, &target, 0), Ok(format!("/x?{own}")));
    }
    let odd = format!("{path}?&&{signature}&=&\u{e9}");
    assert_eq!(check(&rule, &odd, 0), Ok("/x?&&=&\u{e9}".into()));
}

#[test]
fn nothing_shown_has_a_key() {
    let shown = format!("{:?}", signing(UrlType::A));
    assert!(
        !shown.contains("aliyun") && !shown.contains("another"),
        "{shown}"
    );
}
