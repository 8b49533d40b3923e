//! Which lane reads which data files, and which number has a line? Pure, so that a run that goes on deals the same.

use super::manifest::Manifest;

/// The numbers that one export may use in a lane. A later export's lines have higher numbers in every lane, so that of two
/// rows of one item the later export's sorts last.
const NUMBERS_OF_AN_EXPORT: u64 = 1_000_000_000_000_000;

/// The data files that are read one after the other.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lane {
    /// They, in their order.
    pub files: Vec<LaneFile>,
}

/// One data file in its lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneFile {
    /// Which export's.
    pub export: usize,
    /// Which of its files.
    pub file: usize,
    /// The number of its first line.
    pub first: u64,
    /// Its lines.
    pub items: u64,
}

impl Lane {
    /// Where reading goes on behind record number `ordinal`: which of the files, and how many of its lines come before.
    pub fn behind(&self, ordinal: u64) -> Option<(usize, u64)> {
        let number = self.files.iter().position(|file| ordinal < file.first + file.items - 1)?;
        let file = &self.files[number];
        Some((number, (ordinal + 1).saturating_sub(file.first)))
    }
}

/// Deals the files out, each to the lane that has the fewest lines so far.
pub(super) fn deal(exports: &[&Manifest], lanes: u32) -> Vec<Lane> {
    let files: usize = exports.iter().map(|export| export.files.len()).sum();
    let mut dealt = vec![Lane::default(); (lanes as usize).clamp(1, files.max(1))];
    let mut lines = vec![0u64; dealt.len()];
    for (export, manifest) in exports.iter().enumerate() {
        let mut next = vec![export as u64 * NUMBERS_OF_AN_EXPORT + 1; dealt.len()];
        for (file, data) in manifest.files.iter().enumerate() {
            let least = (0..lines.len()).min_by_key(|lane| lines[*lane]).unwrap_or(0);
            dealt[least].files.push(LaneFile { export, file, first: next[least], items: data.items });
            next[least] += data.items;
            lines[least] += data.items;
        }
    }
    dealt
}

#[cfg(test)]
mod tests {
    use super::super::manifest::{DataFile, Window};
    use super::*;

    fn export(items: &[u64]) -> Manifest {
        let file = |(at, items): (usize, &u64)| DataFile { key: format!("k{at}"), items: *items, md5: String::new() };
        Manifest {
            arn: String::new(),
            id: String::new(),
            table_arn: String::new(),
            table: String::new(),
            window: Window::Full(0),
            items: items.iter().sum(),
            billed_bytes: 0,
            files: items.iter().enumerate().map(file).collect(),
            partial: false,
        }
    }

    #[test]
    fn every_line_has_one_number_and_later_exports_higher_ones() {
        let (first, second) = (export(&[5, 1, 1, 1, 4]), export(&[2, 2]));
        let lanes = deal(&[&first, &second], 2);
        let all: u64 = lanes.iter().flat_map(|lane| &lane.files).map(|file| file.items).sum();
        assert_eq!(all, 16);
        for lane in &lanes {
            // Read from the beginning, each line comes once and numbers rise.
            let (mut ordinal, mut read) = (0, 0);
            while let Some((number, before)) = lane.behind(ordinal) {
                let file = &lane.files[number];
                let next = file.first + before;
                assert!(next > ordinal && before < file.items);
                assert!(file.export == 0 || next > NUMBERS_OF_AN_EXPORT);
                (ordinal, read) = (next, read + 1);
            }
            assert_eq!(read, lane.files.iter().map(|file| file.items).sum::<u64>());
        }
    }

    #[test]
    fn there_are_no_more_lanes_than_files() {
        assert_eq!(deal(&[&export(&[1, 2])], 8).len(), 2);
        assert_eq!(deal(&[&export(&[])], 8), vec![Lane::default()]);
        assert_eq!(deal(&[&export(&[])], 8)[0].behind(0), None);
    }
}
