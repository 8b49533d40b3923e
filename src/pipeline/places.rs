//! Where do a pipeline's lake and state live, and how are these places written?

use std::fmt;
use std::path::{Component, Path, PathBuf};

use super::field::Refusal;
use super::names::table_name;
use super::text::quote;

/// The longest prefix of a lake in a bucket, in bytes: an object's name has at most 1,024 and the lake needs the rest.
pub const MAX_PREFIX_BYTES: usize = 512;

/// Where the lake is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LakePath {
    /// A folder, relative to the working directory if it is not absolute; without `.` segments.
    Folder(PathBuf),
    /// In S3.
    S3 {
        /// The bucket's name, or the alias of an access point.
        bucket: String,
        /// What all names start with; empty, or without a slash at either end.
        prefix: String,
    },
}

/// Where checkpoints are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StatePlace {
    /// A folder, relative to the working directory if it is not absolute.
    Folder(PathBuf),
    /// A DynamoDB table of this name.
    DynamoDb(String),
}

/// As it can stand in the file.
impl fmt::Display for LakePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => path.display().fmt(f),
            Self::S3 { bucket, prefix } if prefix.is_empty() => write!(f, "s3://{bucket}"),
            Self::S3 { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
        }
    }
}

/// As it can stand in the file.
impl fmt::Display for StatePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => write!(f, "folder:{}", path.display()),
            Self::DynamoDb(table) => write!(f, "dynamodb:{table}"),
        }
    }
}

pub(super) fn lake_path(text: &str) -> Result<LakePath, Refusal> {
    match text.split_once("://") {
        None => folder(text).map(LakePath::Folder),
        Some(("s3", rest)) => s3(text, rest),
        Some(("s3a" | "s3n" | "S3", rest)) => {
            Err(Refusal::not(text).cure(format!("write {}", quote(&format!("s3://{rest}")))))
        }
        Some(("file", rest)) => Err(Refusal::not(text).cure(format!("write the plain path {}", quote(rest)))),
        Some(_) => Err(Refusal::not(text).cure("a lake is a folder or in S3")),
    }
}

fn s3(text: &str, rest: &str) -> Result<LakePath, Refusal> {
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    if bucket.is_empty() {
        return Err(Refusal::not(text).cure("the bucket's name is missing"));
    }
    if !is_bucket(bucket) {
        let rule = "a bucket's name has 3 to 63 lower-case letters, digits, `.` and `-`, \
            with a letter or digit at both ends";
        return Err(Refusal::not(text).cure(rule));
    }
    let segments: Vec<&str> = prefix.split('/').filter(|segment| !segment.is_empty()).collect();
    let prefix = segments.join("/");
    if segments.iter().any(|segment| matches!(*segment, "." | "..")) || prefix.chars().any(char::is_control) {
        return Err(Refusal::not(text).cure("a prefix has no `.` or `..` segments and no control characters"));
    }
    if prefix.len() > MAX_PREFIX_BYTES {
        return Err(Refusal::not(text).cure(format!("a prefix has at most {MAX_PREFIX_BYTES} bytes")));
    }
    Ok(LakePath::S3 { bucket: bucket.to_owned(), prefix })
}

fn is_bucket(name: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    (3..=63).contains(&name.len())
        && name.bytes().all(|b| inner(b) || matches!(b, b'.' | b'-'))
        && name.bytes().next().is_some_and(inner)
        && name.bytes().last().is_some_and(inner)
        && !name.contains("..")
}

pub(super) fn state_place(text: &str) -> Result<StatePlace, Refusal> {
    if let Some(table) = text.strip_prefix("dynamodb:") {
        let rule = "a table's name has 3 to 255 letters, digits, `_`, `.` and `-`";
        let table = table_name(table).map_err(|_| Refusal::not(text).cure(rule))?;
        return Ok(StatePlace::DynamoDb(table.to_string()));
    }
    let path = text.strip_prefix("folder:").unwrap_or(text);
    if path.contains("://") {
        return Err(Refusal::not(text).cure("state is kept in a folder or in a DynamoDB table, not in S3"));
    }
    folder(path).map(StatePlace::Folder)
}

