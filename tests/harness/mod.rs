//! What every test needs: the tools, a folder to work in, the binary as a child process, and patience with a limit.

pub mod churn;
pub mod exports;
pub mod front;
pub mod http;
pub mod kinesis_destination;
pub mod lake;
pub mod lambda;
pub mod mapping;
pub mod proxy;
pub mod queues;
pub mod recorded;
pub mod servers;

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// How long anything may take before a test gives up on it.
pub const LIMIT: Duration = Duration::from_secs(300);

// -- time ------------------------------------------------------------------------------------------------------------

/// The one clock of the tests: they watch real processes.
#[expect(clippy::disallowed_methods, reason = "real processes live in real time")]
pub fn now() -> Instant {
    Instant::now()
}

/// Rests between two looks at something, or for as long as a script says.
#[expect(clippy::disallowed_methods, reason = "real processes live in real time")]
pub fn rest(time: Duration) {
    std::thread::sleep(time);
}

/// Looks until `look` finds something, at most for `limit`.
pub fn wait_for<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let since = now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(since.elapsed() < limit, "waited {limit:?} in vain for {what}");
        rest(Duration::from_millis(10));
    }
}

// -- tools -----------------------------------------------------------------------------------------------------------

/// The programs in `tests/tools`, installed.
pub struct Tools {
    root: PathBuf,
    home: PathBuf,
}

/// Installs the tools once per run. What is missing fails the test and says how to get it.
pub fn tools() -> &'static Tools {
    static TOOLS: OnceLock<Result<Tools, String>> = OnceLock::new();
    let installed = TOOLS.get_or_init(|| {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let setup = Command::new(root.join("tests/tools/setup.sh"))
            .output()
            .map_err(|error| format!("tests/tools/setup.sh does not start: {error}"))?;
        if !setup.status.success() {
            return Err(format!("tests/tools/setup.sh failed:\n{}", String::from_utf8_lossy(&setup.stderr)));
        }
        let home = std::env::var_os("WATERSHED_TEST_TOOLS").map_or_else(|| "target/test-tools".into(), PathBuf::from);
        Ok(Tools { home: root.join(home), root })
    });
    match installed {
        Ok(tools) => tools,
        Err(why) => panic!("{why}"),
    }
}

impl Tools {
    /// A file of the repository.
    pub fn repository(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// A program of the Python environment.
    pub fn venv(&self, program: &str) -> PathBuf {
        self.home.join("venv/bin").join(program)
    }

    /// cargo-lambda: its local runtime.
    pub fn cargo_lambda(&self) -> PathBuf {
        self.home.join("cargo-lambda/bin/cargo-lambda")
    }

    /// Starts a Python tool; its last line on stdout is JSON.
    pub fn start(&self, script: &str, arguments: &[&str]) -> Tool {
        let log = tempfile::NamedTempFile::new().unwrap();
        let mut command = Command::new(self.venv("python"));
        command.arg(self.root.join("tests/tools").join(script)).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log.reopen().unwrap());
        let child = Guarded::spawn(&mut command);
        Tool { name: script.to_owned(), child, log }
    }

    /// Runs a Python tool to its end.
    pub fn run(&self, script: &str, arguments: &[&str]) -> Value {
        self.start(script, arguments).finish()
    }
}

/// A running Python tool.
pub struct Tool {
    name: String,
    child: Guarded,
    log: tempfile::NamedTempFile,
}

impl Tool {
    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.child.0.try_wait().unwrap().is_none()
    }

    /// What it said, if it ended well; panics otherwise.
    pub fn finish(self) -> Value {
        let name = self.name.clone();
        let (said, status, log) = self.end();
        assert!(status.success(), "{name} failed ({status}): {said}\n{log}");
        said
    }

    /// What it said, however it ended: the JSON line, the status, and its stderr.
    pub fn end(mut self) -> (Value, ExitStatus, String) {
        let mut said = String::new();
        let mut out = self.child.0.stdout.take().unwrap();
        std::io::Read::read_to_string(&mut out, &mut said).unwrap();
        let status = self.child.0.wait().unwrap();
        let log = fs::read_to_string(self.log.path()).unwrap();
        let last = said.lines().last().unwrap_or("null");
        (serde_json::from_str(last).unwrap_or_else(|_| Value::from(said.as_str())), status, log)
    }
}

