//! Does the server answer what it should, to those it should, and stop? Asked over raw TCP.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;

struct Running {
    address: SocketAddr,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
    health: Health,
    metrics: Metrics,
    clock: Clock,
}

async fn start() -> Running {
    let (clock, metrics, stop) = (Clock::system(), Metrics::new(), CancellationToken::new());
    let health = Health::new(clock.now(), Duration::from_secs(60));
    let server = Server::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = server.address();
    let task = tokio::spawn(server.serve(metrics.clone(), health.clone(), clock.clone(), stop.clone()));
    Running { address, stop, task, health, metrics, clock }
}

impl Running {
    /// Sends the bytes as they are and returns everything that comes back.
    async fn send(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    async fn get(&self, path: &str, host: &str) -> String {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")).await
    }
}

#[tokio::test]
async fn metrics_health_and_index_are_served() {
    let server = start().await;
    server.metrics.records_read.with(["Reply"]).inc_by(5);
    let metrics = server.get("/metrics", "localhost").await;
    assert!(metrics.starts_with("HTTP/1.1 200 OK\r\n"), "{metrics}");
    assert!(metrics.contains("content-type: application/openmetrics-text; version=1.0.0"), "{metrics}");
    assert!(metrics.contains("watershed_records_read_total{stream=\"Reply\"} 5\n"), "{metrics}");
    assert!(metrics.ends_with("# EOF\n"), "{metrics}");

    let health = server.get("/healthz", "127.0.0.1:80").await;
    assert!(health.starts_with("HTTP/1.1 200 OK\r\n") && health.contains("{\"healthy\":true,"), "{health}");
    let long_ago = server.clock.now().checked_sub(Duration::from_secs(400)).unwrap();
    server.health.watch("shard a", long_ago).source_moved(long_ago);
    let health = server.get("/healthz", "127.0.0.1").await;
    assert!(health.starts_with("HTTP/1.1 503 ") && health.contains("{\"healthy\":false,"), "{health}");
    assert!(health.contains("shard a: records are there, but none became durable for 40"), "{health}");

    assert!(server.get("/", "[::1]:9464").await.contains("/healthz"));
    assert!(server.get("/other", "localhost").await.starts_with("HTTP/1.1 404 "));
    let post = "POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    assert!(server.send(post).await.starts_with("HTTP/1.1 405 "));
}

#[tokio::test]
async fn a_request_for_another_host_is_refused() {
    let server = start().await;
    for host in
        ["evil.example", "evil.example:9464", "localhost.evil.example", "localhost@evil.example", "10.0.0.1", ""]
    {
        let answer = server.get("/metrics", host).await;
        assert!(answer.starts_with("HTTP/1.1 421 "), "{host}: {answer}");
        assert!(!answer.contains("watershed_"), "{host}: {answer}");
    }
    for request in [
        "GET /metrics HTTP/1.0\r\n\r\n",
        "GET /metrics HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
        "GET http://evil.example/metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    ] {
        let answer = server.send(request).await;
        assert!(answer.contains(" 421 ") || answer.contains(" 400 "), "{request}: {answer}");
    }
}

#[test]
fn hosts_that_mean_this_machine() {
    for host in ["localhost", "LocalHost:1", "127.0.0.1", "127.8.9.1:80", "[::1]", "[::1]:80", "[::ffff:127.0.0.1]"] {
        assert!(names_loopback(host), "{host}");
    }
    for host in
        ["", "example.com", "localhost.", "0.0.0.0", "[::]", "128.0.0.1", "127.0.0.1.example", "a@localhost", "/x"]
    {
        assert!(!names_loopback(host), "{host}");
    }
}

#[tokio::test]
async fn only_loopback_is_listened_on() {
    for open in ["0.0.0.0:0", "[::]:0", "192.0.2.1:9464"] {
        let error = Server::bind(open.parse().unwrap()).await.unwrap_err().to_string();
        assert!(error.starts_with(&format!("`listen` = \"{open}\" is not a loopback address")), "{error}");
    }
}

#[tokio::test]
async fn an_address_in_use_is_named_with_its_key() {
    let server = start().await;
    let error = Server::bind(server.address).await.unwrap_err().to_string();
    assert!(error.starts_with(&format!("cannot listen on {} (`listen`): ", server.address)), "{error}");
}

#[tokio::test]
async fn it_stops_when_told_even_with_a_client_that_hangs() {
    let server = start().await;
    server.get("/", "localhost").await;
    let mut hanging = TcpStream::connect(server.address).await.unwrap();
    hanging.write_all(b"GET / HTTP/1.1\r\nHo").await.unwrap();
    server.stop.cancel();
    tokio::time::timeout(GRACE * 30, server.task).await.expect("stops in time").unwrap();
    assert!(TcpStream::connect(server.address).await.is_err());
}
