//! Where does a payload go that is too large for its target, and what does the target get instead?

use bytes::Bytes;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::{Change, HandlerError};
use crate::lake::store::{ObjectStore, StoreError};

/// The folder of all payloads, in the lake.
pub const FOLDER: &str = "_watershed/payloads";

#[derive(Serialize)]
struct Reference<'a> {
    reference: String,
    bytes: usize,
    sha256: String,
    id: String,
    table: &'a str,
    op: &'a str,
}

/// Keeps the payload in the lake under the delivery's id, once, and answers a reference to it:
///
/// ```json
/// {"reference":"s3://bucket/prefix/_watershed/payloads/HANDLER/ID.json","bytes":412345,"sha256":"…","id":"…",
///  "table":"Reply","op":"MODIFY"}
/// ```
///
/// A payload that is there already, from an earlier attempt, stays; the reference speaks of what is there.
///
/// # Errors
/// [`HandlerError::Unavailable`] if the store does not take it now, [`HandlerError::Failed`] if it never will.
pub async fn claim_check(
    store: &dyn ObjectStore,
    handler: &str,
    change: &Change,
    payload: String,
) -> Result<String, HandlerError> {
    let id = change.delivery_id(handler);
    let path = format!("{FOLDER}/{handler}/{id}.json");
    let mut body = Bytes::from(payload);
    match store.create(&path, body.clone()).await {
        Ok(()) => {}
        Err(StoreError::Exists(_)) => {
            if let Some(there) = store.get(&path).await.map_err(failed)? {
                body = there;
            }
        }
        Err(other) => return Err(failed(other)),
    }
    let digest: String = Sha256::digest(&body).iter().map(|byte| format!("{byte:02x}")).collect();
    let envelope = change.envelope().map_err(|why| HandlerError::Refused(why.to_string()))?;
    let reference = Reference {
        reference: format!("{}/{path}", store.describe()),
        bytes: body.len(),
        sha256: digest,
        id,
        table: &change.table,
        op: &envelope.event_name,
    };
    // Strings and numbers always serialise.
    Ok(serde_json::to_string(&reference).unwrap_or_default())
}

fn failed(error: StoreError) -> HandlerError {
    let why = format!("a payload that is too large for the target can't be kept in the lake: {error}");
    match error {
        StoreError::Fatal(_) => HandlerError::Failed(why),
        StoreError::Exists(_) | StoreError::Unsettled(_) | StoreError::Gone(_) => {
            HandlerError::Unavailable { why, after: None }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handler::payload::tests::change;
    use crate::testing::store::MemoryStore;

    #[tokio::test]
    async fn a_payload_is_kept_once_and_the_reference_tells_what_is_there() {
        let store = MemoryStore::new();
        let change = change(r#"{"eventName":"INSERT","dynamodb":{"Keys":{"Id":{"S":"a"}}}}"#);
        let first = claim_check(&store, "h", &change, "abc".to_owned()).await.unwrap();
        let id = change.delivery_id("h");
        let path = format!("_watershed/payloads/h/{id}.json");
        assert_eq!(store.get(&path).await.unwrap().as_deref(), Some(&b"abc"[..]));
        let expected = serde_json::json!({
            "reference": format!("{}/{path}", store.describe()), "bytes": 3,
            "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            "id": id, "table": "Reply", "op": "INSERT",
        });
        assert_eq!(serde_json::from_str::<serde_json::Value>(&first).unwrap(), expected);
        assert_eq!(claim_check(&store, "h", &change, "other".to_owned()).await.unwrap(), first);
    }
}
