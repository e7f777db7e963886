//! Pages that the database has written and the disk has not.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Bytes of a page: the unit in which redb writes.
pub const PAGE: usize = 4096;

/// The bytes of a page.
pub type Page = [u8; PAGE];

/// Pages by their number, between two flushes. Their order on the way to the disk does not matter.
pub type Group = BTreeMap<u64, Arc<Page>>;

/// Pages in groups: all of a group must be durable before the next one is written.
#[derive(Debug, Default)]
pub struct Pending {
    closed: VecDeque<Group>,
    open: Group,
}

impl Pending {
    /// Puts a page into the last group.
    pub fn write(&mut self, number: u64, page: Arc<Page>) {
        self.open.insert(number, page);
    }

    /// The latest contents of a page, if they are not on the disk.
    #[must_use]
    pub fn get(&self, number: u64) -> Option<&Arc<Page>> {
        let groups = core::iter::once(&self.open).chain(self.closed.iter().rev());
        groups.into_iter().find_map(|group| group.get(&number))
    }

    /// Whether any page of a range is not on the disk.
    #[must_use]
    pub fn touches(&self, pages: core::ops::Range<u64>) -> bool {
        let mut groups = core::iter::once(&self.open).chain(&self.closed);
        groups.any(|group| group.range(pages.clone()).next().is_some())
    }

    /// Begins a new group.
    pub fn close(&mut self) {
        if !self.open.is_empty() {
            self.closed.push_back(core::mem::take(&mut self.open));
        }
    }

    /// Forgets the group that was not closed.
    pub fn discard_open(&mut self) {
        self.open.clear();
    }

    /// The oldest group that was closed, as runs of pages that follow each other, of at most `most` pages: the first page's number, and
    /// the bytes.
    #[must_use]
    pub fn first(&self, most: usize) -> Option<Vec<(u64, Vec<u8>)>> {
        let mut runs: Vec<(u64, Vec<u8>)> = Vec::new();
        for (&number, page) in self.closed.front()? {
            match runs.last_mut() {
                Some((start, bytes))
                    if *start + (bytes.len() / PAGE) as u64 == number && bytes.len() < most * PAGE =>
                {
                    bytes.extend_from_slice(&page[..]);
                }
                _ => runs.push((number, page.to_vec())),
            }
        }
        Some(runs)
    }

    /// Forgets the oldest group, which is on the disk now.
    pub fn remove_first(&mut self) {
        self.closed.pop_front();
    }

    /// Makes all groups one.
    pub fn merge(&mut self) {
        self.close();
        let groups = core::mem::take(&mut self.closed);
        self.closed.push_back(groups.into_iter().flatten().collect());
    }
}
