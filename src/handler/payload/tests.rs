//! Each format on changes of each channel, against samples of what AWS delivers.

use bytes::Bytes;
use serde_json::{Value, json};

use super::*;
use crate::change::{Channel, Position, Record, SequenceNumber, ShardId};
use crate::decode::envelope;
use crate::handler::ItemId;

const STREAM: &str = "arn:aws:dynamodb:eu-central-1:111122223333:table/Reply/stream/2026-11-20T08:15:30.123";

/// The change with these bytes, as the first of its stream.
pub(crate) fn change(payload: &str) -> Change {
    change_of(payload, Channel::Streams, STREAM, "Reply")
}

pub(crate) fn change_of(payload: &str, channel: Channel, stream: &str, table: &str) -> Change {
    let payload = Bytes::from(payload.to_owned());
    let (item, changed_at) = match envelope::read(&payload, channel) {
        Ok(envelope) => (ItemId::of(table, &envelope), envelope.changed_at),
        Err(_) => (ItemId::of(table, &envelope::Envelope::default()), None),
    };
    let position = Position { sequence: SequenceNumber::from_ordinal(7), sub: 0 };
    let record = Record { position, channel, table: Some(table.into()), payload };
    let (stream, shard) = (stream.into(), ShardId::new("shardId-1"));
    Change { record, table: table.into(), stream, shard, item, changed_at }
}

/// A change of a reply, as DynamoDB Streams writes it.
pub(crate) const REPLY: &str = r#"{"eventID":"e1","eventName":"MODIFY","eventVersion":"1.1","eventSource":"aws:dynamodb","awsRegion":"eu-central-1",
"dynamodb":{"ApproximateCreationDateTime":1.7951652E9,"Keys":{"Id":{"S":"a\u00e9"}},"NewImage":{"Id":{"S":"a\u00e9"},
"Rating":{"N":"12345678901234567890123456789012345678"},"Tags":{"SS":["x"]},"Meta":{"M":{"l":{"L":[{"N":"1.50"},{"NULL":true}]}}}},
"OldImage":{"Id":{"S":"a\u00e9"}},"SequenceNumber":"7","SizeBytes":26,"StreamViewType":"NEW_AND_OLD_IMAGES"}}"#;

#[test]
fn our_own_format_is_as_it_is_documented() {
    let change = change(REPLY);
    let expected = format!(
        r#"{{"id":"{}","table":"Reply","op":"MODIFY","ttl":false,"changed_at":"2026-11-20T09:00:00Z","shard":"shardId-1","sequence":"7","sub":0,"keys":{{"Id":{{"S":"a\u00e9"}}}},"new":{{"Id":{{"S":"a\u00e9"}},"Rating":{{"N":"12345678901234567890123456789012345678"}},"Tags":{{"SS":["x"]}},"Meta":{{"M":{{"l":{{"L":[{{"N":"1.50"}},{{"NULL":true}}]}}}}}}}},"old":{{"Id":{{"S":"a\u00e9"}}}}}}"#,
        change.delivery_id("h")
    );
    assert_eq!(Format::Change.write(&change, "h").unwrap(), expected);
    assert_ne!(change.delivery_id("h"), change.delivery_id("other"));
}

#[test]
fn a_streams_record_becomes_what_lambda_delivers() {
    let read = |text: &str| serde_json::from_str::<Value>(text).unwrap()["Records"].as_array().unwrap().clone();
    let page = read(include_str!("../../../tests/fixtures/streams_getrecords_page.json"));
    let event = read(include_str!("../../../tests/fixtures/lambda_dynamodb_event.json"));
    let (mut service, mut compared) = (0, 0);
    for record in page {
        let Some(expected) = event.iter().find(|expected| expected["eventID"] == record["eventID"]) else { continue };
        compared += 1;
        let stream = expected["eventSourceARN"].as_str().unwrap();
        let change = change_of(&record.to_string(), Channel::Streams, stream, "Orders");
        let written: Value = serde_json::from_str(&Format::Lambda.write(&change, "h").unwrap()).unwrap();
        assert_eq!(&written, expected);
        service += usize::from(written.get("userIdentity").is_some());
        assert_eq!(lambda::identifier(&change).unwrap(), expected["dynamodb"]["SequenceNumber"].as_str().unwrap());
        // What Lambda delivered stays as it is.
        let again = change_of(&expected.to_string(), Channel::Recorded, "file:x", "Orders");
        assert_eq!(&serde_json::from_str::<Value>(&Format::Lambda.write(&again, "h").unwrap()).unwrap(), expected);
    }
    assert!(compared >= 3 && service > 0, "a deletion by time-to-live is among {compared}");
}

