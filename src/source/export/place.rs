//! Where are an export's files, and how are they got: a folder, or S3. Nothing is ever listed: the manifests name all.

use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::path::PathBuf;

use aws_sdk_s3::error::ProvideErrorMetadata as _;
use bytes::Bytes;
use md5::Digest as _;

use super::manifest::{DataFile, ExportError, Manifest, belong_together, check, read};
use crate::source::wire_error::{Call, chain, stream_error};
use crate::source::{Aws, StreamError};

const SUMMARY: &str = "manifest-summary.json";

/// Where one export is.
#[derive(Debug, Clone)]
pub enum Place {
    /// In a folder of this machine: that of the export itself, `…/AWSDynamoDB/<export id>`.
    Folder(PathBuf),
    /// In S3.
    S3 {
        /// The client.
        client: aws_sdk_s3::Client,
        /// The bucket.
        bucket: String,
        /// The export's own prefix, without a slash at its end.
        prefix: String,
    },
}

/// An export that was found, and whose manifests are sound.
#[derive(Debug, Clone)]
pub struct Export {
    /// Where it is.
    pub place: Place,
    /// What its manifests say.
    pub manifest: Manifest,
}

/// Why a part of an export did not come.
#[derive(Debug)]
pub(super) enum Unread {
    /// It may come when it is asked for again.
    Passing(String),
    /// It will not.
    Wrong(ExportError),
}

impl From<ExportError> for Unread {
    fn from(error: ExportError) -> Self {
        Self::Wrong(error)
    }
}

impl From<Unread> for ExportError {
    fn from(unread: Unread) -> Self {
        match unread {
            Unread::Passing(why) => Self(why),
            Unread::Wrong(error) => error,
        }
    }
}

/// The manifest's own name may stand behind its folder.
fn without_summary(uri: &str) -> &str {
    uri.trim_end_matches('/').trim_end_matches(SUMMARY).trim_end_matches('/')
}

impl Place {
    /// Whether `uri` is in S3, so that a client is needed.
    pub fn is_s3(uri: &str) -> bool {
        uri.starts_with("s3://")
    }

    /// Bucket and prefix of an export in S3; `None`: it is in a folder. The inner error: it names no export.
    pub fn in_s3(uri: &str) -> Option<Result<(&str, &str), ()>> {
        let rest = without_summary(uri).strip_prefix("s3://")?;
        let parts = rest.split_once('/').filter(|(bucket, prefix)| !bucket.is_empty() && !prefix.is_empty());
        Some(parts.ok_or(()))
    }

    /// Where `uri` points: `s3://bucket/…/AWSDynamoDB/<export id>` or a folder of that form.
    pub fn parse(uri: &str, aws: Option<&Aws>) -> Result<Self, ExportError> {
        let Some(parts) = Self::in_s3(uri) else { return Ok(Self::Folder(without_summary(uri).into())) };
        match (parts, aws) {
            (Ok((bucket, prefix)), Some(aws)) => {
                Ok(Self::S3 { client: aws.s3().clone(), bucket: bucket.to_owned(), prefix: prefix.to_owned() })
            }
            _ => Err(ExportError(format!(
                "{uri} names no export: give the folder that has its manifest-summary.json, \
                 s3://BUCKET/PREFIX/AWSDynamoDB/EXPORT-ID"
            ))),
        }
    }

    /// Reads the manifests, and checks them against their checksums where there are some.
    pub async fn open(self) -> Result<Export, ExportError> {
        let place = self.to_string();
        let Some(summary) = self.get(SUMMARY).await? else {
            return Err(ExportError(format!(
                "there is no manifest-summary.json in {place}. Name the folder of one export, …/AWSDynamoDB/EXPORT-ID; an \
                 export that is still in progress has none yet"
            )));
        };
        self.check(SUMMARY, &summary).await?;
        let files_name = "manifest-files.json";
        let Some(files) = self.get(files_name).await? else {
            return Err(ExportError(format!("there is no manifest-files.json in {place}: copy the export again")));
        };
        self.check(files_name, &files).await?;
        let manifest = read(&place, &summary, &files)?;
        Ok(Export { place: self, manifest })
    }

    /// The documentation calls the checksums `.checksum`, the service `.md5`; an export that was copied may have none.
    async fn check(&self, name: &str, bytes: &[u8]) -> Result<(), ExportError> {
        let stem = name.trim_end_matches(".json");
        let mut checksum = self.get(&format!("{stem}.md5")).await?;
        if checksum.is_none() {
            checksum = self.get(&format!("{stem}.checksum")).await?;
        }
        check(&format!("{self}/{name}"), bytes, checksum.as_deref())
    }

    /// A small object of the export's own folder.
    async fn get(&self, name: &str) -> Result<Option<Bytes>, ExportError> {
        match self {
            Self::Folder(folder) => {
                let path = folder.join(name);
                match std::fs::read(&path) {
                    Ok(bytes) => Ok(Some(bytes.into())),
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
                    Err(error) => Err(ExportError(format!("{}: {error}", path.display()))),
                }
            }
            Self::S3 { prefix, .. } => self.get_object(&format!("{prefix}/{name}")).await,
        }
    }

