//! The command `sign-url`: signs a URL as Alibaba CDN and the filter's `url_signing` verify it.

use std::process::ExitCode;
use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::builder::{PossibleValuesParser, TypedValueParser};
use oss_origin_auth_core::access::{Keys, TimeFormat, UrlSigning, UrlType};
use oss_origin_auth_core::credentials::Secret;
use oss_origin_auth_core::words::Word;

type Result<T> = std::result::Result<T, String>;

/// Print a URL with a signature that the filter's `url_signing` accepts.
///
/// The key comes from the environment, since arguments can be seen by others. Host and
/// other parameters stay as they are. examples/ has the same in Python and JavaScript.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The form of the signature, as in `url_signing`
    #[arg(long = "type", value_parser = word::<UrlType>())]
    kind: UrlType,
    /// The environment variable with the key
    #[arg(long, value_name = "NAME")]
    key_env: String,
    /// The time from which the URL is valid for `valid_seconds`, in seconds since 1970; now, if
    /// it is not given
    #[arg(long, value_name = "UNIX")]
    time: Option<u64>,
    /// Type A: a text that makes URLs of the same time differ
    #[arg(long)]
    rand: Option<String>,
    /// Type A: the user that the URL is for
    #[arg(long)]
    uid: Option<String>,
    /// Type F: the setting of this name in `url_signing`
    #[arg(long, value_name = "NAME")]
    signature_parameter: Option<String>,
    /// Type F: the setting of this name in `url_signing`
    #[arg(long, value_name = "NAME")]
    time_parameter: Option<String>,
    /// Type F: the setting of this name in `url_signing`
    #[arg(long, value_parser = word::<TimeFormat>())]
    time_format: Option<TimeFormat>,
    /// https://host/path?query, or /path?query; percent-encoded, as clients send it
    url: String,
}

/// A parser of one of the words that the filter knows.
fn word<T: Word + Clone + Send + Sync + 'static>() -> impl TypedValueParser<Value = T> {
    let words = PossibleValuesParser::new(T::WORDS);
    words.try_map(|word| T::of(&word).ok_or("it is not known"))
}

/// Prints the signed URL.
pub fn run(options: &Options) -> Result<ExitCode> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_err(|error| error.to_string())?.as_secs();
    let url = signed(options, now, |name| std::env::var(name).ok())?;
    crate::output::write(&format!("{url}\n"))?;
    Ok(ExitCode::SUCCESS)
}