#[test]
fn a_kinesis_record_gets_the_shape_of_a_stream() {
    let line = include_str!("../../../tests/fixtures/kds_records.ndjson").lines().next().unwrap();
    let stream = "arn:aws:kinesis:eu-central-1:111122223333:stream/forum@1795000000";
    let change = change_of(line, Channel::Kinesis, stream, "Orders");
    let written: Value = serde_json::from_str(&Format::Lambda.write(&change, "h").unwrap()).unwrap();
    let mut expected: Value = serde_json::from_str(line).unwrap();
    for gone in ["recordFormat", "tableName", "userIdentity"] {
        expected.as_object_mut().unwrap().remove(gone);
    }
    expected["eventVersion"] = json!("1.1");
    expected["eventSourceARN"] = json!("arn:aws:dynamodb:eu-central-1:111122223333:table/Orders/stream/forum");
    let inner = expected["dynamodb"].as_object_mut().unwrap();
    inner.remove("ApproximateCreationDateTimePrecision");
    inner.insert("ApproximateCreationDateTime".into(), json!(1_795_165_200));
    inner.insert("SequenceNumber".into(), json!("7"));
    inner.insert("StreamViewType".into(), json!("NEW_AND_OLD_IMAGES"));
    assert_eq!(written, expected);
    assert_eq!(lambda::identifier(&change).unwrap(), "7");
}

