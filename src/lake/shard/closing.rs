//! How does what was collected become a range of the chain, or a gap a marker in it?

use super::{Committed, LakeShard};
use crate::bug::{self, Bug};
use crate::change::Position;
use crate::lake::open_file::{FinishedFile, finish_files};
use crate::lake::open_range::OpenRange;
use crate::lake::range::{DeadLetters, Gap, Range, RangeFile};
use crate::lake::{LakeError, rfc3339};

impl LakeShard {
    /// Makes everything accepted durable, in this order: kept records, range, files, dead letters. `None` if there is
    /// nothing.
    ///
    /// On [`LakeError::Overtaken`] another writer was faster: open the shard again.
    pub async fn commit(&mut self) -> Result<Option<Committed>, LakeError> {
        Ok(self.commit_range().await?.map(|(committed, _)| committed))
    }

    /// The same, and answers the range besides.
    pub(in crate::lake) async fn commit_range(&mut self) -> Result<Option<(Committed, Range)>, LakeError> {
        let Some(end) = self.last.filter(|_| !self.is_clean()) else {
            self.pass_over();
            return Ok(None);
        };
        self.open.settle().await?;
        let mut open = std::mem::take(&mut self.open);
        let generations = open.files.iter().map(|file| (file.table.clone(), file.origin.generation)).collect();
        let (operations, to_rest) = (open.operations(), open.to_rest());
        let (files, notes, clock) = (std::mem::take(&mut open.files), self.notes(), self.place.lake.clock.clone());
        let finish = move || {
            let cores = clock.claim_cores();
            finish_files(files, &notes, cores.count())
        };
        let mut finishing = self.place.lake.clock.start(finish);
        let lake = self.place.lake.clone();
        let asks = self.plan.is_none() && !bug::is_made(Bug::GenerationAskedEarly);
        if asks && lake.has_begun_another(generations).await? {
            let shard = self.place.chain.shard().clone();
            tracing::info!(%shard, range = self.next, "a backfill has begun; the open range is read again");
            return Err(LakeError::Overtaken { shard, range: self.next });
        }
        let files = finishing.join().await?;
        let mut range = self.range_of(&files, end, &open.dead_letters, open.undecodable);
        range.first = open.first.map(Into::into);
        range.changed_until = open.changed_until;
        range.last_key = self.last_key();
        range.keep(self.kept().await?);
        self.sign_members(&mut range);
        let sizes = files.iter().map(|f| (f.table.clone(), f.rows as u64, f.size as u64)).collect();
        self.place.publish(self.plan.as_ref(), &range, files).await?;
        if let Some(dead) = &range.dead_letters {
            self.place.put_dead_letters(&dead.path, &open.dead_letters.into()).await?;
        }
        self.next += 1;
        self.start = Some(end);
        self.changed_until = open.changed_until.max(self.changed_until);
        self.plan = None;
        self.go_on_behind(&range);
        let committed = Committed {
            range: range.range,
            end,
            files: sizes,
            operations,
            undecodable: open.undecodable,
            to_rest,
            unknown: open.unknown,
        };
        Ok(Some((committed, range)))
    }

    fn range_of(&self, files: &[FinishedFile], end: Position, dead_letters: &[u8], undecodable: u64) -> Range {
        let now = rfc3339(self.place.lake.clock.wall_micros());
        let mut range = Range::new(&self.place.chain, self.next, self.start, Some(end), &self.place.lake.writer, &now);
        range.rows = files.iter().map(|file| file.rows as u64).sum();
        range.files = files
            .iter()
            .map(|file| RangeFile {
                path: file.path.clone(),
                table: file.table.to_string(),
                partition: file.partition.clone(),
                rows: file.rows as u64,
                schema: file.schema,
                generation: file.generation,
                end: file.end.into(),
            })
            .collect();
        range.dead_letters = (!dead_letters.is_empty())
            .then(|| DeadLetters { path: self.place.chain.dead_letter_path(self.next), records: undecodable });
        range
    }

    /// Writes into the chain that records are missing from here on, and answers the marker's range number. Call when
    /// nothing is collected.
    pub async fn mark_gap(&mut self, reason: &str) -> Result<u64, LakeError> {
        let now = rfc3339(self.place.lake.clock.wall_micros());
        if let Some(unfinished) = self.plan.take() {
            // Its records can't be read again: what is missing of its files stays missing, and the marker says so.
            self.next = unfinished.range + 1;
            self.start = unfinished.end();
            self.last = unfinished.end();
            self.open = OpenRange::default();
        }
        if self.membership.is_some() {
            (self.start, self.last) = (None, None);
        }
        let mut range = Range::new(&self.place.chain, self.next, self.start, self.start, &self.place.lake.writer, &now);
        range.changed_until = self.changed_until;
        let table = self.table.as_ref().map(ToString::to_string);
        let since = self.changed_until.map(rfc3339);
        let generations = self.place.lake.generations.all().await?;
        range.gap = Some(Gap { reason: reason.to_owned(), found_at: now, table, since, generations });
        self.sign_members(&mut range);
        self.place.name_gap(&range).await?;
        self.place.create(&range).await?;
        self.next += 1;
        self.go_on_behind(&range);
        Ok(range.range)
    }
}
