//! How are the targets of handlers written: URLs, ARNs, names, and references to secrets?

use std::path::PathBuf;

use super::field::Refusal;
use super::names::{attribute_name, table_ref};
use super::places::{folder, lake_path};
use super::spec::{LakePath, OnFailure, SecretRef};
use super::text::quote;
use crate::handler::kinds::webhook::address;

/// A text that stands in the file, or in another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Written {
    /// This is it.
    Here(String),
    /// It is what is in this file.
    File(PathBuf),
}

/// A text, or `file:PATH`.
pub(super) fn written(text: &str) -> Result<Written, Refusal> {
    match text.strip_prefix("file:") {
        Some(path) => folder(path).map(Written::File),
        None if text.trim().is_empty() => Err(Refusal::new("found an empty text")),
        None => Ok(Written::Here(text.to_owned())),
    }
}

/// `env:NAME` or `file:PATH`. What is refused is not repeated: it may be the secret.
pub(super) fn secret_ref(text: &str) -> Result<SecretRef, Refusal> {
    if let Some(path) = text.strip_prefix("file:") {
        return folder(path).map(SecretRef::File);
    }
    let Some(name) = text.strip_prefix("env:") else {
        let cure =
            "put it into an environment variable or a file: whoever reads a pipeline file must not learn secrets";
        return Err(Refusal::new("a secret does not stand in the file itself").cure(cure));
    };
    let fits = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && name.bytes().next().is_some_and(|b| !b.is_ascii_digit());
    if fits {
        Ok(SecretRef::Env(name.to_owned()))
    } else {
        Err(Refusal::new("not the name of an environment variable"))
    }
}

/// The URL of a webhook.
pub(super) fn webhook_url(text: &str, allow_private: bool) -> Result<String, Refusal> {
    address::target(text, allow_private)
        .map(|url| url.to_string())
        .map_err(|why| Refusal::new(why.found).cure(why.cure))
}

/// A function's name, ARN, or either with a version or alias.
pub(super) fn function(text: &str) -> Result<String, Refusal> {
    let name = match text.starts_with("arn:") {
        true => arn(text, "lambda")?
            .strip_prefix("function:")
            .ok_or_else(|| Refusal::not(text).cure("a function's ARN has `function:NAME`"))?,
        false => text,
    };
    let (name, qualifier) = name.split_once(':').unwrap_or((name, "$LATEST"));
    let fits = is_word(name, 140, "-_") && is_word(qualifier, 128, "-_$");
    if fits { Ok(text.to_owned()) } else { Err(Refusal::not(text)) }
}

/// A queue's URL.
pub(super) fn queue(text: &str) -> Result<String, Refusal> {
    if text.starts_with("arn:") {
        return Err(Refusal::not(text).cure("name the queue's URL: `aws sqs get-queue-url --queue-name NAME` tells it"));
    }
    let path = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or_default();
    let name = path.rsplit_once('/').map_or("", |(_, name)| name);
    let fits =
        is_word(name.strip_suffix(".fifo").unwrap_or(name), 80, "-_") && text.bytes().all(|b| b.is_ascii_graphic());
    if fits { Ok(text.to_owned()) } else { Err(Refusal::not(text)) }
}

/// A topic's ARN.
pub(super) fn topic(text: &str) -> Result<String, Refusal> {
    if !text.starts_with("arn:") {
        return Err(Refusal::not(text).cure("name the topic's ARN"));
    }
    let name = arn(text, "sns")?;
    let fits = is_word(name.strip_suffix(".fifo").unwrap_or(name), 256, "-_");
    if fits { Ok(text.to_owned()) } else { Err(Refusal::not(text).cure("behind the topic's name nothing may follow")) }
}

/// A bus's name or ARN.
pub(super) fn bus(text: &str) -> Result<String, Refusal> {
    let name = match text.starts_with("arn:") {
        true => arn(text, "events")?
            .strip_prefix("event-bus/")
            .ok_or_else(|| Refusal::not(text).cure("a bus's ARN ends in `event-bus/NAME`"))?,
        false => text,
    };
    if is_word(name, 256, "/._-") { Ok(text.to_owned()) } else { Err(Refusal::not(text)) }
}

/// An event's source.
pub(super) fn event_source(text: &str) -> Result<String, Refusal> {
    if text.starts_with("aws.") {
        return Err(Refusal::not(text).cure("sources that begin with `aws.` are AWS's own"));
    }
    if is_word(text, 256, "/._-@") { Ok(text.to_owned()) } else { Err(Refusal::not(text)) }
}

/// An event's detail type.
pub(super) fn detail_type(text: &str) -> Result<String, Refusal> {
    let fits = (1..=128).contains(&text.len()) && !text.chars().any(char::is_control);
    if fits { Ok(text.to_owned()) } else { Err(Refusal::not(text)) }
}

/// The table that is kept the same.
pub(super) fn replica(text: &str) -> Result<String, Refusal> {
    let table = table_ref(text)?;
    match table.table_id() {
        Some(id) => Ok(id.to_owned()),
        None => Err(Refusal::not(text).cure("this is the ARN of a stream; name the table")),
    }
}

