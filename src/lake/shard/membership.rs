//! A shard whose records come in no order: which ones the open range holds, and what its range says of those before it.

use super::{LakeError, LakeShard, OpenRange, Publisher, Range};
use crate::change::{Record, TableName};
use crate::lake::member_shard::IfLost;
use crate::lake::members::{self, Member, Members, Node};

/// What the next range will say.
#[derive(Default)]
pub(super) struct Membership {
    collected: Vec<Member>,
    before: Vec<Node>,
}

impl Membership {
    pub(super) fn collect(&mut self, record: &Record) {
        members::add(&mut self.collected, Member::of(record));
    }
}

impl LakeShard {
    /// Goes on behind a range, the last of a chain of members. Its records are always kept.
    pub(in crate::lake) async fn of_members(
        place: Publisher,
        table: Option<TableName>,
        last: Option<Range>,
        lost: IfLost<'_>,
    ) -> Result<Self, LakeError> {
        let mut shard = Self::behind(place, table, last.clone()).await?;
        let gone = match shard.complete_from_kept().await {
            Ok(()) => None,
            Err(gone @ LakeError::KeptLost { .. }) if shard.complete_from(lost.at_hand).await? => {
                tracing::warn!(%gone, "the batch at hand has these records: the range is complete");
                None
            }
            Err(gone @ LakeError::KeptLost { .. }) if lost.pass_over => Some(gone),
            Err(error) => return Err(error),
        };
        shard.keep_records();
        shard.membership = Some(Membership::default());
        if let Some(last) = &last {
            shard.go_on_behind(last);
        }
        if let Some(gone) = gone {
            let marker = shard.mark_gap(&gone.to_string()).await?;
            tracing::error!(marker, %gone, "a range is passed over; a gap marker in the lake says so");
        }
        if shard.plan.is_some() || last.is_some_and(|last| last.members.is_none()) {
            let why = "it lists no members, or keeps no records: it is of another kind than its chain";
            return Err(LakeError::corrupt(&shard.place.chain.folder(), why));
        }
        Ok(shard)
    }

    /// Completes the range of a killed writer from records that came again, if these have all of its members.
    async fn complete_from(&mut self, records: &[Record]) -> Result<bool, LakeError> {
        let Some(members) = self.plan.as_ref().and_then(|plan| plan.members.as_ref()) else { return Ok(false) };
        let Some(records) = members.pick(records) else { return Ok(false) };
        // Part of them may have come from an object that is still there.
        (self.open, self.last) = (OpenRange::default(), self.start);
        if self.accept(&records).await? < records.len() {
            return Ok(false);
        }
        Ok(self.commit().await?.is_some())
    }

    /// Nothing of what was given belongs into the lake: what comes next may still lie anywhere.
    pub(super) fn pass_over(&mut self) {
        if let Some(membership) = self.membership.as_mut() {
            membership.collected.clear();
            (self.last, self.keeper) = (None, None);
            self.keep_records();
        }
    }

    /// Says in a new range what its members are.
    pub(super) fn sign_members(&mut self, range: &mut Range) {
        if let Some(membership) = self.membership.as_mut() {
            range.start = None;
            let (list, before) = (std::mem::take(&mut membership.collected), membership.before.clone());
            range.members = Some(Members { list, before });
        }
    }

    /// The range is durable: what comes next has its place in the index behind it, and may lie anywhere.
    pub(super) fn go_on_behind(&mut self, range: &Range) {
        if let Some(membership) = self.membership.as_mut() {
            membership.before = range.members.as_ref().map_or_else(Vec::new, |members| members.next(range.range));
            (self.start, self.last) = (None, None);
        } else if range.members.is_some() {
            (self.start, self.last) = (None, None);
        }
    }

    /// The index of all ranges there are.
    pub(in crate::lake) fn index(&self) -> &[Node] {
        self.membership.as_ref().map_or(&[], |membership| &membership.before)
    }

    pub(in crate::lake) fn place(&self) -> &Publisher {
        &self.place
    }

    pub(in crate::lake) fn table(&self) -> Option<TableName> {
        self.table.clone()
    }

    /// The number of the last range that is known to be there.
    pub(in crate::lake) fn last_range(&self) -> Option<u64> {
        self.next.checked_sub(1)
    }
}
