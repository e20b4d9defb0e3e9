//! The output of `oss-origin-auth render`, and combinations of its flags that cover every pair.

use std::path::Path;
use std::process::{Command, Output};

/// A group of flags, of which only one can be given.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub group: &'static str,
    pub flags: &'static str,
}

const fn row(group: &'static str, flags: &'static str) -> Row {
    Row { group, flags }
}

/// The flags of `--target envoy`. `{folder}` has the files that Envoy reads.
pub const ROWS: &[Row] = &[
    row("endpoint", "--endpoint public"),
    row("endpoint", "--endpoint accelerate"),
    row("endpoint", "--domain static.example.com"),
    row("connect", "--connect 10.0.0.1:8443"),
    row("connect", "--connect 127.0.0.1:9000 --oss-tls off"),
    row("credentials", "--credentials environment"),
    row("credentials", "--sidecar sidecar.example.com:8282"),
    row("token", "--sidecar-token"),
    row("pages", "--site"),
    row("pages", "--spa"),
    row(
        "cors",
        "--cors https://www.example.com --cors https://*.example.com",
    ),
    row("cache", "--cache"),
    row(
        "also",
        "--also partner=their-bucket --also other=other-bucket",
    ),
    row("tls", "--tls --tls-folder {folder}"),
    row("pass", "--pass-good-answers"),
    row("native", "--native"),
    row("show", "--show-in-browser"),
    row("log", "--access-log"),
    row("signed", "--signed-urls"),
    row("signed", "--signed-urls /signed/ --url-key-backup"),
    row("signed", "--signed-urls --url-type B"),
    row("signed", "--signed-urls --url-type F --url-key-backup"),
    row(
        "members",
        "--members /members/ --jwks {folder}/jwks.json --jwt-issuer https://login.example.com \
         --jwt-audience objects",
    ),
    row(
        "members",
        "--members / --jwks https://login.example.com/jwks.json --jwt-issuer example \
         --jwt-audience one --jwt-audience two",
    ),
    row("ask", "--ask 127.0.0.1:8282"),
    row("ask", "--ask 127.0.0.1:8282 --ask-at /asked/"),
    row(
        "referer-at",
        "--referer-at /pictures/=example.com --referer-at /films/=example.org",
    ),
    row("allow-referer", "--allow-referer https://www.example.com/"),
    row(
        "allow-address",
        "--allow-address 10.0.0.0/8 --allow-address 2001:db8::/32",
    ),
    row("deny-address", "--deny-address 192.0.2.0/24"),
];

/// The flags of rows, as arguments.
pub fn arguments(rows: &[Row], folder: &Path) -> Vec<String> {
    let folder = folder.display().to_string();
    let flags = rows.iter().flat_map(|row| row.flags.split_whitespace());
    let mut arguments: Vec<_> = flags
        .map(|flag| flag.replace("{folder}", &folder))
        .collect();
    if arguments.iter().any(|flag| flag == "--cache") {
        let of_cache = ["--cache-folder", "--refresh-users"];
        let files = [folder.clone(), format!("{folder}/refresh.htpasswd")];
        for (flag, file) in of_cache.into_iter().zip(files) {
            arguments.extend([flag.to_owned(), file]);
        }
    }
    arguments
}

/// Runs `render` with nothing in the environment.
pub fn render<S: AsRef<std::ffi::OsStr>>(program: &Path, arguments: &[S]) -> Output {
    let mut command = Command::new(program);
    command.args(["render", "--bucket", "my-bucket", "--region", "cn-hangzhou"]);
    command.args(arguments).env_clear();
    command.output().expect("oss-origin-auth")
}

/// Combinations that contain every two rows which go together.
pub fn covering(goes_together: impl Fn(usize, usize) -> bool) -> Vec<Vec<usize>> {
    let count = ROWS.len();
    let mut open: Vec<(usize, usize)> = (0..count)
        .flat_map(|one| (one + 1..count).map(move |other| (one, other)))
        .filter(|(one, other)| goes_together(*one, *other))
        .collect();
    let mut combinations = Vec::new();
    while let Some((one, other)) = open.first().copied() {
        let mut chosen = vec![one, other];
        loop {
            let fits = |new: usize| chosen.iter().all(|old| goes_together(*old, new));
            let gain = |new: &usize| {
                let pairs = chosen.iter().map(|old| (*old.min(new), *old.max(new)));
                pairs.filter(|pair| open.contains(pair)).count()
            };
            let free = (0..count).filter(|new| !chosen.contains(new) && fits(*new));
            match free.max_by_key(gain) {
                Some(best) if gain(&best) > 0 => chosen.push(best),
                _ => break,
            }
        }
        open.retain(|(one, other)| !(chosen.contains(one) && chosen.contains(other)));
        combinations.push(chosen);
    }
    combinations
}
