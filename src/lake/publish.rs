//! Makes a closed range durable: creates its objects in the one order that is safe, and finds what is there already.
//! `range_model.rs` looks at every history of this order with two writers.

use std::sync::Arc;

use bytes::Bytes;

use super::file;
use super::open_file::FinishedFile;
use super::range::{Chain, KeptRecords, Range, RangeFile};
use super::settle::{self, Settled};
use super::upload_ahead::UploadAhead;
use super::{Lake, LakeError};
use crate::bug::{self, Bug};

/// Ranges that one answer of a listing has, at S3.
const LISTED: u64 = 1000;

/// One shard's chain in the store.
#[derive(Clone)]
pub(super) struct Publisher {
    pub(super) lake: Arc<Lake>,
    pub(super) chain: Chain,
}

impl Publisher {
    /// The last range of the chain. Only ranges from the hint on, which is known to be durable, are looked at.
    pub(super) async fn last_range(&self, hint: Option<u64>) -> Result<Option<Range>, LakeError> {
        let (lake, chain) = (&self.lake, &self.chain);
        let before_hint = hint.and_then(|hint| hint.checked_sub(1)).map(|n| chain.range_path(n));
        let listed = settle::list(&*lake.store, &lake.clock, &chain.folder(), before_hint.as_deref()).await?;
        let Some(last) = listed.last() else {
            return match hint {
                None => Ok(None),
                Some(hint) => Err(LakeError::State(format!(
                    "the state says that range {hint} of shard {} is in the lake {}, but the lake does not have it. If \
                     the lake was emptied or moved on purpose, delete the pipeline's state too",
                    chain.shard(),
                    lake.store.describe(),
                ))),
            };
        };
        self.read_at(&last.path).await.map(Some)
    }

    /// The last range of a chain that may be long: its first ranges are not listed. `there` is a range known to be there.
    pub(super) async fn find_last(&self, there: Option<u64>) -> Result<Option<Range>, LakeError> {
        // How many there are at least, and fewer than how many: ever longer steps, then halves.
        let (mut least, mut step) = (there.map_or(0, |n| n + 1), LISTED);
        let mut below = loop {
            let probe = least.saturating_add(step);
            if !self.has_range(probe - 1).await? {
                break probe;
            }
            (least, step) = (probe, step * 8);
        };
        while below - least > LISTED {
            let middle = least + (below - least) / 2;
            if self.has_range(middle - 1).await? { least = middle } else { below = middle }
        }
        self.last_range(least.checked_sub(1)).await
    }

    async fn has_range(&self, n: u64) -> Result<bool, LakeError> {
        Ok(settle::size(&*self.lake.store, &self.lake.clock, &self.chain.range_path(n)).await?.is_some())
    }

    /// A range that is there.
    pub(super) async fn read_range(&self, n: u64) -> Result<Range, LakeError> {
        self.read_at(&self.chain.range_path(n)).await
    }

    async fn read_at(&self, path: &str) -> Result<Range, LakeError> {
        let bytes = settle::read(&*self.lake.store, &self.lake.clock, path).await?;
        let bytes = bytes.ok_or_else(|| LakeError::corrupt(path, "it was listed, but is not there"))?;
        let range = Range::parse(&bytes).map_err(|why| LakeError::corrupt(path, &why))?;
        if self.chain.range_path(range.range) != path {
            return Err(LakeError::corrupt(path, "it is another range than its name says"));
        }
        Ok(range)
    }

