//! How do a pipeline file's names look: of pipelines, tables, streams, and ARNs that stand for them?

use std::fmt;
use std::sync::Arc;

use super::field::Refusal;
use super::text::quote;

/// The most characters a pipeline's name has.
pub const MAX_NAME_CHARS: usize = 128;

/// A DynamoDB table as the pipeline file names it: by name, by its ARN, or by the ARN of one of its streams.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableRef {
    table: Arc<str>,
    arn: Option<String>,
    stream: bool,
}

impl TableRef {
    /// The table's name.
    pub fn table(&self) -> &Arc<str> {
        &self.table
    }

    /// What to name to `DescribeTable`: the table's ARN, or its name. `None` if only this stream is meant.
    pub fn table_id(&self) -> Option<&str> {
        (!self.stream).then(|| self.arn.as_deref().unwrap_or(&self.table))
    }

    /// The ARN of the one stream that is meant; `None`: whichever stream the table has.
    pub fn stream_arn(&self) -> Option<&str> {
        self.arn.as_deref().filter(|_| self.stream)
    }
}

/// A Kinesis stream as the pipeline file names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamRef {
    name: String,
    arn: Option<String>,
}

impl StreamRef {
    /// The stream's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its ARN, if the file gives it.
    pub fn arn(&self) -> Option<&str> {
        self.arn.as_deref()
    }
}

/// As it stands in the file.
impl fmt::Display for TableRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.arn.as_deref().unwrap_or(&self.table))
    }
}

/// As it stands in the file.
impl fmt::Display for StreamRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.arn.as_deref().unwrap_or(&self.name))
    }
}

/// `[A-Za-z0-9][A-Za-z0-9_.-]{0,127}`.
pub(super) fn pipeline_name(text: &str) -> Result<String, Refusal> {
    let fits = text.starts_with(|c: char| c.is_ascii_alphanumeric()) && is_name(text, 1, MAX_NAME_CHARS);
    if fits { Ok(text.to_owned()) } else { Err(Refusal::not(text)) }
}

/// A DynamoDB table's name: 3 to 255 letters, digits, `_`, `.` and `-`.
pub(super) fn table_name(text: &str) -> Result<Arc<str>, Refusal> {
    if is_name(text, 3, 255) { Ok(text.into()) } else { Err(Refusal::not(text)) }
}

pub(super) fn table_ref(text: &str) -> Result<TableRef, Refusal> {
    if !text.starts_with("arn:") {
        return Ok(TableRef { table: table_name(text)?, arn: None, stream: false });
    }
    let resource = arn_resource(text, "dynamodb")?;
    let mut parts = resource.split('/');
    let table = match (parts.next(), parts.next()) {
        (Some("table"), Some(name)) => table_name(name).map_err(|_| Refusal::not(text))?,
        _ => return Err(Refusal::not(text).cure("a table's ARN ends in `table/NAME`")),
    };
    let stream = match (parts.next(), parts.next(), parts.next()) {
        (None, ..) => false,
        (Some("stream"), Some(label), None) if !label.is_empty() => true,
        _ => {
            return Err(Refusal::not(text).cure("behind the table's name only `/stream/LABEL` may follow"));
        }
    };
    Ok(TableRef { table, arn: Some(text.to_owned()), stream })
}

pub(super) fn stream_ref(text: &str) -> Result<StreamRef, Refusal> {
    let named = |name: &str| is_name(name, 1, 128).then(|| name.to_owned()).ok_or_else(|| Refusal::not(text));
    if !text.starts_with("arn:") {
        return Ok(StreamRef { name: named(text)?, arn: None });
    }
    let resource = arn_resource(text, "kinesis")?;
    match resource.strip_prefix("stream/") {
        Some(name) if name.contains("/consumer/") => {
            Err(Refusal::not(text).cure("this is the ARN of a consumer; name the stream"))
        }
        Some(name) => Ok(StreamRef { name: named(name)?, arn: Some(text.to_owned()) }),
        None => Err(Refusal::not(text).cure("a stream's ARN ends in `stream/NAME`")),
    }
}