/// A region.
pub(super) fn region(text: &str) -> Result<String, Refusal> {
    let fits = (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if fits { Ok(text.to_owned()) } else { Err(Refusal::not(text)) }
}

/// A role's ARN, which names no region.
pub(super) fn role(text: &str) -> Result<String, Refusal> {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let ["arn", partition, "iam", "", account, resource] = parts[..] else {
        return Err(Refusal::not(text));
    };
    let name = resource.strip_prefix("role/").unwrap_or_default();
    let fits = is_word(partition, 32, "-") && is_word(account, 12, "") && is_word(name, 600, "/+=,.@_-");
    if fits { Ok(text.to_owned()) } else { Err(Refusal::not(text)) }
}

/// An attribute's name.
pub(super) fn loop_attribute(text: &str) -> Result<String, Refusal> {
    attribute_name(text)
}

/// A folder, a prefix in S3, or a queue.
pub(super) fn on_failure(text: &str) -> Result<OnFailure, Refusal> {
    if text.starts_with("https://") || text.starts_with("http://") {
        return queue(text).map(OnFailure::Sqs);
    }
    if text.starts_with("arn:") {
        return Err(Refusal::not(text).cure("name a queue by its URL, a bucket as \"s3://BUCKET/PREFIX\""));
    }
    Ok(match lake_path(text)? {
        LakePath::Folder(folder) => OnFailure::Folder(folder),
        LakePath::S3 { bucket, prefix } => OnFailure::S3 { bucket, prefix },
    })
}

/// The last part of an ARN of `service`.
fn arn<'a>(text: &'a str, service: &str) -> Result<&'a str, Refusal> {
    super::names::arn_resource(text, service)
}

/// 1 to `most` ASCII letters, digits, and the characters of `also`.
fn is_word(text: &str, most: usize, also: &str) -> bool {
    (1..=most).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric() || also.contains(c))
}

/// What a program and its arguments are: texts, of which the first is not empty.
pub(super) fn command(words: Vec<&str>) -> Result<Vec<String>, Refusal> {
    match words.first() {
        None => return Err(Refusal::new("the list is empty")),
        Some(program) if program.trim().is_empty() => return Err(Refusal::new("the program has no name")),
        Some(_) => {}
    }
    match words.iter().find(|word| word.contains('\0')) {
        Some(word) => Err(Refusal::new(format!("found {}", quote(word))).cure("an argument has no zero character")),
        None => Ok(words.into_iter().map(str::to_owned).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_have_their_spellings() {
        for text in [
            "fn",
            "fn:live",
            "fn:$LATEST",
            "arn:aws:lambda:eu-central-1:111122223333:function:fn",
            "arn:aws:lambda:eu-central-1:111122223333:function:fn:7",
        ] {
            assert_eq!(function(text).as_deref(), Ok(text));
        }
        for text in ["", "a b", "fn:", "arn:aws:sns:eu-central-1:111122223333:fn", "arn:aws:lambda:a:b:layer:x"] {
            assert!(function(text).is_err(), "{text}");
        }
        for text in
            ["https://sqs.eu-central-1.amazonaws.com/111122223333/q", "http://127.0.0.1:4566/000000000000/q.fifo"]
        {
            assert_eq!(queue(text).as_deref(), Ok(text));
        }
        for text in ["", "q", "https://sqs/", "https://sqs/a b", "https://sqs/1/q.fifo.x", "arn:aws:sqs:a:b:q"] {
            assert!(queue(text).is_err(), "{text}");
        }
        let t = "arn:aws:sns:eu-central-1:111122223333:t.fifo";
        assert_eq!(topic(t).as_deref(), Ok(t));
        assert!(topic("t").is_err() && topic("arn:aws:sns:eu-central-1:111122223333:t:subscription").is_err());
        assert!(bus("default").is_ok() && bus("arn:aws:events:eu-central-1:111122223333:event-bus/b").is_ok());
        assert!(bus("arn:aws:events:eu-central-1:111122223333:rule/b").is_err() && bus("a b").is_err());
        assert!(event_source("shop.orders").is_ok() && event_source("aws.s3").is_err());
        assert!(role("arn:aws:iam::111122223333:role/path/name").is_ok());
        assert!(role("arn:aws:iam::111122223333:user/name").is_err() && role("name").is_err());
        assert!(replica("arn:aws:dynamodb:eu-central-1:111122223333:table/Reply").is_ok());
        assert!(replica("arn:aws:dynamodb:eu-central-1:111122223333:table/Reply/stream/x").is_err());
        assert!(region("eu-central-1").is_ok() && region("EU").is_err());
    }

    #[test]
    fn dead_letters_go_to_three_kinds_of_places() {
        assert_eq!(on_failure("dead/x"), Ok(OnFailure::Folder("dead/x".into())));
        let s3 = OnFailure::S3 { bucket: "bucket".into(), prefix: "a/b".into() };
        assert_eq!(on_failure("s3://bucket/a/b/"), Ok(s3));
        assert!(matches!(on_failure("https://sqs/1/q"), Ok(OnFailure::Sqs(_))));
        assert!(on_failure("arn:aws:sqs:a:b:q").is_err() && on_failure("gs://x").is_err() && on_failure("").is_err());
    }

    #[test]
    fn a_refused_secret_is_not_repeated() {
        assert_eq!(secret_ref("env:HOOK_SECRET"), Ok(SecretRef::Env("HOOK_SECRET".into())));
        assert_eq!(secret_ref("file:secrets/hook"), Ok(SecretRef::File("secrets/hook".into())));
        for text in
            ["whsec_C2FVsBQIhrscChlQIMV", "env:whsec_C2FVsBQIhrscChlQIMV+b5", "env:", "env:9C2FVsBQIhrscChlQIMV"]
        {
            let refusal = secret_ref(text).unwrap_err();
            assert!(!format!("{refusal:?}").contains("C2FVs"), "{refusal:?}");
        }
    }
}
