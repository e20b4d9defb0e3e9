//! Runs each test of a program in a process of its own, a few at a time.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use testkit::process::scratch;
use testkit::tools::{self, Host};

use crate::command::{Result, cargo};

/// The tests that run alone, since they measure or load and others would disturb them. They
/// come after all others, one after the other, each with all its hosts at once.
const ALONE: [&str; 2] = [
    "lapse::no_request_fails_through_rotations_restarts_and_outages",
    "sidecar_limits::a_minute_among_hostile_callers_harms_nobody",
];

/// The time after which a test counts as hanging.
const LIMIT: Duration = Duration::from_secs(600);

/// A test in a built program.
#[derive(Clone, Debug)]
pub struct Test {
    pub program: PathBuf,
    pub name: String,
    /// The host of the filter.
    pub host: Host,
    /// Whether the test is marked with `#[ignore]`.
    pub ignored: bool,
}

/// A test that has ended.
#[derive(Debug)]
pub struct Outcome {
    pub name: String,
    pub took: Duration,
    /// The error, if the test failed.
    pub problem: Option<String>,
}

/// Builds the test targets of these names; returns their programs in this order.
pub fn build(targets: &[&str]) -> Result<Vec<PathBuf>> {
    let mut command = cargo();
    // These are the packages of `cargo test --workspace`. With other packages, features would
    // differ, and everything would be built twice.
    command.args(["test", "--workspace", "--no-run"]);
    command.arg("--message-format=json-render-diagnostics");
    for target in targets {
        command.args(["--test", target]);
    }
    let child = command.stdout(Stdio::piped()).spawn();
    let mut child = child.map_err(|error| format!("cargo: {error}"))?;
    let mut programs = BTreeMap::new();
    let output = child.stdout.take().map(BufReader::new);
    let lines = output.into_iter().flat_map(BufRead::lines);
    for line in lines.map_while(std::io::Result::ok) {
        let message: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
        let name = message["target"]["name"].as_str();
        if let (Some(name), Some(path)) = (name, message["executable"].as_str()) {
            programs.insert(name.to_owned(), PathBuf::from(path));
        }
    }
    let status = child.wait().map_err(|error| error.to_string())?;
    if !status.success() {
        return Err(format!("cargo test --no-run ended with {status}"));
    }
    let program = |target: &&str| {
        let found = programs.get(*target).cloned();
        found.ok_or_else(|| format!("cargo built no program of the tests `{target}`"))
    };
    targets.iter().map(program).collect()
}

impl Test {
    /// The same test with another host.
    pub fn on(&self, host: Host) -> Test {
        Test {
            host,
            ..self.clone()
        }
    }

    /// The name of the test, with its host if that is not wasm.
    fn title(&self) -> String {
        match self.host {
            Host::Wasm => self.name.clone(),
            Host::Native => format!("native: {}", self.name),
        }
    }
}

/// The tests of a program, with the wasm filter.
pub fn list(program: &Path) -> Result<Vec<Test>> {
    let names = |more: &[&str]| -> Result<Vec<String>> {
        let output = Command::new(program)
            .args(["--list", "--format", "terse"])
            .args(more)
            .output()
            .map_err(|error| format!("{}: {error}", program.display()))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let names = text.lines().filter_map(|line| line.strip_suffix(": test"));
        Ok(names.map(str::to_owned).collect())
    };
    let ignored = names(&["--ignored"])?;
    let test = |name: String| Test {
        program: program.to_owned(),
        ignored: ignored.contains(&name),
        name,
        host: Host::Wasm,
    };
    Ok(names(&[])?.into_iter().map(test).collect())
}