    /// Whether all objects of a range are there.
    pub(super) async fn is_complete(&self, range: &Range) -> Result<bool, LakeError> {
        let files = range.files.iter().map(|file| &file.path);
        for path in files.chain(range.dead_letters.iter().map(|dead| &dead.path)) {
            if settle::size(&*self.lake.store, &self.lake.clock, path).await?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Creates a range, or finds it the same as that of a killed writer, and then its files. What is left to upload of large
    /// ones is on its way meanwhile; none is completed before the range is there.
    pub(super) async fn publish(
        &self,
        plan: Option<&Range>,
        range: &Range,
        mut files: Vec<FinishedFile>,
    ) -> Result<(), LakeError> {
        if let Some(plan) = plan {
            self.same(plan, range)?;
        } else if bug::is_made(Bug::UploadBeforeRange) {
            self.complete_early(range, &mut files).await?;
            self.create(range).await?;
        } else {
            let (created, uploaded) = tokio::join!(self.create(range), upload_rests(&mut files));
            created.and(uploaded)?;
        }
        for (file, entry) in files.into_iter().zip(&range.files) {
            match file.upload {
                Some(upload) => self.complete_file(entry, upload).await?,
                None => self.put_file(entry, &file.rest).await?,
            }
        }
        Ok(())
    }

    /// What must not be.
    async fn complete_early(&self, range: &Range, files: &mut [FinishedFile]) -> Result<(), LakeError> {
        upload_rests(files).await?;
        for (file, entry) in files.iter_mut().zip(&range.files) {
            if let Some(upload) = file.upload.take() {
                self.complete_file(entry, upload).await?;
            }
        }
        Ok(())
    }

    /// Creates a range's object: from now on it is what these records of the shard are in the lake.
    pub(super) async fn create(&self, range: &Range) -> Result<(), LakeError> {
        let path = self.chain.range_path(range.range);
        let mine = |found: &Bytes| Range::parse(found).is_ok_and(|found| found == *range);
        match settle::settle(&*self.lake.store, &self.lake.clock, &path, range.to_bytes(), mine).await? {
            Settled::Mine => Ok(()),
            Settled::Theirs(_) => Err(LakeError::Overtaken { shard: self.chain.shard().clone(), range: range.range }),
        }
    }

    /// Writes down a gap marker's number where those look who ask for gaps. Before the marker itself: one that names no
    /// marker says too much, one that is missing too little.
    pub(super) async fn name_gap(&self, range: &Range) -> Result<(), LakeError> {
        let path = self.chain.gap_path(range.range);
        let any = |found: &Bytes| Range::parse(found).is_ok_and(|found| found.gap.is_some());
        match settle::settle(&*self.lake.store, &self.lake.clock, &path, range.to_bytes(), any).await? {
            Settled::Mine => Ok(()),
            Settled::Theirs(_) => Err(LakeError::corrupt(&path, "it names no gap")),
        }
    }

    /// Checks that a range of a killed process has come out the same from the source.
    fn same(&self, plan: &Range, range: &Range) -> Result<(), LakeError> {
        let of =
            |range: &Range| (range.first.clone(), range.end.clone(), range.files.clone(), range.dead_letters.clone());
        if of(plan) == of(range) {
            return Ok(());
        }
        let why = format!(
            "it has {} rows in {} files, the source gives {} in {}",
            plan.rows,
            plan.files.len(),
            range.rows,
            range.files.len()
        );
        Err(LakeError::Diverged { path: self.chain.range_path(plan.range), why })
    }

    /// Creates a data file, or finds there what another attempt at the same range left.
    async fn put_file(&self, entry: &RangeFile, body: &Bytes) -> Result<(), LakeError> {
        let rows = entry.rows as usize;
        self.put(&entry.path, body, |found| file::verify(found, rows).is_ok()).await
    }

    /// Completes a data file that was uploaded while it was encoded, or finds there what another attempt at the same range
    /// left.
    async fn complete_file(&self, entry: &RangeFile, upload: UploadAhead) -> Result<(), LakeError> {
        let rows = entry.rows as usize;
        upload.complete(|found| file::verify(found, rows).is_ok()).await
    }

    /// Creates the object with a range's dead letters.
    pub(super) async fn put_dead_letters(&self, path: &str, body: &Bytes) -> Result<(), LakeError> {
        self.put(path, body, |found| found == body).await
    }

    /// Creates an object with kept records.
    pub(super) async fn put_records(&self, path: &str, body: &Bytes) -> Result<(), LakeError> {
        self.put(path, body, |found| found == body).await
    }

    /// An object with kept records of a range that is not complete.
    pub(super) async fn get_records(&self, range: &Range, entry: &KeptRecords) -> Result<Bytes, LakeError> {
        let found = settle::read(&*self.lake.store, &self.lake.clock, &entry.path).await?;
        found.ok_or_else(|| LakeError::KeptLost {
            path: entry.path.clone(),
            shard: range.shard.clone(),
            range: range.range,
            cure: match range.members {
                None => "If it was deleted, give it back",
                Some(_) => {
                    "If it was deleted, give it back. An event with all these records completes the range as well: if the \
                     stream still has them, the mapping sends one. Otherwise `on_gap = \"resume\"` below [source] in the \
                     pipeline file passes over the range, and a gap marker in the lake says so"
                }
            },
        })
    }

    async fn put(&self, path: &str, body: &Bytes, same: impl Fn(&Bytes) -> bool) -> Result<(), LakeError> {
        match settle::settle(&*self.lake.store, &self.lake.clock, path, body.clone(), same).await? {
            Settled::Mine => Ok(()),
            Settled::Theirs(_) => Err(LakeError::corrupt(path, "there is another object of this name")),
        }
    }
}

/// Uploads what is left of files whose uploads have begun, one after the other.
async fn upload_rests(files: &mut [FinishedFile]) -> Result<(), LakeError> {
    for file in files {
        if let Some(upload) = &mut file.upload {
            upload.push_all(std::mem::take(&mut file.rest)).await?;
        }
    }
    Ok(())
}
