//! Webhooks against endpoints that behave, and such that don't.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::handler::kinds::payloads::tests::handler;
use crate::handler::payload::tests::{REPLY, change};
use crate::handler::{Change, Verdict};
use crate::pipeline::spec::Payload;
use crate::testing::store::MemoryStore;

/// An endpoint on this machine that gives the same answer to every message, and keeps what it got.
struct Server {
    port: u16,
    got: Arc<Mutex<Vec<String>>>,
}

/// Answers `answer` and closes; without an answer it holds the connection open.
async fn server(answer: Option<Vec<u8>>) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, got) = (listener.local_addr().unwrap().port(), Arc::new(Mutex::new(Vec::new())));
    let seen = got.clone();
    tokio::spawn(async move {
        loop {
            let (mut connection, _) = listener.accept().await.unwrap();
            let (answer, seen) = (answer.clone(), seen.clone());
            tokio::spawn(async move {
                let mut text = Vec::new();
                while !whole(&text) {
                    let mut buffer = [0; 65536];
                    match connection.read(&mut buffer).await {
                        Ok(0) | Err(_) => return,
                        Ok(read) => text.extend_from_slice(&buffer[..read]),
                    }
                }
                seen.lock().unwrap().push(String::from_utf8(text).unwrap());
                match answer {
                    // The other side may well have gone.
                    Some(answer) => _ = connection.write_all(&answer).await,
                    None => std::future::pending().await,
                }
            });
        }
    });
    Server { port, got }
}

fn whole(text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    body.len() >= length.map_or(0, |length| length.parse().unwrap())
}

fn answer(status: &str, more: &str, body: &str) -> Option<Vec<u8>> {
    Some(
        format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n{more}\r\n{body}", body.len())
            .into_bytes(),
    )
}

struct Settings {
    batch_size: usize,
    payload: Payload,
    allow_private: bool,
    timeout: Duration,
    lookup: Lookup,
}

impl Default for Settings {
    fn default() -> Self {
        let timeout = Duration::from_secs(20);
        Self { batch_size: 1, payload: Payload::Change, allow_private: true, timeout, lookup: system_lookup() }
    }
}

fn webhook(url: &str, settings: Settings) -> Result<Webhook, KindError> {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("secret");
    std::fs::write(&place, "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD").unwrap();
    let secrets = [SecretRef::File(place)];
    let format = Format::new(&settings.payload).unwrap();
    let handler = spec::Handler { batch_size: settings.batch_size, timeout: settings.timeout, ..handler("h") };
    let payloads = Payloads::new("h", format, Arc::new(MemoryStore::new()), MAX_PAYLOAD);
    let endpoint = Endpoint { url, secrets: &secrets, allow_private: settings.allow_private };
    Webhook::new(&handler, &endpoint, payloads, Clock::system(), settings.lookup)
}

fn delivery(changes: Vec<Change>) -> Delivery {
    Delivery { changes, attempt: 1 }
}

/// Sends one change to an endpoint that answers this.
async fn sent(status: &str, more: &str, body: &str) -> Result<Outcome, HandlerError> {
    let server = server(answer(status, more, body)).await;
    let hook = webhook(&format!("http://127.0.0.1:{}/hook", server.port), Settings::default()).unwrap();
    hook.handle(&delivery(vec![change(REPLY)])).await
}

fn header<'a>(message: &'a str, name: &str) -> &'a str {
    message.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).unwrap_or_else(|| panic!("{message}"))
}

#[tokio::test]
async fn a_message_is_signed_and_its_id_stays() {
    let server = server(answer("204 No Content", "", "")).await;
    let hook = webhook(&format!("http://127.0.0.1:{}/hook?x=1", server.port), Settings::default()).unwrap();
    let change = change(REPLY);
    for _ in 0..2 {
        assert_eq!(hook.handle(&delivery(vec![change.clone()])).await, Ok(Outcome::Done));
    }
    let got = server.got.lock().unwrap().clone();
    assert_eq!(got.len(), 2);
    for message in &got {
        assert!(message.starts_with("POST /hook?x=1 HTTP/1.1\r\n"), "{message}");
        assert_eq!(header(message, "webhook-id"), change.delivery_id("h"));
        assert_eq!(header(message, "content-type"), "application/json");
        assert_eq!(header(message, "user-agent"), USER_AGENT);
        let body = message.split_once("\r\n\r\n").unwrap().1;
        assert_eq!(body, Format::Change.write(&change, "h").unwrap());
        let timestamp: i64 = header(message, "webhook-timestamp").parse().unwrap();
        assert!(timestamp > 1_700_000_000);
        let expected = signatures(&hook.keys, &change.delivery_id("h"), timestamp, body.as_bytes());
        assert_eq!(header(message, "webhook-signature"), expected);
    }
}