/// A path of this machine.
pub(super) fn local_path(text: &str) -> Result<PathBuf, Refusal> {
    if text.contains("://") {
        return Err(Refusal::not(text).cure("recorded changes are read from this machine: copy them into a folder"));
    }
    folder(text)
}

/// A path of this machine, of whatever.
pub(super) fn folder(text: &str) -> Result<PathBuf, Refusal> {
    if text.trim().is_empty() {
        return Err(Refusal::new("found an empty path"));
    }
    if text.chars().any(char::is_control) {
        return Err(Refusal::not(text).cure("a path has no control characters"));
    }
    if text == "~" || text.starts_with("~/") {
        return Err(Refusal::not(text).cure("`~` means nothing here: write the path out"));
    }
    let path: PathBuf = Path::new(text).components().filter(|part| *part != Component::CurDir).collect();
    Ok(if path.as_os_str().is_empty() { PathBuf::from(".") } else { path })
}

/// Whether `path` is `folder` or lies in it, as far as the texts tell: `..` is resolved, links are not; an absolute
/// and a relative path are never found inside each other.
pub(super) fn is_inside(path: &Path, folder: &Path) -> bool {
    let (path, folder) = (resolved(path), resolved(folder));
    path.is_absolute() == folder.is_absolute()
        && path.strip_prefix(&folder).is_ok_and(|rest| rest.components().next() != Some(Component::ParentDir))
}

fn resolved(path: &Path) -> PathBuf {
    let mut resolved = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if matches!(resolved.components().next_back(), Some(Component::Normal(_))) => {
                resolved.pop();
            }
            Component::ParentDir if resolved.has_root() => {}
            other => resolved.push(other),
        }
    }
    resolved
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_normalised() {
        for (text, normal) in [
            ("lake/forum", "lake/forum"),
            ("./lake//forum/", "lake/forum"),
            ("../lake", "../lake"),
            ("/", "/"),
            (".", "."),
            ("s3://bucket", "s3://bucket"),
            ("s3://bucket/", "s3://bucket"),
            ("s3://my.bucket-1//a//b/", "s3://my.bucket-1/a/b"),
        ] {
            let path = lake_path(text).unwrap();
            assert_eq!(path.to_string(), normal);
            assert_eq!(lake_path(normal), Ok(path), "a normal path stays as it is");
        }
        for (text, normal) in
            [("state/x", "folder:state/x"), ("folder:./state/", "folder:state"), ("dynamodb:state", "dynamodb:state")]
        {
            assert_eq!(state_place(text).unwrap().to_string(), normal);
        }
    }

    #[test]
    fn what_is_no_place_is_refused() {
        for text in [
            "",
            "  ",
            "~/lake",
            "a\0b",
            "s3://",
            "s3:///prefix",
            "s3://AB/x",
            "s3://ab",
            "s3://-abc",
            "s3://a..b/x",
            "s3://bucket/a/../b",
            "s3a://bucket/x",
            "gs://bucket",
            "file:///lake",
        ] {
            assert!(lake_path(text).is_err(), "{text}");
        }
        assert!(lake_path(&format!("s3://bucket/{}", "x".repeat(513))).is_err());
        for text in ["", "folder:", "dynamodb:", "dynamodb:a b c", "s3://bucket/state"] {
            assert!(state_place(text).is_err(), "{text}");
        }
        assert!(local_path("s3://bucket/x").is_err());
    }

    #[test]
    fn inside_is_told_by_the_text() {
        let inside = |path: &str, folder: &str| is_inside(Path::new(path), Path::new(folder));
        assert!(inside("lake/x", "lake") && inside("lake", "lake/") && inside("a/../lake/x", "./lake"));
        assert!(inside("/a/b", "/a") && inside("/../a", "/a") && inside("x", "."));
        assert!(!inside("lake2", "lake") && !inside("lake", "lake/x") && !inside("lake/../x", "lake"));
        assert!(!inside("/lake/x", "lake") && !inside("../x", "x") && !inside("../x", ".") && !inside("/x", "."));
    }
}