/// The last part of `arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE`.
pub(super) fn arn_resource<'a>(text: &'a str, service: &str) -> Result<&'a str, Refusal> {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let [_, partition, of, region, account, resource] = parts[..] else {
        return Err(Refusal::not(text).cure(format!("an ARN is `arn:aws:{service}:REGION:ACCOUNT:…`")));
    };
    if of != service {
        return Err(Refusal::not(text).cure(format!("this is an ARN of {}, not of `{service}`", quote(of))));
    }
    let filled = [partition, region, account, resource].iter().all(|part| is_arn_part(part));
    if filled { Ok(resource) } else { Err(Refusal::not(text).cure("a part of the ARN is empty or has odd characters")) }
}

fn is_arn_part(part: &str) -> bool {
    !part.is_empty() && part.len() <= 1024 && part.bytes().all(|b| b.is_ascii_graphic())
}

fn is_name(text: &str, least: usize, most: usize) -> bool {
    (least..=most).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}

/// An attribute's name as keys, indexes and partitions have it: 1 to 255 bytes of UTF-8.
pub(super) fn attribute_name(text: &str) -> Result<String, Refusal> {
    if text.is_empty() || text.len() > 255 { Err(Refusal::not(text)) } else { Ok(text.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_three_spellings() {
        let name = table_ref("Reply").unwrap();
        assert_eq!((&**name.table(), name.table_id(), name.stream_arn()), ("Reply", Some("Reply"), None));
        let arn = "arn:aws-cn:dynamodb:cn-north-1:111122223333:table/Reply";
        let table = table_ref(arn).unwrap();
        assert_eq!((&**table.table(), table.table_id(), table.stream_arn()), ("Reply", Some(arn), None));
        let arn = "arn:aws:dynamodb:ddblocal:000000000000:table/Reply/stream/2026-11-20T08:15:30.123";
        let stream = table_ref(arn).unwrap();
        assert_eq!((&**stream.table(), stream.table_id(), stream.stream_arn()), ("Reply", None, Some(arn)));
        assert_eq!(stream.to_string(), arn);
    }

    #[test]
    fn a_stream_has_two_spellings() {
        assert_eq!(stream_ref("forum").map(|stream| stream.to_string()), Ok("forum".to_owned()));
        let arn = "arn:aws:kinesis:eu-central-1:111122223333:stream/forum";
        let stream = stream_ref(arn).unwrap();
        assert_eq!((stream.name(), stream.arn()), ("forum", Some(arn)));
    }

    #[test]
    fn other_names_are_refused() {
        for text in [
            "",
            "ab",
            "Ré",
            "a b c",
            "arn:",
            "arn:aws:dynamodb:eu-central-1:111122223333:Reply",
            "arn:aws:dynamodb:eu-central-1:111122223333:table/",
            "arn:aws:dynamodb:eu-central-1:111122223333:table/Reply/index/PostedBy",
            "arn:aws:dynamodb:eu-central-1:111122223333:table/Reply/stream/",
            "arn:aws:dynamodb::111122223333:table/Reply",
            "arn:aws:kinesis:eu-central-1:111122223333:stream/forum",
        ] {
            assert!(table_ref(text).is_err(), "{text}");
        }
        for text in [
            "",
            "ä",
            &"x".repeat(129),
            "arn:aws:dynamodb:eu-central-1:111122223333:table/Reply",
            "arn:aws:kinesis:eu-central-1:111122223333:stream/forum/consumer/c:1",
            "arn:aws:kinesis:eu-central-1:111122223333:forum",
        ] {
            assert!(stream_ref(text).is_err(), "{text}");
        }
        for text in ["", "-a", ".a", "a/b", "a b", &"x".repeat(129)] {
            assert!(pipeline_name(text).is_err(), "{text}");
        }
        assert!(pipeline_name(&"x".repeat(128)).is_ok() && pipeline_name("9_.-").is_ok());
    }
}
