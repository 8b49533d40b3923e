//! The programs in `tests/tools`: installed once, and run.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

use super::process::Guarded;

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