fn signed(
    options: &Options,
    now: u64,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<String> {
    let name = &options.key_env;
    let key = environment(name).filter(|key| !key.is_empty());
    let key = key.ok_or_else(|| {
        format!("--key-env: the environment variable {name} is not set; put the key into it")
    })?;
    let signing = signing(options, &key)?;
    let (host, target, fragment) = parts(&options.url)?;
    let time = options.time.unwrap_or(now);
    let kind = options.kind.word();
    let signed = signing.sign(&signing.keys.main, target, time, &salt(options)?);
    let signed = signed.ok_or_else(|| {
        format!(
            "--time: {time} is no time that type {kind} can hold; give seconds since 1970, ten \
             digits of them"
        )
    })?;
    // A URL that the filter would refuse is not printed.
    match signing.check(signed.as_bytes(), time) {
        Ok(passed) if *passed.path == *target.as_bytes() => Ok([host, &signed, fragment].concat()),
        _ => Err("URL: it has a parameter of the signature already; take it out".to_owned()),
    }
}

/// The URL signing that the options describe.
fn signing(options: &Options, key: &str) -> Result<UrlSigning> {
    let kind = options.kind;
    let keys = Keys {
        name: "default".to_owned(),
        main: Secret::new(key),
        backup: None,
    };
    let mut signing = UrlSigning::new(kind, Rc::new(keys), MINUTE);
    for (argument, given, place) in [
        (
            "--signature-parameter",
            &options.signature_parameter,
            &mut signing.signature_parameter,
        ),
        (
            "--time-parameter",
            &options.time_parameter,
            &mut signing.time_parameter,
        ),
    ] {
        if let Some(given) = of_type(argument, given.clone(), UrlType::F, kind)? {
            *place = plain(argument, given, "-._~")?;
        }
    }
    if signing.signature_parameter == signing.time_parameter && kind == UrlType::F {
        return Err("--time-parameter: it is that of the signature; give another name".to_owned());
    }
    if let Some(format) = of_type("--time-format", options.time_format, UrlType::F, kind)? {
        signing.time_format = format;
    }
    Ok(signing)
}

/// The part `rand-uid` of type A; in the CDN's own examples it is zeros.
fn salt(options: &Options) -> Result<String> {
    let part = |argument, given: &Option<String>| match of_type(
        argument,
        given.clone(),
        UrlType::A,
        options.kind,
    )? {
        Some(given) => plain(argument, given, "._~"),
        None => Ok("0".to_owned()),
    };
    Ok([part("--rand", &options.rand)?, part("--uid", &options.uid)?].join("-"))
}

/// An argument that only one type has.
fn of_type<T>(argument: &str, given: Option<T>, of: UrlType, kind: UrlType) -> Result<Option<T>> {
    match given {
        Some(_) if of != kind => Err(format!(
            "{argument}: is of type {} alone; leave it out",
            of.word()
        )),
        given => Ok(given),
    }
}

/// An argument that may have letters, digits and `others`.
fn plain(argument: &str, given: String, others: &str) -> Result<String> {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || others.contains(letter);
    match !given.is_empty() && given.chars().all(fits) {
        true => Ok(given),
        false => Err(format!(
            "{argument}: must be letters, digits and some of `{others}`"
        )),
    }
}

/// Splits a URL into the scheme with the host, the path with its query, and the fragment.
fn parts(url: &str) -> Result<(&str, &str, &str)> {
    let begin = match url.split_once("://") {
        _ if url.starts_with('/') => 0,
        Some((scheme, rest)) if !scheme.is_empty() => {
            let path = rest.find('/').filter(|at| *at > 0);
            let path = path.ok_or("URL: it has no path; write at least https://host/")?;
            scheme.len() + "://".len() + path
        }
        _ => return Err("URL: write https://host/path, or a path that begins with /".to_owned()),
    };
    let (host, rest) = url.split_at(begin);
    let (target, fragment) = rest.split_at(rest.find('#').unwrap_or(rest.len()));
    let target = target.strip_suffix('?').unwrap_or(target);
    let path = target.split('?').next().unwrap_or_default();
    if path.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Err("URL: clients resolve `.` and `..`; write the path without them".to_owned());
    }
    if !target.split('%').skip(1).all(is_encoded) {
        return Err(
            "URL: a % must have two hexadecimal digits behind it; write %25 for the character itself"
                .to_owned(),
        );
    }
    let is_changed = |letter: char| !letter.is_ascii_graphic() || ENCODED.contains(letter);
    match target.chars().find(|letter| is_changed(*letter)) {
        None => Ok((host, target, fragment)),
        Some(letter) => {
            let mut bytes = [0; 4];
            let bytes = letter.encode_utf8(&mut bytes).bytes();
            let encoded: Vec<String> = bytes.map(|byte| format!("%{byte:02X}")).collect();
            Err(format!(
                "URL: {letter:?} must be percent-encoded, as {}: the signature is of what clients \
                 send",
                encoded.concat()
            ))
        }
    }
}

/// Whether a text, which follows a `%`, begins with two hexadecimal digits.
fn is_encoded(rest: &str) -> bool {
    let digits = rest.bytes().take(2).filter(u8::is_ascii_hexdigit);
    digits.count() == 2
}

/// The seconds of a minute: the times of type B have no seconds.
const MINUTE: u64 = 60;

