//! Lambda, as a function sees it: environments that speak the Runtime API, each with a process of the real binary in it.

use std::io::{BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde_json::Value;

use super::http::Message;
use super::{Ended, Running, Work, now};

/// An event on its way to a function.
struct Offer {
    body: Vec<u8>,
    deadline: u64,
}

/// What a function has answered.
#[derive(Debug, Clone, PartialEq)]
pub enum Said {
    /// A result.
    Answer(Value),
    /// An error of the invocation: its message.
    Error(String),
}

/// One environment: a process, and the Runtime API it polls.
pub struct Environment {
    pub running: Running,
    offers: Option<Sender<Offer>>,
    answers: Receiver<Said>,
    polls: Arc<AtomicU64>,
    /// How long its process took to ask for the first event.
    first_poll: Arc<OnceLock<Duration>>,
    closed: Arc<AtomicBool>,
    port: u16,
}

/// Milliseconds since the epoch.
pub fn wall_millis() -> u64 {
    std::time::UNIX_EPOCH.elapsed().unwrap().as_millis() as u64
}

impl Environment {
    /// Starts the binary as Lambda does: as a bootstrap, without arguments.
    pub fn start(work: &Work, pipeline: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (offers, offered) = channel();
        let (answering, answers) = channel();
        let (polls, closed) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (first_poll, since) = (Arc::new(OnceLock::new()), now());
        let (counted, first, ends) = (polls.clone(), first_poll.clone(), closed.clone());
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                if ends.load(Ordering::SeqCst) {
                    return;
                }
                let poll = || {
                    first.get_or_init(|| since.elapsed());
                    counted.fetch_add(1, Ordering::SeqCst)
                };
                if serve(connection, &offered, &answering, &poll).is_none() {
                    return;
                }
            }
        });
        let api = format!("127.0.0.1:{port}");
        let variables = [
            ("AWS_LAMBDA_RUNTIME_API", api.as_str()),
            ("AWS_LAMBDA_FUNCTION_NAME", "watershed"),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512"),
            ("WATERSHED_PIPELINE", pipeline),
        ];
        let running = work.spawn_with(&[], &variables);
        Self { running, offers: Some(offers), answers, polls, first_poll, closed, port }
    }

    /// How often it has asked for an event.
    pub fn polls(&self) -> u64 {
        self.polls.load(Ordering::SeqCst)
    }

    /// How long it took to ask for the first one, if it has.
    pub fn first_poll(&self) -> Option<Duration> {
        self.first_poll.get().copied()
    }

    /// Sends an event that has to be answered within `timeout`, and waits for the answer at most for `patience`.
    pub fn invoke(&self, event: &[u8], timeout: Duration, patience: Duration) -> Option<Said> {
        let deadline = wall_millis() + timeout.as_millis() as u64;
        let offer = Offer { body: event.to_vec(), deadline };
        self.offers.as_ref()?.send(offer).ok()?;
        self.answers.recv_timeout(patience).ok()
    }

    /// `kill -9`.
    pub fn kill(mut self) -> Ended {
        self.close();
        self.running.kill_now()
    }

    fn close(&mut self) {
        self.closed.store(true, Ordering::SeqCst);
        self.offers.take();
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl Drop for Environment {
    fn drop(&mut self) {
        self.close();
    }
}

/// One request of the Runtime API; `None` when the environment is closed.
fn serve(
    connection: TcpStream,
    offered: &Receiver<Offer>,
    answering: &Sender<Said>,
    polled: &dyn Fn() -> u64,
) -> Option<()> {
    connection.set_nodelay(true).ok()?;
    let mut reader = BufReader::new(connection.try_clone().ok()?);
    let mut writer = connection;
    let Ok(Some(mut request)) = Message::read_head(&mut reader) else { return Some(()) };
    if request.read_body(&mut reader, false).is_err() {
        return Some(());
    }
    let mut answer = Message { start: "HTTP/1.1 202 Accepted".to_owned(), ..Message::default() };
    match request.target().1 {
        "/2018-06-01/runtime/invocation/next" => {
            let number = polled();
            let offer = offered.recv().ok()?;
            answer.start = "HTTP/1.1 200 OK".to_owned();
            let headers = [
                ("content-type", "application/json".to_owned()),
                ("lambda-runtime-aws-request-id", format!("request-{number}")),
                ("lambda-runtime-deadline-ms", offer.deadline.to_string()),
                ("lambda-runtime-invoked-function-arn", "arn:aws:lambda:us-east-1:1:function:watershed".to_owned()),
                ("lambda-runtime-trace-id", "Root=1-0-0".to_owned()),
            ];
            answer.headers.extend(headers.map(|(name, value)| (name.to_owned(), value)));
            answer.body = offer.body;
        }
        target if target.ends_with("/response") => {
            let said = serde_json::from_slice(&request.body).expect("a response is JSON");
            answering.send(Said::Answer(said)).ok()?;
        }
        target if target.ends_with("/error") => {
            let said: Value = serde_json::from_slice(&request.body).expect("an error is JSON");
            answering.send(Said::Error(said["errorMessage"].as_str().unwrap_or_default().to_owned())).ok()?;
        }
        target => panic!("the Runtime API has no {target}"),
    }
    // A process that was killed meanwhile does not listen.
    let _ = writer.write_all(&answer.head(answer.body.len())).and_then(|()| writer.write_all(&answer.body));
    Some(())
}
