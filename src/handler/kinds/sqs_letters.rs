//! How are dead letters put into an SQS queue? As one message each, without the change's bytes if those are too large.
//! Each letter is kept in the lake first: a queue forgets after some days, and `watershed replay` needs the order.

use std::time::Duration;

use aws_sdk_sqs::Client;
use serde::Serialize;

use super::aws::{ATTEMPTS, fault};
use crate::BoxFuture;
use crate::clock::Clock;
use crate::handler::HandlerError;
use crate::handler::dead_letter::{DeadLetter, DeadLetters, StoredDeadLetters};
use crate::lake::settle::GIVE_UP;
use crate::source::Aws;

const CALL: &str = "sqs:SendMessage";
/// What a message holds, a little less than the service's 1 MiB.
const LARGEST: usize = 1_000_000;
/// How long one attempt may take.
const TIMEOUT: Duration = Duration::from_secs(30);
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Dead letters as messages of a queue.
pub struct QueuedDeadLetters {
    client: Client,
    queue: String,
    kept: StoredDeadLetters,
    clock: Clock,
}

impl QueuedDeadLetters {
    /// In the queue with this URL, and in `kept`.
    pub fn new(aws: &Aws, queue: &str, kept: StoredDeadLetters, clock: &Clock) -> Self {
        let client = Client::new(&aws.config(TIMEOUT, ATTEMPTS));
        Self { client, queue: queue.to_owned(), kept, clock: clock.clone() }
    }

    async fn keep(&self, letter: &DeadLetter) -> Result<(), String> {
        self.kept.bury(letter).await?;
        let place = format!("{}/{}", self.kept.describe(), letter.path());
        let body = Message { letter, dead_letter: &place }.body();
        let (began, mut wait) = (self.clock.now(), FIRST_WAIT);
        loop {
            let why = match self.send(&body, letter).await {
                Ok(()) => return Ok(()),
                Err(HandlerError::Refused(why)) => return Err(why),
                Err(error) => error.to_string(),
            };
            if self.clock.now().saturating_duration_since(began) > GIVE_UP {
                return Err(why);
            }
            tracing::warn!(queue = self.queue, why, "a dead letter can't be sent; trying again");
            self.clock.sleep(self.clock.jittered(wait)).await;
            wait = LONGEST_WAIT.min(wait * 2);
        }
    }

    async fn send(&self, body: &str, letter: &DeadLetter) -> Result<(), HandlerError> {
        let mut call = self.client.send_message().queue_url(&self.queue).message_body(body);
        if self.queue.ends_with(".fifo") {
            let id = letter.path().replace('/', "-");
            let group: String = id.split('-').next().unwrap_or_default().to_owned();
            call =
                call.message_group_id(group).message_deduplication_id(id.chars().rev().take(128).collect::<String>());
        }
        call.send().await.map(drop).map_err(|error| fault(CALL, &error))
    }
}

/// What a message holds: the letter, and where it is kept.
#[derive(Serialize)]
struct Message<'a> {
    #[serde(flatten)]
    letter: &'a DeadLetter,
    dead_letter: &'a str,
}

impl Message<'_> {
    /// Its JSON; without the change's bytes if it would be too large for a queue.
    fn body(&self) -> String {
        // A struct of strings and numbers always serialises.
        let whole = serde_json::to_string(self).unwrap_or_default();
        if whole.len() <= LARGEST {
            return whole;
        }
        let letter = DeadLetter { payload_base64: String::new(), ..self.letter.clone() };
        serde_json::to_string(&Message { letter: &letter, ..*self }).unwrap_or_default()
    }
}

impl DeadLetters for QueuedDeadLetters {
    fn bury<'a>(&'a self, letter: &'a DeadLetter) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move { self.keep(letter).await.map_err(|why| format!("dead letters in {}: {why}", self.queue)) })
    }

    fn describe(&self) -> String {
        self.queue.clone()
    }
}