/// A child process that does not outlive its owner, also when a test panics.
pub struct Guarded(pub Child);

impl Guarded {
    pub fn spawn(command: &mut Command) -> Self {
        match command.spawn() {
            Ok(child) => Self(child),
            Err(error) => panic!("{:?} does not start: {error}", command.get_program()),
        }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

// -- the binary ------------------------------------------------------------------------------------------------------

/// The binary under test: a copy, so that a build beside the tests changes nothing under their feet. `WATERSHED_BINARY` names
/// another one, such as that of a package.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("watershed-{}", std::process::id()));
        let folder = copy.parent().unwrap();
        fs::create_dir_all(folder).unwrap();
        // Those of earlier runs; one that is running cannot be in the way, since names differ.
        for old in fs::read_dir(folder).unwrap().flatten() {
            let id = old.file_name().to_str().and_then(|name| name.strip_prefix("watershed-")?.parse::<u32>().ok());
            if id.is_some_and(|id| !Path::new(&format!("/proc/{id}")).exists()) {
                let _ = fs::remove_file(old.path());
            }
        }
        let binary = std::env::var_os("WATERSHED_BINARY").unwrap_or_else(|| env!("CARGO_BIN_EXE_watershed").into());
        fs::copy(binary, &copy).unwrap();
        copy
    })
}

/// A folder to run the binary in, with a pipeline file, and an environment that reaches nothing but the test's servers.
pub struct Work {
    folder: TempDir,
    environment: Vec<(String, String)>,
}

/// How a run of the binary ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    /// Panics unless it ended with this exit code.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// The lines on stderr that the command itself says at its end, not the log.
    pub fn errors(&self) -> Vec<&str> {
        self.stderr.lines().filter(|line| line.starts_with("watershed: ")).collect()
    }
}

impl Work {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // One deeper, so that a test can see what lands beside it without looking at other tests' folders.
        fs::create_dir(folder.path().join("work")).unwrap();
        let fixed = [
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("AWS_REGION", "us-east-1"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
            // Not the developer's profiles.
            ("HOME", folder.path().to_str().unwrap()),
        ];
        let environment = fixed.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        Self { folder, environment }
    }

    /// Sets an environment variable of the binary.
    pub fn set(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    /// Unsets an environment variable of the binary.
    pub fn unset(mut self, name: &str) -> Self {
        self.environment.retain(|(known, _)| known != name);
        self
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("work").join(name)
    }

    /// The path as text.
    pub fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// Writes a file into the folder.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(arguments);
        self.prepared(command)
    }