    async fn get_object(&self, key: &str) -> Result<Option<Bytes>, ExportError> {
        let mut whole = Vec::new();
        let found = self.stream_object(key, |chunk| {
            whole.extend_from_slice(chunk);
            Ok(())
        });
        Ok(found.await?.then(|| whole.into()))
    }

    async fn stream_object(
        &self,
        key: &str,
        mut each: impl FnMut(&[u8]) -> std::io::Result<()> + Send,
    ) -> Result<bool, Unread> {
        let Self::S3 { client, bucket, .. } = self else { return Ok(false) };
        let name = format!("s3://{bucket}/{key}");
        let answer = match client.get_object().bucket(bucket).key(key).send().await {
            Ok(answer) => answer,
            Err(error) if error.code() == Some("NoSuchKey") => return Ok(false),
            Err(error) => {
                return Err(match stream_error(&error, Call { action: "s3:GetObject", resource: &name }) {
                    StreamError::Throttled(why) | StreamError::Transient(why) => Unread::Passing(why),
                    _ => {
                        let why = error.code().map_or_else(|| chain(&error), str::to_owned);
                        let cure = "Allow s3:GetObject on it, and check the bucket's name and region";
                        ExportError(format!("{name}: {why}. {cure}")).into()
                    }
                });
            }
        };
        let mut body = answer.body;
        while let Some(chunk) = body.next().await {
            let chunk = chunk.map_err(|error| Unread::Passing(format!("{name}: {}", chain(&error))))?;
            each(&chunk).map_err(|error| ExportError(format!("keeping a copy of {name}: {error}")))?;
        }
        Ok(true)
    }

    /// A data file, proven to be what the manifest says: on this machine, at its beginning.
    pub(super) async fn data_file(&self, manifest: &Manifest, data: &DataFile) -> Result<File, Unread> {
        let inner = data.key.rsplit_once("AWSDynamoDB/").map_or(&*data.key, |(_, inner)| inner);
        // A full export has its files in its own folder; incremental ones share a folder beside theirs.
        let own = inner.strip_prefix(&*manifest.id).and_then(|rest| rest.strip_prefix('/'));
        let (file, found, name) = match self {
            Self::Folder(folder) => {
                let path = match own {
                    Some(own) => folder.join(own),
                    None => folder.parent().unwrap_or(folder).join(inner),
                };
                let name = path.display().to_string();
                let digest = tokio::task::spawn_blocking(move || digest_of(File::open(path)?)).await;
                let (file, found) = match digest {
                    Ok(digest) => digest.map_err(|error| missing_or(&name, &error))?,
                    Err(_) => return Err(ExportError(format!("{name}: reading was cut short")).into()),
                };
                (file, found, name)
            }
            Self::S3 { prefix, bucket, .. } => {
                let root = prefix.rsplit_once('/').map_or("", |(root, _)| root);
                let key = match own {
                    Some(own) => format!("{prefix}/{own}"),
                    None if root.is_empty() => inner.to_owned(),
                    None => format!("{root}/{inner}"),
                };
                let name = format!("s3://{bucket}/{key}");
                let copy = tempfile::tempfile().map_err(|error| ExportError(format!("a temporary file: {error}")))?;
                let (mut copy, mut digest) = (copy, md5::Md5::new());
                let there = self.stream_object(&key, |chunk| {
                    digest.update(chunk);
                    copy.write_all(chunk)
                });
                if !there.await? {
                    return Err(ExportError(format!(
                        "{name}, which the manifest names, is not there: copy the export again"
                    ))
                    .into());
                }
                copy.rewind().map_err(|error| ExportError(format!("a temporary file: {error}")))?;
                (copy, base64_simd::STANDARD.encode_to_string(digest.finalize()), name)
            }
        };
        if found != data.md5 {
            let told = &data.md5;
            return Err(ExportError(format!(
                "{name} is damaged: its MD5 is {found}, and the manifest says {told}. Copy it again; the backfill goes on \
                 where it is"
            ))
            .into());
        }
        Ok(file)
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Folder(folder) => write!(f, "{}", folder.display()),
            Self::S3 { bucket, prefix, .. } => write!(f, "s3://{bucket}/{prefix}"),
        }
    }
}

/// Opens exports, oldest first, which together are one window.
pub async fn open(places: Vec<Place>) -> Result<Vec<Export>, ExportError> {
    let mut exports = Vec::new();
    for place in places {
        exports.push(place.open().await?);
    }
    let manifests: Vec<_> = exports.iter().map(|export| export.manifest.clone()).collect();
    belong_together(&manifests)?;
    Ok(exports)
}

fn missing_or(name: &str, error: &std::io::Error) -> ExportError {
    match error.kind() {
        std::io::ErrorKind::NotFound => {
            ExportError(format!("{name}, which the manifest names, is not there: copy the export again"))
        }
        _ => ExportError(format!("{name}: {error}")),
    }
}

fn digest_of(mut file: File) -> std::io::Result<(File, String)> {
    let mut digest = md5::Md5::new();
    let mut buffer = vec![0; 1 << 18];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            read => digest.update(&buffer[..read]),
        }
    }
    file.rewind()?;
    Ok((file, base64_simd::STANDARD.encode_to_string(digest.finalize())))
}