#[test]
fn debezium_has_rows_of_plain_json_with_every_digit() {
    let change = change(REPLY);
    let expected = format!(
        r#"{{"before":{{"Id":"a\u00e9"}},"after":{{"Id":"a\u00e9","Rating":12345678901234567890123456789012345678,"Tags":{{"SS":["x"]}},"Meta":{{"l":[1.50,null]}}}},"source":{{"version":"{}","connector":"watershed","name":"h","ts_ms":1795165200000,"ts_us":1795165200000000,"snapshot":"false","db":"dynamodb","sequence":"[\"shardId-1\",\"7\"]","table":"Reply","id":"{}","keys":{{"Id":"a\u00e9"}},"ttl":false}},"op":"u","ts_ms":1795165200000}}"#,
        env!("CARGO_PKG_VERSION"),
        change.delivery_id("h"),
    );
    assert_eq!(Format::Debezium.write(&change, "h").unwrap(), expected);
    let op = |event: &str| {
        let text = format!(r#"{{"eventName":"{event}","dynamodb":{{"Keys":{{"Id":{{"N":"1"}}}}}}}}"#);
        let written = Format::Debezium.write(&self::change(&text), "h").map_err(|why| why.to_string())?;
        let written: Value = serde_json::from_str(&written).unwrap();
        Ok::<_, String>((written["op"].clone(), written["before"].clone(), written["after"].clone()))
    };
    assert_eq!(op("INSERT"), Ok((json!("c"), Value::Null, Value::Null)));
    assert_eq!(op("REMOVE"), Ok((json!("d"), json!({"Id": 1}), Value::Null)));
    assert!(op("ARCHIVE").is_err());
}

#[test]
fn every_kind_of_value_keeps_itself_in_every_format() {
    let image = include_str!("../../../tests/fixtures/attribute_values_all_types.json");
    let text = format!(r#"{{"eventName":"INSERT","dynamodb":{{"Keys":{{"pk":{{"S":"k"}}}},"NewImage":{image}}}}}"#);
    let change = change(&text);
    let image: Value = serde_json::from_str(image).unwrap();
    let written = |format: Format| serde_json::from_str::<Value>(&format.write(&change, "h").unwrap()).unwrap();
    assert_eq!(written(Format::Change)["new"], image);
    assert_eq!(written(Format::Lambda)["dynamodb"]["NewImage"], image);
    let row = written(Format::Debezium)["after"].clone();
    assert_eq!(row.as_object().unwrap().len(), image.as_object().unwrap().len());
}

#[test]
fn a_template_writes_what_it_says() {
    let write = |text: &str| {
        let format = Format::new(&spec::Payload::Template(text.to_owned())).unwrap();
        format.write(&change(REPLY), "h").map_err(|why| why.to_string())
    };
    assert_eq!(
        write("{{ table }} {{ op }} {{ new.Rating.N }}\n").unwrap(),
        "Reply MODIFY 12345678901234567890123456789012345678"
    );
    assert_eq!(write(r#"{"t": {{ new.Id.S | tojson }}}"#).unwrap(), r#"{"t": "aé"}"#);
    assert_eq!(
        write("{% for tag in new.Tags.SS %}{{ tag }}{% endfor %}{{ changed_at }}").unwrap(),
        "x2026-11-20T09:00:00Z"
    );
    assert_eq!(
        write("{{ sub }}{{ ttl }}{{ sequence }}{{ shard }}{{ old.Id.S }}{{ keys.Id.S }}").unwrap(),
        "0False7shardId-1aéaé"
    );
    assert_eq!(write("{{ new.Missing.S | default('none') }}").unwrap_err(), "line 1 of the template: undefined value");
    assert_eq!(write("{% if new.Missing is defined %}x{% else %}y{% endif %}").unwrap(), "y");
    assert_eq!(write("\n\n{{ nwe.Id }}").unwrap_err(), "line 3 of the template: undefined value");
}

#[test]
fn what_a_template_stumbles_over_is_not_repeated() {
    for text in [
        "{{ new.Id.S + 1 }}",
        "{{ new.Id.S | int }}",
        "{{ new.Id.S | nosuchthing }}",
        "{{ new.Id.S.x.y }}",
        "{{ new.Id.S() }}",
    ] {
        let Ok(template) = Template::compile(text) else { continue };
        let why = template.write(&change(REPLY), "h").unwrap_err().to_string();
        assert!(why.starts_with("line 1 of the template: ") && !why.contains("aé"), "{why}");
    }
}

#[test]
fn a_template_that_is_none_says_where() {
    let wrong = Template::compile("{\n{% if op %}\n{{ op }").unwrap_err();
    assert_eq!(wrong.line, 3, "{wrong}");
    for text in ["{% if %}", "{{ }}", "{% include 'x' %}{{", "{% endfor %}"] {
        assert!(Template::compile(text).is_err(), "{text}");
    }
}

#[test]
fn bytes_that_are_no_change_are_refused() {
    for payload in [
        "",
        "{}",
        "[]",
        "{\"eventName\":\"INSERT\",\"dynamodb\":{\"NewImage\":{\"a\":{\"S\":\"x\ny\"}}}}",
        r#"{"eventName":"INSERT","dynamodb":{"NewImage":{x}}}"#,
    ] {
        let change = change(payload);
        for format in [
            Format::Change,
            Format::Lambda,
            Format::Debezium,
            Format::Template(Box::new(Template::compile("x").unwrap())),
        ] {
            assert!(format.write(&change, "h").is_err(), "{format:?} {payload}");
        }
    }
}

/// Texts that are nearly changes.
fn nearly() -> impl proptest::strategy::Strategy<Value = String> {
    use proptest::prelude::*;
    let piece = prop_oneof![
        Just("{"),
        Just("}"),
        Just("["),
        Just("]"),
        Just(","),
        Just(":"),
        Just("\n"),
        Just("null"),
        Just("1e999"),
        Just("\"eventName\":\"REMOVE\""),
        Just("\"dynamodb\":{\"Keys\":"),
        Just("{\"Id\":{\"S\":\"\\ud800\"}}"),
        Just("\"OldImage\":"),
        Just("{\"N\":\"1\"}"),
        Just("\"userIdentity\":"),
        Just("\"SequenceNumber\":\"\""),
        Just("\"ApproximateCreationDateTime\":-1e18"),
        Just("\"\\"),
        Just("é\u{0}"),
    ];
    let noise = prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat());
    (noise, 0usize..REPLY.len(), 0usize..60, any::<bool>()).prop_map(|(noise, at, cut, whole)| {
        if whole { format!("{}{noise}{}", &REPLY[..at], &REPLY[(at + cut).min(REPLY.len())..]) } else { noise }
    })
}

proptest::proptest! {
    #[test]
    fn whatever_comes_is_written_as_json_on_one_line_or_refused(text in nearly()) {
        let change = change(&text);
        _ = lambda::identifier(&change);
        for format in [Format::Change, Format::Lambda, Format::Debezium] {
            if let Ok(written) = format.write(&change, "h") {
                proptest::prop_assert!(is_json(&written) && !written.contains(['\n', '\r']), "{format:?}: {written}");
            }
        }
    }
}