    fn prepared(&self, mut command: Command) -> Command {
        command.current_dir(self.path("")).stdin(Stdio::null());
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("AWS_") || name == "RUST_LOG") {
            command.env_remove(name);
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs the binary to its end.
    pub fn run(&self, arguments: &[&str]) -> Ended {
        self.spawn(arguments).wait()
    }

    /// Runs the binary where no file can grow beyond so many blocks of 512 bytes: writing more fails, as on a full disk.
    pub fn run_with_file_limit(&self, blocks: u32, arguments: &[&str]) -> Ended {
        let mut command = Command::new("sh");
        // The signal would kill it; without, the write fails.
        command.args(["-c", r#"trap '' XFSZ; ulimit -f "$1"; shift; exec "$@""#, "sh", &blocks.to_string()]);
        command.arg(binary()).args(arguments);
        Self::start(self.prepared(command)).wait()
    }

    /// Starts the binary.
    pub fn spawn(&self, arguments: &[&str]) -> Running {
        Self::start(self.command(arguments))
    }

    /// The same, with some more variables.
    pub fn spawn_with(&self, arguments: &[&str], more: &[(&str, &str)]) -> Running {
        let mut command = self.command(arguments);
        command.envs(more.iter().copied());
        Self::start(command)
    }

    fn start(mut command: Command) -> Running {
        let (out, log) = (tempfile::NamedTempFile::new().unwrap(), tempfile::NamedTempFile::new().unwrap());
        command.stdout(out.reopen().unwrap()).stderr(log.reopen().unwrap());
        Running { child: Guarded::spawn(&mut command), out, log }
    }
}

/// The running binary.
pub struct Running {
    child: Guarded,
    out: tempfile::NamedTempFile,
    log: tempfile::NamedTempFile,
}

impl Running {
    pub fn id(&self) -> u32 {
        self.child.0.id()
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.child.0.try_wait().unwrap().is_none()
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log.path()).unwrap()
    }

    /// `kill -9`.
    pub fn kill(mut self) -> Ended {
        self.kill_now()
    }

    /// The same, for one that lies in something else.
    pub fn kill_now(&mut self) -> Ended {
        self.child.0.kill().unwrap();
        self.wait_for_end()
    }

    /// SIGTERM: it drains and ends.
    pub fn terminate(self) -> Ended {
        let sent = Command::new("kill").args(["-TERM", &self.id().to_string()]).status().unwrap();
        assert!(sent.success(), "it has ended already: {:?}", self.wait());
        self.wait()
    }

    /// Waits for its end, at most for [`LIMIT`].
    pub fn wait(mut self) -> Ended {
        self.wait_for_end()
    }

    fn wait_for_end(&mut self) -> Ended {
        let log = self.log.path().to_owned();
        let since = now();
        let status = loop {
            if let Some(status) = self.child.0.try_wait().unwrap() {
                break status;
            }
            let said = || fs::read_to_string(&log).unwrap();
            assert!(since.elapsed() < LIMIT, "it has not ended after {LIMIT:?}:\n{}", said());
            rest(Duration::from_millis(5));
        };
        let read =
            |file: &tempfile::NamedTempFile| String::from_utf8_lossy(&fs::read(file.path()).unwrap()).into_owned();
        Ended { code: status.code(), stdout: read(&self.out), stderr: read(&self.log) }
    }
}

// -- what people should see ---------------------------------------------------------------------------------------------

/// Prints figures also where the test passes: libtest keeps back only what goes through `println!`.
pub fn show(figures: &str) {
    let mut out = std::io::stdout().lock();
    // A closed pipe is no reason to fail.
    let _ = writeln!(out, "{figures}").and_then(|()| out.flush());
}

// -- the judge -------------------------------------------------------------------------------------------------------

/// What `check_lake.py` found.
#[derive(Debug)]
pub struct Verdict(pub Value);

impl Verdict {
    pub fn count(&self, name: &str) -> u64 {
        self.0[name].as_u64().unwrap_or_else(|| panic!("no {name} in {}", self.0))
    }
}

/// Compares a lake (a folder) with a history and panics, with the judge's examples, unless every fault is zero.
///
/// Before that the simulated worlds' own definition of a whole lake is held against it: chains without gap or overlap, every
/// file there with the rows its range says, no record twice, and nothing else.
#[track_caller]
pub fn judge(lake: &Path, history: &Path, more: &[&str]) -> Verdict {
    let read = |(path, _): (String, u64)| (path.clone(), fs::read(lake.join(path)).unwrap().into());
    // Temporary files, which a kill leaves in a folder, are no objects.
    let objects = files_below(lake).into_iter().filter(|(path, _)| !path.starts_with("_watershed/tmp/"));
    let objects = objects.map(read).collect();
    if let Err(violation) = watershed::testing::judge::whole(&objects) {
        panic!("the lake is not whole: {violation}");
    }
    let mut arguments = vec!["--lake", lake.to_str().unwrap(), "--history", history.to_str().unwrap()];
    arguments.extend(more);
    let (said, status, log) = tools().start("check_lake.py", &arguments).end();
    assert!(status.success(), "the lake is not the history: {said}\n{log}");
    Verdict(said)
}

/// The lines of a file.
pub fn count_lines(path: &Path) -> usize {
    fs::read(path).map_or(0, |content| memchr::memchr_iter(b'\n', &content).count())
}

/// Every file below a folder, as paths relative to it with their sizes, sorted.
pub fn files_below(folder: &Path) -> Vec<(String, u64)> {
    fn walk(folder: &Path, root: &Path, found: &mut Vec<(String, u64)>) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            // What a running program takes away between the two calls was there a moment ago only.
            let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
            if metadata.is_dir() {
                walk(&path, root, found);
            } else {
                found.push((path.strip_prefix(root).unwrap().to_str().unwrap().to_owned(), metadata.len()));
            }
        }
    }
    let mut found = Vec::new();
    walk(folder, folder, &mut found);
    found.sort();
    found
}

/// Copies a file's whole content; used where a test wants to look at a server's log.
pub fn content(file: &File) -> String {
    std::io::read_to_string(file).unwrap_or_default()
}