/// The characters that clients encode by themselves, or change.
const ENCODED: &str = "\"<>\\^`{|}";

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    const KEY: &str = "aliyuncdnexp1234";
    const MORNING: &str = "1439596800";

    /// Signs with these arguments at the time 1735689600.
    fn sign(arguments: &str) -> Result<String> {
        let words = ["sign-url"].into_iter().chain(arguments.split('|'));
        let given = arguments.contains("--key-env");
        let words = words.chain(["--key-env", "URL_KEY"].into_iter().filter(|_| !given));
        let line = Line::try_parse_from(words).map_err(|error| error.to_string())?;
        signed(&line.options, 1_735_689_600, |name| {
            (name == "URL_KEY").then(|| KEY.to_owned())
        })
    }

    /// The examples of the CDN's documentation, "Type A signing" to "Type F signing".
    #[test]
    fn the_examples_of_the_cdn_come_out() {
        for (arguments, want) in [
            (
                "--type|A|--time|1444435200|http://DomainName/video/standard/1K.html".to_owned(),
                "http://DomainName/video/standard/1K.html?auth_key=1444435200-0-0-\
                 80cd3862d699b7118eed99103f2a3a4f",
            ),
            (
                format!("--type|B|--time|{MORNING}|/4/44/44c0909bcfc20a01afaf256ca99a8b8b.mp3"),
                "/201508150800/9044548ef1527deadafa49a890a377f0/4/44/\
                 44c0909bcfc20a01afaf256ca99a8b8b.mp3",
            ),
            (
                format!("--type|C1|--time|{MORNING}|/test.flv"),
                "/a37fa50a5fb8f71214b1e7c95ec7a1bd/55CE8100/test.flv",
            ),
            (
                format!("--type|C2|--time|{MORNING}|/test.flv"),
                "/test.flv?KEY1=a37fa50a5fb8f71214b1e7c95ec7a1bd&KEY2=55CE8100",
            ),
            (
                format!("--type|F|--time|{MORNING}|--time-format|hex|/test.flv"),
                "/test.flv?sign=a37fa50a5fb8f71214b1e7c95ec7a1bd&time=55CE8100",
            ),
        ] {
            assert_eq!(sign(&arguments), Ok(want.to_owned()), "{arguments}");
        }
    }

    #[test]
    fn the_rest_of_the_url_stays_as_it_is() {
        let signed = sign("--type|A|--rand|r|--uid|u|https://a.example:8443/x%20y?v=2&#end");
        let signed = signed.unwrap();
        let begin = "https://a.example:8443/x%20y?v=2&&auth_key=1735689600-r-u-";
        let hash = signed.strip_prefix(begin).unwrap();
        assert_eq!(hash.strip_suffix("#end").unwrap().len(), 32);
        let of_nothing = sign("--type|A|/x?").unwrap();
        assert!(of_nothing.starts_with("/x?auth_key="), "{of_nothing}");
        let names = "--signature-parameter|s|--time-parameter|t";
        let signed = sign(&format!("--type|F|{names}|/x")).unwrap();
        assert!(signed.starts_with("/x?s=") && signed.ends_with("&t=1735689600"));
    }

    #[test]
    fn a_wrong_argument_is_named_with_its_fix() {
        for (arguments, part) in [
            ("--type|D|/x", "invalid value 'D' for '--type <KIND>'"),
            ("--type|A|--key-env|NONE|/x", "--key-env"),
            ("--type|A|--time|1|--rand|a-b|/x", "--rand: must be"),
            ("--type|A|--uid||/x", "--uid: must be"),
            (
                "--type|C2|--rand|r|/x",
                "--rand: is of type A alone; leave it out",
            ),
            (
                "--type|A|--time-format|hex|/x",
                "--time-format: is of type F alone",
            ),
            (
                "--type|F|--time-parameter|a=b|/x",
                "--time-parameter: must be",
            ),
            (
                "--type|F|--time-parameter|sign|/x",
                "--time-parameter: it is that",
            ),
            (
                "--type|A|--time|99999999999|/x",
                "--time: 99999999999 is no time",
            ),
            ("--type|A|x", "URL: write https://host/path"),
            ("--type|A|https://host", "URL: it has no path"),
            ("--type|A|/a b", "URL: ' ' must be percent-encoded, as %20"),
            ("--type|A|/é", "URL: 'é' must be percent-encoded, as %C3%A9"),
            ("--type|A|/a|b", "unexpected argument"),
            ("--type|A|/a{b", "URL: '{' must be percent-encoded, as %7B"),
            (
                "--type|A|/100%",
                "URL: a % must have two hexadecimal digits",
            ),
            ("--type|A|/a%2", "write %25 for the character itself"),
            ("--type|A|/a%2%35", "URL: a % must have"),
            ("--type|A|/a%g0", "URL: a % must have"),
            ("--type|A|/a?b=%zz", "URL: a % must have"),
            ("--type|A|/a/../b", "URL: clients resolve `.` and `..`"),
            (
                "--type|A|/x?auth_key=1",
                "URL: it has a parameter of the signature",
            ),
        ] {
            let problem = sign(arguments).unwrap_err();
            assert!(problem.contains(part), "{arguments}: {problem}");
            assert!(!problem.contains(KEY), "{problem}");
        }
    }
}
