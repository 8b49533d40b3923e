//! What is a webhook's secret, and how is a call signed with it (Standard Webhooks 1.0)?

use std::fmt;
use std::fs::File;
use std::io::Read as _;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::pipeline::spec::SecretRef;

/// The bytes a key has. Fewer could be guessed.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// No file with a secret is larger, in bytes.
const MAX_FILE_BYTES: u64 = 4096;

/// A key to sign with. It never shows itself.
pub(super) struct Key(Vec<u8>);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// There is nothing where the file says.
    #[error("secret {place}: {why}")]
    Missing {
        /// The reference.
        place: SecretRef,
        /// What was found.
        why: String,
    },
    /// What is there is no key. The text does not repeat it.
    #[error(
        "secret {place}: it is no `whsec_` and base64 of 24 to 64 random bytes: `printf whsec_; openssl rand -base64 32`"
    )]
    NoKey {
        /// The reference.
        place: SecretRef,
    },
}

impl Key {
    /// Fetches the key a reference names.
    pub(super) fn fetch(place: &SecretRef) -> Result<Self, SecretError> {
        let text = match place {
            SecretRef::Env(name) => std::env::var(name).map_err(|error| match error {
                std::env::VarError::NotPresent => "the variable is not set".to_owned(),
                std::env::VarError::NotUnicode(_) => "the variable is no text".to_owned(),
            }),
            SecretRef::File(path) => {
                let mut text = String::new();
                let read = File::open(path).and_then(|file| file.take(MAX_FILE_BYTES).read_to_string(&mut text));
                read.map(|_| text).map_err(|error| format!("cannot be read: {error}"))
            }
        };
        let text = text.map_err(|why| SecretError::Missing { place: place.clone(), why })?;
        Self::parse(text.trim()).ok_or_else(|| SecretError::NoKey { place: place.clone() })
    }

    fn parse(text: &str) -> Option<Self> {
        let key = base64_simd::STANDARD.decode_to_vec(text.strip_prefix("whsec_")?).ok()?;
        KEY_BYTES.contains(&key.len()).then_some(Self(key))
    }

    /// `v1,…`: the signature of a message.
    pub(super) fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        // HMAC takes keys of any length.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else { return String::new() };
        for part in [id.as_bytes(), b".", timestamp.to_string().as_bytes(), b".", body] {
            mac.update(part);
        }
        format!("v1,{}", base64_simd::STANDARD.encode_to_string(mac.finalize().into_bytes()))
    }
}

/// The header `webhook-signature`: one signature for each key.
pub(super) fn signatures(keys: &[Key], id: &str, timestamp: i64, body: &[u8]) -> String {
    let each: Vec<String> = keys.iter().map(|key| key.sign(id, timestamp, body)).collect();
    each.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vector of the Standard Webhooks repository.
    #[test]
    fn a_signature_is_the_standards_own() {
        let key = Key::parse("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD").unwrap();
        let body = br#"{"email":"test@example.com","username":"test_user"}"#;
        let (id, timestamp) = ("msg_27UH4WbU6Z5A5EzD8u03UvzRbpk", 1_649_367_553);
        let expected = "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=";
        assert_eq!(key.sign(id, timestamp, body), expected);
        let other = Key::parse("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").unwrap();
        let both = signatures(&[key, other], id, timestamp, body);
        assert!(both.starts_with(&format!("{expected} v1,")) && both.matches("v1,").count() == 2);
    }

    #[test]
    fn what_is_no_key_is_refused_and_not_repeated() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let of = |text: &str| {
            std::fs::write(&path, text).unwrap();
            Key::fetch(&SecretRef::File(path.clone()))
        };
        assert!(of("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD\n").is_ok());
        for text in ["", "C2FVsBQIhrscChlQIMV+b5sSYspob7oD", "whsec_C2FVsBQI", "whsec_C2FVs*QIhrscChlQIMV+b5sSYspob7oD"]
        {
            let error = of(text).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("C2FVs"), "{error}");
        }
        let missing = Key::fetch(&SecretRef::Env("WATERSHED_NO_SUCH_VARIABLE".into())).unwrap_err();
        assert_eq!(missing.to_string(), "secret env:WATERSHED_NO_SUCH_VARIABLE: the variable is not set");
        assert_eq!(format!("{:?}", of("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD").unwrap()), "Key(..)");
    }
}
