//! How does the format `lambda` write a change: as the record of a Lambda event?
//!
//! A change of a DynamoDB stream becomes exactly what Lambda's event source mapping would deliver of it. A change that
//! came through Kinesis becomes a record of the same shape, so that one function serves both: what the mapping would make
//! of the Kinesis record (its partition key and arrival) does not travel with a change. In it, `SequenceNumber` is the
//! Kinesis one, and the last part of `eventSourceARN` names the Kinesis stream.

use crate::decode::json::{Cursor, Malformed, Members};
use crate::handler::Change;

use super::{PayloadError, quoted};
use crate::decode::envelope::NotAChange;

/// A record's members as JSON, in the order in which Lambda writes them.
#[derive(Default)]
struct Record<'a> {
    id: Option<&'a str>,
    name: Option<&'a str>,
    version: Option<&'a str>,
    source: Option<&'a str>,
    region: Option<&'a str>,
    dynamodb: String,
    arn: Option<&'a str>,
    user: Option<String>,
    /// What the future brings, as it came.
    others: String,
}

/// Writes the change.
///
/// # Errors
/// Bytes that are no change.
pub fn write(change: &Change, handler: &str) -> Result<String, PayloadError> {
    // What has no `dynamodb` is no record of any event.
    change.envelope()?;
    let text = text(change)?;
    let mut cursor = Cursor::new(text);
    let mut record = Record::default();
    let mut members = Members::open(&mut cursor)?;
    while let Some(name) = members.next(&mut cursor)? {
        match name.raw {
            "eventID" => record.id = given(cursor.value()?),
            "eventName" => record.name = given(cursor.value()?),
            "eventVersion" => record.version = given(cursor.value()?),
            "eventSource" => record.source = given(cursor.value()?),
            "awsRegion" => record.region = given(cursor.value()?),
            "eventSourceARN" => record.arn = given(cursor.value()?),
            "dynamodb" => record.dynamodb = dynamodb(cursor.value()?, change)?,
            "userIdentity" => record.user = user_identity(cursor.value()?)?,
            // Only Kinesis has these.
            "tableName" | "recordFormat" => drop(cursor.value()?),
            other => member(&mut record.others, other, cursor.value()?),
        }
    }
    let mut out = String::with_capacity(text.len() + 256);
    out.push('{');
    member(&mut out, "eventID", record.id.unwrap_or(&quoted(&change.delivery_id(handler))));
    member(&mut out, "eventName", record.name.unwrap_or("null"));
    member(&mut out, "eventVersion", record.version.unwrap_or("\"1.1\""));
    member(&mut out, "eventSource", record.source.unwrap_or("\"aws:dynamodb\""));
    if let Some(region) = record.region {
        member(&mut out, "awsRegion", region);
    }
    member(&mut out, "dynamodb", &record.dynamodb);
    match record.arn {
        Some(arn) => member(&mut out, "eventSourceARN", arn),
        None => member(&mut out, "eventSourceARN", &quoted(&arn(change))),
    }
    if let Some(user) = record.user {
        member(&mut out, "userIdentity", &user);
    }
    if !record.others.is_empty() {
        out.push(',');
        out.push_str(&record.others);
    }
    out.push('}');
    Ok(out.replace(['\n', '\r'], ""))
}

/// What names the change in the function's `batchItemFailures`: `dynamodb.SequenceNumber` as it is written.
///
/// # Errors
/// Bytes that are not JSON.
pub fn identifier(change: &Change) -> Result<String, PayloadError> {
    let mut cursor = Cursor::new(text(change)?);
    let mut members = Members::open(&mut cursor)?;
    while let Some(name) = members.next(&mut cursor)? {
        if !name.is("dynamodb") {
            cursor.value()?;
            continue;
        }
        let mut members = Members::open(&mut cursor)?;
        while let Some(name) = members.next(&mut cursor)? {
            if name.is("SequenceNumber") && cursor.peek() == Some(b'"') {
                return Ok(cursor.string()?.decode().unwrap_or_default().into_owned());
            }
            cursor.value()?;
        }
    }
    Ok(change.record.position.sequence.as_str().to_owned())
}

fn text(change: &Change) -> Result<&str, PayloadError> {
    simdutf8::basic::from_utf8(&change.record.payload).map_err(|_| NotAChange::NotUtf8.into())
}

fn given(json: &str) -> Option<&str> {
    (json != "null").then_some(json)
}

/// `"name":json` behind a comma, if something stands before it. `name` is the inside of a JSON string.
fn member(out: &mut String, name: &str, json: &str) {
    if !out.is_empty() && !out.ends_with('{') {
        out.push(',');
    }
    out.push('"');
    out.push_str(name);
    out.push_str("\":");
    out.push_str(json);
}

/// The member `dynamodb`: the time in whole seconds, and what Kinesis leaves out.
fn dynamodb(json: &str, change: &Change) -> Result<String, Malformed> {
    let mut cursor = Cursor::new(json);
    let mut out = String::with_capacity(json.len() + 64);
    let (mut sequence, mut view) = (false, false);
    out.push('{');
    if let Some(micros) = change.changed_at {
        member(&mut out, "ApproximateCreationDateTime", &micros.div_euclid(1_000_000).to_string());
    }
    let mut members = Members::open(&mut cursor)?;
    while let Some(name) = members.next(&mut cursor)? {
        let value = cursor.value()?;
        match name.raw {
            "ApproximateCreationDateTime" if change.changed_at.is_some() => {}
            // It speaks of the time as it came.
            "ApproximateCreationDateTimePrecision" => {}
            other => {
                sequence |= other == "SequenceNumber";
                view |= other == "StreamViewType";
                member(&mut out, other, value);
            }
        }
    }
    if !sequence {
        member(&mut out, "SequenceNumber", &quoted(change.record.position.sequence.as_str()));
    }
    if !view {
        member(&mut out, "StreamViewType", "\"NEW_AND_OLD_IMAGES\"");
    }
    out.push('}');
    Ok(out)
}

/// The streams' own `Type` and `PrincipalId` begin with small letters in Lambda.
fn user_identity(json: &str) -> Result<Option<String>, Malformed> {
    if !json.starts_with('{') {
        return Ok(None);
    }
    let mut cursor = Cursor::new(json);
    let mut out = String::from("{");
    let mut members = Members::open(&mut cursor)?;
    while let Some(name) = members.next(&mut cursor)? {
        let value = cursor.value()?;
        match name.raw {
            "Type" => member(&mut out, "type", value),
            "PrincipalId" => member(&mut out, "principalId", value),
            other => member(&mut out, other, value),
        }
    }
    out.push('}');
    Ok(Some(out))
}

/// The ARN of the change's stream. Only a DynamoDB stream has one; what stands for it elsewhere names the table, which is
/// what functions look for.
fn arn(change: &Change) -> String {
    let stream = &*change.stream;
    if stream.starts_with("arn:") && stream.contains(":dynamodb:") {
        return stream.to_owned();
    }
    let parts: Vec<&str> = stream.splitn(6, ':').collect();
    match parts[..] {
        // A destination is in the region and account of its table. The stream's id ends in `@<creation time>`.
        ["arn", partition, "kinesis", region, account, name] => {
            let name = name.trim_start_matches("stream/").split('@').next().unwrap_or_default();
            format!("arn:{partition}:dynamodb:{region}:{account}:table/{}/stream/{name}", change.table)
        }
        _ => format!("arn:aws:dynamodb:local:000000000000:table/{}/stream/recorded", change.table),
    }
}