/// The names and values of more environment variables for the tests.
pub type Environment<'a> = &'a [(&'a str, OsString)];

/// Runs the tests, `jobs` at a time, and shows each result.
pub fn run(mut tests: Vec<Test>, jobs: usize, environment: Environment) -> Result<Vec<Outcome>> {
    let watchdog = Watchdog::start()?;
    let known = Seconds::read();
    // The longest tests come first, so that none is left over at the end.
    tests.sort_by_key(|test| std::cmp::Reverse(known.of(test)));
    let mut phases = Vec::new();
    for name in ALONE {
        let (alone, others): (Vec<Test>, Vec<Test>) =
            tests.into_iter().partition(|test| test.name == name);
        phases.push((alone.len(), alone));
        tests = others;
    }
    phases.insert(0, (jobs, tests));
    let outcomes = Mutex::new(Vec::new());
    for (jobs, tests) in phases {
        let tests = Mutex::new(tests.into_iter());
        // The lock ends with this call; in a condition of `while let` it would last for the
        // whole test.
        let next = || lock(&tests).next();
        std::thread::scope(|scope| {
            for _ in 0..jobs {
                scope.spawn(|| {
                    while let Some(test) = next() {
                        let outcome = run_one(&test, environment, &watchdog);
                        show(&outcome);
                        lock(&outcomes).push(outcome);
                    }
                });
            }
        });
    }
    let outcomes = outcomes
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    known.write(&outcomes)?;
    Ok(outcomes)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn show(outcome: &Outcome) {
    let (name, seconds) = (&outcome.name, outcome.took.as_secs_f64());
    match &outcome.problem {
        None => println!("ok     {seconds:6.1} s  {name}"),
        Some(problem) => println!("FAILED {seconds:6.1} s  {name}\n{problem}"),
    }
}

fn run_one(test: &Test, environment: Environment, watchdog: &Watchdog) -> Outcome {
    let begin = Instant::now();
    let log = scratch("test.log");
    let ended = run_to_end(test, environment, watchdog, &log);
    let problem = match ended {
        Ok(Some(status)) if status.success() => None,
        Ok(Some(status)) => Some(format!("ended with {status}")),
        Ok(None) => Some(format!(
            "killed after {} minutes: it hangs",
            LIMIT.as_secs() / 60
        )),
        Err(problem) => Some(problem),
    };
    let output = std::fs::read(&log).unwrap_or_default();
    let _ = std::fs::remove_file(&log);
    let shown = |problem| format!("{}{problem}", String::from_utf8_lossy(&output));
    Outcome {
        name: test.title(),
        took: begin.elapsed(),
        problem: problem.map(shown),
    }
}

/// Runs a test to its end; `None` if it had to be killed.
fn run_to_end(
    test: &Test,
    environment: Environment,
    watchdog: &Watchdog,
    log: &Path,
) -> Result<Option<ExitStatus>> {
    let text = |error: std::io::Error| format!("{}: {error}", test.program.display());
    let output = File::create(log).map_err(text)?;
    let mut command = Command::new(&test.program);
    command
        .args(["--exact", &test.name, "--nocapture", "--test-threads", "1"])
        .current_dir(tools::root())
        .stdin(Stdio::null())
        .stdout(output.try_clone().map_err(text)?)
        .stderr(output)
        // All processes of a test are in its process group, so that they can be killed
        // together.
        .process_group(0);
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    command.env(tools::HOST, test.host.to_string());
    let mut child = command.spawn().map_err(text)?;
    watchdog.tell('+', child.id());
    let status = wait(&mut child).map_err(text);
    kill_group(child.id());
    if !matches!(status, Ok(Some(_))) {
        let _ = child.wait();
    }
    watchdog.tell('-', child.id());
    status
}

fn wait(child: &mut Child) -> std::io::Result<Option<ExitStatus>> {
    let begin = Instant::now();
    while begin.elapsed() < LIMIT {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(None)
}

/// Kills a process group, and with it what a test has left behind.
fn kill_group(group: u32) {
    let mut command = Command::new("sh");
    command.args([
        "-c",
        "kill -s KILL -- \"-$0\" 2> /dev/null",
        &group.to_string(),
    ]);
    let _ = command.status();
}

/// Kills the process groups of running tests when this program ends, however it ends. It is a
/// shell that gets the id of each group, and that notices the end of its input.
struct Watchdog {
    child: Child,
    input: Mutex<Option<ChildStdin>>,
}

const WATCHDOG: &str = r#"
groups=" "
while read -r verb group; do
  case $verb in
  +) groups="$groups$group " ;;
  -) groups="${groups%% "$group" *} ${groups#* "$group" }" ;;
  esac
done
for group in $groups; do kill -s KILL -- "-$group"; done
"#;

impl Watchdog {
    fn start() -> Result<Watchdog> {
        let mut child = Command::new("sh")
            .args(["-c", WATCHDOG])
            .stdin(Stdio::piped())
            // Ctrl-C does not reach it.
            .process_group(0)
            .spawn()
            .map_err(|error| format!("sh: {error}"))?;
        let input = Mutex::new(child.stdin.take());
        Ok(Watchdog { child, input })
    }

    fn tell(&self, verb: char, group: u32) {
        if let Some(input) = lock(&self.input).as_mut() {
            let _ = writeln!(input, "{verb} {group}");
        }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        drop(lock(&self.input).take());
        let _ = self.child.wait();
    }
}

/// The time that each test took in its last run, which only decides the order.
struct Seconds {
    file: PathBuf,
    of: BTreeMap<String, f64>,
}

impl Seconds {
    fn read() -> Seconds {
        let file = tools::target().join("test-seconds.json");
        let text = std::fs::read(&file).unwrap_or_default();
        let of = serde_json::from_slice(&text).unwrap_or_default();
        Seconds { file, of }
    }

    /// The time of a test. A test that has never run, with either host, comes first.
    fn of(&self, test: &Test) -> Duration {
        let seconds = self.of.get(&test.title());
        let seconds = seconds.or_else(|| self.of.get(&test.name)).copied();
        let known = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        known.unwrap_or(LIMIT)
    }

    fn write(mut self, outcomes: &[Outcome]) -> Result {
        for outcome in outcomes {
            let seconds = outcome.took.as_secs_f64();
            self.of.insert(outcome.name.clone(), seconds);
        }
        let text = serde_json::to_string_pretty(&self.of).map_err(|error| error.to_string())?;
        std::fs::write(&self.file, text).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_run_at_the_same_time() {
        let (program, folder) = (scratch("meeting.sh"), scratch("meeting"));
        std::fs::create_dir(&folder).unwrap();
        // Each of the two tests starts, and waits for the other.
        let text = format!(
            "#!/bin/sh\ncd '{}' && touch \"$2\"\n\
             for n in $(seq 600); do [ -e one ] && [ -e two ] && exit 0; sleep 0.1; done\nexit 1\n",
            folder.display()
        );
        std::fs::write(&program, text).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&program, mode).unwrap();
        let test = |name: &str| Test {
            program: program.clone(),
            name: name.to_owned(),
            host: Host::Wasm,
            ignored: false,
        };
        let outcomes = run(vec![test("one"), test("two")], 2, &[]).unwrap();
        let problems: Vec<_> = outcomes.iter().map(|outcome| &outcome.problem).collect();
        assert_eq!(problems, [&None, &None]);
    }

    /// Whether a process with this id runs; one that has ended and was not reaped does not.
    fn runs(id: u32) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat"));
        stat.is_ok_and(|stat| !stat.contains(") Z "))
    }

    #[test]
    fn the_watchdog_kills_what_runs_and_nothing_else() {
        let watchdog = Watchdog::start().unwrap();
        let mut children: Vec<Child> = (0..3)
            .map(|_| {
                let mut command = Command::new("sleep");
                command.arg("600").process_group(0).spawn().unwrap()
            })
            .collect();
        for child in &children {
            watchdog.tell('+', child.id());
        }
        watchdog.tell('-', children[1].id());
        assert!(children.iter().all(|child| runs(child.id())));
        // Dropping it has the same effect as the end of this program.
        drop(watchdog);
        testkit::process::wait_until("the killed", || {
            !runs(children[0].id()) && !runs(children[2].id())
        });
        assert!(runs(children[1].id()));
        for child in &mut children {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}
