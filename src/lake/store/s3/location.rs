//! Where in S3 a lake is: `s3://bucket/prefix`.

use std::fmt;
use std::str::FromStr;

/// A bucket, and the prefix of a lake's keys in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Location {
    /// The bucket's name, or an access point's ARN.
    pub bucket: String,
    /// The prefix, without slashes at its ends; may be empty.
    pub prefix: String,
}

/// The text is not `s3://bucket/prefix`.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{text}` is not a place in S3: {problem}; expected s3://bucket/prefix")]
pub struct NotAnS3Location {
    text: String,
    problem: &'static str,
}

impl S3Location {
    /// A lake below `prefix`; slashes at the prefix's ends do not count.
    pub fn new(bucket: impl Into<String>, prefix: &str) -> Self {
        Self { bucket: bucket.into(), prefix: prefix.trim_matches('/').to_owned() }
    }

    /// What stands before a lake's path in a key: the prefix and a slash, or nothing.
    pub fn key_prefix(&self) -> String {
        if self.prefix.is_empty() { String::new() } else { format!("{}/", self.prefix) }
    }
}

impl FromStr for S3Location {
    type Err = NotAnS3Location;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = |problem| NotAnS3Location { text: text.to_owned(), problem };
        let rest = text.strip_prefix("s3://").ok_or_else(|| refuse("it does not begin with s3://"))?;
        // An access point's ARN has a slash of its own: arn:aws:s3:region:account:accesspoint/name.
        let bucket_end = match rest.find(":accesspoint/") {
            Some(at) if rest.starts_with("arn:") => {
                let name = at + ":accesspoint/".len();
                rest[name..].find('/').map(|slash| name + slash)
            }
            _ => rest.find('/'),
        };
        let (bucket, prefix) = rest.split_at(bucket_end.unwrap_or(rest.len()));
        if bucket.is_empty() {
            return Err(refuse("it names no bucket"));
        }
        if !bucket.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_:/".contains(&b)) {
            return Err(refuse("a bucket's name has only letters, digits, `.`, `-` and `_`"));
        }
        let location = Self::new(bucket, prefix);
        // Such keys exist in S3, but URL libraries and file tools lose them.
        if location.prefix.split('/').any(|segment| matches!(segment, "." | ".."))
            || location.prefix.contains("//")
            || location.prefix.contains(|c: char| c.is_control())
        {
            return Err(refuse("its prefix has an empty, `.` or `..` segment, or a control character"));
        }
        Ok(location)
    }
}

impl fmt::Display for S3Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}", self.bucket)?;
        if self.prefix.is_empty() { Ok(()) } else { write!(f, "/{}", self.prefix) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_read_and_written_back() {
        let arn = "arn:aws:s3:eu-west-1:123456789012:accesspoint/lake";
        for (text, bucket, prefix, back) in [
            ("s3://bucket", "bucket", "", "s3://bucket"),
            ("s3://bucket/", "bucket", "", "s3://bucket"),
            ("s3://bucket/a/b c", "bucket", "a/b c", "s3://bucket/a/b c"),
            ("s3://bucket/a/b/", "bucket", "a/b", "s3://bucket/a/b"),
            (&format!("s3://{arn}"), arn, "", &format!("s3://{arn}")),
            (&format!("s3://{arn}/a/b"), arn, "a/b", &format!("s3://{arn}/a/b")),
        ] {
            let location: S3Location = text.parse().unwrap();
            assert_eq!((location.bucket.as_str(), location.prefix.as_str()), (bucket, prefix));
            assert_eq!(location.to_string(), back);
        }
        assert_eq!(S3Location::new("b", "").key_prefix(), "");
        assert_eq!(S3Location::new("b", "/a/").key_prefix(), "a/");
    }

    #[test]
    fn what_is_no_location_is_refused() {
        for text in
            ["", "bucket", "s3:", "s3://", "s3:///x", "S3://x", "https://x/y", "s3://a b", "s3://b/../x", "s3://b/a//b"]
        {
            assert!(text.parse::<S3Location>().is_err(), "{text}");
        }
    }
}
