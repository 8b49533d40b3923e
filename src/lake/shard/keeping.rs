//! A shard whose source can't be read again: its records are kept in the lake before the range that has them, and whoever
//! finds that range incomplete completes it from there.

use super::{LakeError, LakeShard, Range};
use crate::change::Record;
use crate::decode::item;
use crate::lake::kept::{self, KEEP_AT};
use crate::lake::range::KeptRecords;

/// The records of the open range.
#[derive(Default)]
pub(super) struct Keeper {
    /// Those that are in no object yet.
    waiting: Vec<Record>,
    /// Their payloads.
    bytes: usize,
    /// Those that are.
    written: Vec<KeptRecords>,
    /// The last of them.
    last: Option<Record>,
}

impl Keeper {
    pub(super) fn memory(&self) -> usize {
        self.bytes + self.waiting.capacity() * size_of::<Record>()
    }
}

impl LakeShard {
    /// From now on records are kept in the lake before their range is created. For sources that can't be read again: what
    /// is given to [`Self::accept`] need not be given again once [`Self::commit`] was called, however that ended.
    ///
    /// A range that was written so is completed in [`crate::lake::Lake::open_shard`], whatever its reader does.
    pub fn keep_records(&mut self) {
        self.keeper.get_or_insert_default();
    }

    /// Keeps a record that was added to the open range.
    pub(super) async fn keep(&mut self, record: &Record) -> Result<(), LakeError> {
        let Some(keeper) = self.keeper.as_mut().filter(|_| self.plan.is_none()) else { return Ok(()) };
        if let Some(membership) = &mut self.membership {
            membership.collect(record);
        }
        keeper.bytes += record.payload.len();
        keeper.waiting.push(record.clone());
        keeper.last = Some(record.clone());
        if keeper.bytes >= KEEP_AT {
            self.write_kept().await?;
        }
        Ok(())
    }

    /// All objects that keep the records of the open range; they are durable.
    pub(super) async fn kept(&mut self) -> Result<Vec<KeptRecords>, LakeError> {
        self.write_kept().await?;
        Ok(self.keeper.as_mut().map(|keeper| std::mem::take(&mut keeper.written)).unwrap_or_default())
    }

    /// Of a scan: the key of the last item, behind which it goes on.
    pub(super) fn last_key(&self) -> Option<String> {
        let lake = &self.place.lake;
        let last = self.keeper.as_ref().filter(|_| lake.backfill.is_some())?.last.as_ref()?;
        let table = last.table.as_deref().or(self.table.as_deref())?;
        let keys = Some(&lake.rules(table).keys).filter(|keys| !keys.is_empty())?;
        item::pick(std::str::from_utf8(&last.payload).ok()?, keys)
    }

    async fn write_kept(&mut self) -> Result<(), LakeError> {
        let Some(keeper) = self.keeper.as_mut().filter(|keeper| !keeper.waiting.is_empty()) else { return Ok(()) };
        let (records, lake, chain) = (std::mem::take(&mut keeper.waiting), &self.place.lake, self.place.chain.clone());
        let writer = lake.writer.clone();
        let write = move || kept::write(&chain, &writer, &records);
        let (entry, body) =
            lake.clock.start(write).join().await.map_err(|why| LakeError::corrupt("kept records", &why))?;
        self.place.put_records(&entry.path, &body).await?;
        keeper.bytes = 0;
        keeper.written.push(entry);
        Ok(())
    }

    /// Completes the range of a killed writer from its kept records, if it has such.
    pub(super) async fn complete_from_kept(&mut self) -> Result<(), LakeError> {
        let Some(plan) = self.plan.clone().filter(|plan| !plan.records.is_empty()) else { return Ok(()) };
        for entry in &plan.records {
            let body = self.place.get_records(&plan, entry).await?;
            let read = {
                let (entry, body) = (entry.clone(), body);
                move || kept::read(&entry, &body)
            };
            let records = self.place.lake.clock.start(read).join().await;
            let records = records.map_err(|why| LakeError::corrupt(&entry.path, &why))?;
            if self.accept(&records).await? < records.len() {
                return Err(self.diverged(&plan, "its kept records go beyond its end"));
            }
        }
        match self.commit().await? {
            Some(_) => Ok(()),
            None => Err(self.diverged(&plan, "its kept records hold none of its rows")),
        }
    }

    fn diverged(&self, plan: &Range, why: &str) -> LakeError {
        LakeError::Diverged { path: self.place.chain.range_path(plan.range), why: why.to_owned() }
    }
}
