//! The servers: DynamoDB Local, a Kinesis, and MiniStack for S3, each on loopback ports of its own, gone with its owner.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::NamedTempFile;

use super::{Guarded, http, tools, wait_for};

/// How long a server may take to start.
const START: Duration = Duration::from_secs(300);

/// Ends with its stdin, so that a server does not outlive the tests, however they end.
const UNTIL_STDIN_CLOSES: &str = r#""$@" </dev/null & server=$!; read -r _; kill -9 $server; wait"#;

/// S3, and more of AWS.
pub struct MiniStack {
    pub port: u16,
    process: Guarded,
}

impl MiniStack {
    pub fn start() -> Self {
        let log = NamedTempFile::new().unwrap();
        let port = free_port();
        let mut command = Command::new("sh");
        command.args(["-c", UNTIL_STDIN_CLOSES, "sh"]).arg(tools().venv("ministack"));
        command.env("BIND_HOST", "127.0.0.1").env("GATEWAY_PORT", port.to_string()).env("LAMBDA_EXECUTOR", "local");
        // So long that a test can lay down what it should have exported.
        command.env("MINISTACK_DDB_EXPORT_COMPLETE_AFTER_SEC", "12");
        command.stdin(Stdio::piped()).stdout(log.reopen().unwrap()).stderr(log.reopen().unwrap());
        let mut process = Guarded::spawn(&mut command);
        wait_for("MiniStack", START, || {
            if process.0.try_wait().unwrap().is_some() {
                panic!("MiniStack ended: {}", super::content(log.as_file()));
            }
            http::call(port, "GET", "/_ministack/health", b"").ok().filter(|answer| answer.status() == 200)
        });
        Self { port, process }
    }

    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Makes a bucket.
    pub fn with_bucket(self, name: &str) -> Self {
        let answer = http::call(self.port, "PUT", &format!("/{name}"), b"").unwrap();
        assert_eq!(answer.status(), 200, "{}", String::from_utf8_lossy(&answer.body));
        self
    }
}

impl Drop for MiniStack {
    fn drop(&mut self) {
        // The shell then kills it; killing the shell first would leave it alone.
        drop(self.process.0.stdin.take());
        let _ = self.process.0.wait();
    }
}

/// DynamoDB with streams whose shards roll over.
pub struct DynamoDbLocal {
    pub port: u16,
    control: u16,
    _process: Guarded,
}

impl DynamoDbLocal {
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// One that starts slowly and then takes thousands of writes a second.
    pub fn start_for_long() -> Self {
        Self::start_with(&[("DYNAMODB_LOCAL_JAVA_FLAGS", "-XX:+UseParallelGC -Xmx4g")])
    }

    fn start_with(environment: &[(&str, &str)]) -> Self {
        let tools = tools();
        let log = NamedTempFile::new().unwrap();
        let mut command = Command::new(tools.repository("tests/tools/dynamodb-local/run.sh"));
        command.envs(environment.iter().copied());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log.reopen().unwrap());
        let mut process = Guarded::spawn(&mut command);
        let mut out = BufReader::new(process.0.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        let port = |name: &str| line.split_whitespace().find_map(|word| word.strip_prefix(name)?.parse().ok());
        let (Some(port), Some(control)) = (port("port="), port("control=")) else {
            panic!("DynamoDB Local said {line:?}: {}", super::content(log.as_file()))
        };
        // It may say more, and must not stop because nobody reads it.
        std::thread::spawn(move || out.read_to_end(&mut Vec::new()));
        Self { port, control, _process: process }
    }

    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Where to post so that every open shard is sealed and gets a child.
    pub fn rollover_url(&self) -> String {
        format!("http://127.0.0.1:{}/rollover", self.control)
    }

    pub fn roll_over(&self) {
        let answer = http::call(self.control, "POST", "/rollover", b"").unwrap();
        assert_eq!(answer.status() / 100, 2, "{answer:?}");
    }

    /// Makes every record, shard and iterator of all streams so much older, so that they are trimmed.
    pub fn age(&self, hours: u32) {
        let answer = http::call(self.control, "POST", &format!("/age?hours={hours}"), b"").unwrap();
        assert_eq!(answer.status() / 100, 2, "{answer:?}");
    }

    /// The arguments every run of the writer begins with.
    pub fn writer<'a>(endpoint: &'a str, history: &'a Path) -> Vec<&'a str> {
        vec!["--endpoint", endpoint, "--history", history.to_str().unwrap()]
    }
}

/// Kinesis with shards that split and merge, in this process.
pub struct Kinesis {
    pub port: u16,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Kinesis {
    pub fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        runtime.spawn(async move {
            let options = ferrokinesis::store::StoreOptions {
                create_stream_ms: 20,
                delete_stream_ms: 20,
                update_stream_ms: 20,
                shard_limit: 1000,
                ..Default::default()
            };
            let (app, _store) = ferrokinesis::create_app(options);
            // PutRecords takes 5 MB of data, which is 6.7 MB of base64.
            let app = app.layer(axum::extract::DefaultBodyLimit::max(7 << 20));
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            axum::serve(listener, app).await
        });
        Self { port, runtime: Some(runtime) }
    }

    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for Kinesis {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
