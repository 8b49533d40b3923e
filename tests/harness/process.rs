//! The binary as a child process: a folder to work in, and how a run of it ended.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use tempfile::TempDir;

use super::{LIMIT, now, rest};

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
