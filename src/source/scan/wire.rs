//! A table's scan over the wire.

use std::collections::HashMap;

use aws_sdk_dynamodb::operation::scan::ScanOutput;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnConsumedCapacity};
use bytes::Bytes;

use super::{ScanOf, TablePages};
use crate::BoxFuture;
use crate::source::StreamError;
use crate::source::raw_page::RawPage;
use crate::source::wire_error::{Call, stream_error};

/// DynamoDB.
pub struct WireTable(pub aws_sdk_dynamodb::Client);

impl TablePages for WireTable {
    fn page<'a>(
        &'a self,
        of: &'a ScanOf,
        segment: i32,
        behind: Option<&'a str>,
        limit: Option<i32>,
    ) -> BoxFuture<'a, Result<Bytes, StreamError>> {
        Box::pin(async move {
            let call = Call { action: "dynamodb:Scan", resource: &of.table };
            let key = behind.map(start_key).transpose()?;
            let raw = RawPage::new(|| Ok(ScanOutput::builder().build()));
            let request = self.0.scan().table_name(&of.table).consistent_read(true);
            let request = request.segment(segment).total_segments(of.segments as i32).set_limit(limit);
            let request = request.set_exclusive_start_key(key).return_consumed_capacity(ReturnConsumedCapacity::Total);
            if let Err(error) = request.customize().interceptor(raw.clone()).send().await {
                return Err(match stream_error(&error, call) {
                    StreamError::NotFound(told) => StreamError::Fatal(format!(
                        "table {} is not there any more: it was deleted while it was scanned ({told})",
                        of.table
                    )),
                    StreamError::Throttled(told) => StreamError::Throttled(format!(
                        "{told}. The table has no read units left at the moment, and the scan waits for some: --read-units takes \
                         fewer"
                    )),
                    error => error,
                });
            }
            raw.take().ok_or_else(|| StreamError::Transient(format!("{call}: the answer is empty")))
        })
    }
}

/// A key as the SDK wants it. Key attributes are strings, numbers or bytes.
fn start_key(json: &str) -> Result<HashMap<String, AttributeValue>, StreamError> {
    let broken = || StreamError::Fatal("the key behind which the scan goes on is damaged".to_owned());
    let key: HashMap<String, HashMap<String, String>> = serde_json::from_str(json).map_err(|_| broken())?;
    let value = |value: HashMap<String, String>| {
        let (kind, text) = value.into_iter().next()?;
        Some(match kind.as_str() {
            "S" => AttributeValue::S(text),
            "N" => AttributeValue::N(text),
            "B" => AttributeValue::B(Blob::new(base64_simd::STANDARD.decode_to_vec(text).ok()?)),
            _ => return None,
        })
    };
    key.into_iter().map(|(name, typed)| Some((name, value(typed)?))).collect::<Option<_>>().ok_or_else(broken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_all_types_go_back_to_the_service() {
        let key = start_key(r#"{"a":{"S":"é\""},"b":{"B":"AAE="}}"#).unwrap();
        assert_eq!(key["a"], AttributeValue::S("é\"".into()));
        assert_eq!(key["b"], AttributeValue::B(Blob::new([0, 1])));
        assert!(start_key(r#"{"a":{"BOOL":"x"}}"#).is_err());
        assert!(start_key("{").is_err());
    }
}