#[tokio::test]
async fn a_batch_is_a_list_and_an_answer_may_name_what_failed() {
    let first = change(REPLY);
    let second = change(r#"{"eventName":"REMOVE","dynamodb":{"Keys":{"Id":{"S":"b"}}}}"#);
    let report = format!("{{\"batchItemFailures\":[{{\"itemIdentifier\":\"{}\"}}]}}", first.delivery_id("h"));
    let server = server(answer("200 OK", "content-type: application/json; charset=utf-8\r\n", &report)).await;
    let url = format!("http://127.0.0.1:{}/", server.port);
    let hook = webhook(&url, Settings { batch_size: 10, ..Settings::default() }).unwrap();
    let changes = delivery(vec![first.clone(), change("{}"), second.clone()]);
    // The ids differ although the fake positions of the fixtures do not: give each its own.
    let outcome = hook.handle(&changes).await;
    let Ok(Outcome::Failed(failures)) = outcome else { panic!("{outcome:?}") };
    assert_eq!(
        failures.iter().map(|failure| (failure.index, failure.verdict)).collect::<Vec<_>>(),
        [(0, Verdict::Retry), (1, Verdict::Refused)]
    );
    let message = server.got.lock().unwrap()[0].clone();
    let body: Value = serde_json::from_str(message.split_once("\r\n\r\n").unwrap().1).unwrap();
    let ops: Vec<_> = body.as_array().unwrap().iter().map(|change| change["op"].as_str().unwrap()).collect();
    assert_eq!(ops, ["MODIFY", "REMOVE"]);
    assert_eq!(header(&message, "webhook-id").len(), 32);
    assert_ne!(header(&message, "webhook-id"), first.delivery_id("h"));
}

#[tokio::test]
async fn an_answer_decides_what_becomes_of_the_change() {
    assert_eq!(sent("200 OK", "", "whatever").await, Ok(Outcome::Done));
    assert_eq!(sent("200 OK", "content-type: application/json\r\n", "{not json").await, Ok(Outcome::Done));
    let strange = r#"{"batchItemFailures":[{"itemIdentifier":"x"}]}"#;
    assert!(matches!(
        sent("200 OK", "content-type: application/json\r\n", strange).await,
        Err(HandlerError::Failed(_))
    ));
    let after = sent("503 Service Unavailable", "retry-after: 7\r\n", "secret").await.unwrap_err();
    let HandlerError::Unavailable { why, after: Some(after) } = after else { panic!("{after:?}") };
    assert!(after.as_secs() == 7 && why.contains("503") && !why.contains("secret") && !why.contains("hook"), "{why}");
    assert!(
        matches!(sent("410 Gone", "", "").await, Err(HandlerError::Unavailable { why, .. }) if why.contains("gone"))
    );
    assert!(matches!(sent("422 No", "", "").await, Err(HandlerError::Refused(_))));
    assert!(matches!(sent("500 No", "", "").await, Err(HandlerError::Failed(_))));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let other = server(answer("200 OK", "", "")).await;
    for location in [format!("http://127.0.0.1:{}/", other.port), "http://169.254.169.254/latest/meta-data/".to_owned()]
    {
        let error = sent("302 Found", &format!("location: {location}\r\n"), "").await.unwrap_err();
        assert!(
            matches!(&error, HandlerError::Unavailable { why, .. } if why.contains("redirects") && !why.contains("meta")),
            "{error:?}"
        );
    }
    assert!(other.got.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_hostile_answer_ends_the_call_and_nothing_else() {
    // An endless body, of which no more is read than anybody needs.
    let endless = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 999999999999\r\n\r\n[{}",
        " ".repeat(MAX_ANSWER * 4)
    );
    for (raw, handled) in [
        (endless.into_bytes(), true),
        (b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 10\r\n\r\n{".to_vec(), false),
        (b"not http at all\r\n\r\n".to_vec(), false),
        (b"HTTP/1.1 200 OK\r\n".to_vec(), false),
        (Vec::new(), false),
        ([b"HTTP/1.1 200 OK\r\nx: ".as_slice(), &vec![b'a'; 2 << 20]].concat(), false),
    ] {
        let shown = String::from_utf8_lossy(&raw[..raw.len().min(40)]).into_owned();
        let server = server(Some(raw)).await;
        let hook = webhook(&format!("http://127.0.0.1:{}/", server.port), Settings::default()).unwrap();
        let outcome = hook.handle(&delivery(vec![change(REPLY)])).await;
        assert_eq!(outcome.is_ok(), handled, "{shown}: {outcome:?}");
    }
}

#[tokio::test]
async fn silence_is_a_failure_and_a_closed_door_is_not() {
    let silent = server(None).await;
    let settings = Settings { timeout: Duration::from_millis(300), ..Settings::default() };
    let hook = webhook(&format!("http://127.0.0.1:{}/", silent.port), settings).unwrap();
    let error = hook.handle(&delivery(vec![change(REPLY)])).await.unwrap_err();
    assert!(matches!(&error, HandlerError::Failed(why) if why.contains("in time")), "{error:?}");
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let hook = webhook(&format!("http://{closed}/"), Settings::default()).unwrap();
    let error = hook.handle(&delivery(vec![change(REPLY)])).await.unwrap_err();
    assert!(matches!(&error, HandlerError::Unavailable { why, .. } if why.contains("can't be reached")), "{error:?}");
}

/// Names that lead to these addresses.
fn leading_to(addresses: &[&str]) -> Lookup {
    let found: Vec<IpAddr> = addresses.iter().map(|address| address.parse().unwrap()).collect();
    Arc::new(move |_| {
        let found = found.clone();
        Box::pin(async move { Ok(found) })
    })
}

#[tokio::test]
async fn a_name_that_leads_inside_is_not_called() {
    let server = server(answer("200 OK", "", "")).await;
    let call = |url: String, addresses: &'static [&'static str], allow_private: bool| async move {
        let settings = Settings { allow_private, lookup: leading_to(addresses), ..Settings::default() };
        webhook(&url, settings).unwrap().handle(&delivery(vec![change(REPLY)])).await
    };
    for address in [&["127.0.0.1"], &["10.0.0.1"], &["::1"], &["::ffff:127.0.0.1"], &["fd00::1"], &["169.254.169.254"]]
    {
        let error = call(format!("https://example.com:{}/", server.port), address, false).await.unwrap_err();
        assert!(matches!(&error, HandlerError::Unavailable { why, .. } if why.contains("leads to")), "{error:?}");
    }
    // Even where private addresses are meant, those that tell credentials are not.
    let local = format!("http://hook.localhost:{}/", server.port);
    for address in [&["169.254.169.254"], &["::ffff:169.254.170.2"], &["fd00:ec2::254"]] {
        let error = call(local.clone(), address, true).await.unwrap_err();
        assert!(matches!(&error, HandlerError::Unavailable { why, .. } if why.contains("link-local")), "{error:?}");
    }
    assert!(server.got.lock().unwrap().is_empty());
    // Of several addresses only those that may be called are.
    assert_eq!(call(local, &["169.254.169.254", "127.0.0.1"], true).await, Ok(Outcome::Done));
    assert_eq!(server.got.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn addresses_in_the_url_are_judged_too() {
    for url in ["https://127.0.0.1/", "https://[::ffff:10.0.0.1]/", "https://169.254.169.254/", "http://localhost/"] {
        let made = webhook(url, Settings { allow_private: false, ..Settings::default() });
        assert!(matches!(made, Err(KindError::Url(_))), "{url}");
    }
}

#[tokio::test]
async fn a_template_that_is_no_json_is_sent_as_text() {
    let server = server(answer("200 OK", "", "")).await;
    let url = format!("http://127.0.0.1:{}/", server.port);
    let payload = || Payload::Template("op={{ op }}".to_owned());
    let hook = webhook(&url, Settings { payload: payload(), ..Settings::default() }).unwrap();
    assert_eq!(hook.handle(&delivery(vec![change(REPLY)])).await, Ok(Outcome::Done));
    let message = server.got.lock().unwrap()[0].clone();
    assert!(message.ends_with("\r\n\r\nop=MODIFY"), "{message}");
    assert_eq!(header(&message, "content-type"), "text/plain; charset=utf-8");
    let hook = webhook(&url, Settings { payload: payload(), batch_size: 2, ..Settings::default() }).unwrap();
    let outcome = hook.handle(&delivery(vec![change(REPLY)])).await;
    assert!(matches!(outcome, Ok(Outcome::Failed(failures)) if failures[0].verdict == Verdict::Refused));
    assert_eq!(server.got.lock().unwrap().len(), 1, "an empty list is not sent");
}
