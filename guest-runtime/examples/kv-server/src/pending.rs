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

/// Pages that follow each other.
#[derive(Debug)]
pub struct Run {
    /// The number of the first one.
    pub first: u64,
    /// The bytes of all.
    pub bytes: Vec<u8>,
}

impl Run {
    /// The number of the page behind them.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.first + (self.bytes.len() / PAGE) as u64
    }
}

/// Pages in groups: all of a group must be durable before the next one is written.
#[derive(Debug, Default)]
pub struct Pending {
    closed: VecDeque<Group>,
    open: Group,
    /// How many pages all groups have.
    pages: usize,
}

impl Pending {
    /// Puts a page into the last group, unless there would then be more than `most` pages in all. Whether it has.
    #[must_use]
    pub fn write(&mut self, number: u64, page: Arc<Page>, most: usize) -> bool {
        let added = usize::from(!self.open.contains_key(&number));
        if added > 0 && self.pages >= most {
            return false;
        }
        self.open.insert(number, page);
        self.pages += added;
        true
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
        self.pages -= self.open.len();
        self.open.clear();
    }

    /// The next `most` pages of the oldest group that was closed, from the page `from` on, as [`Run`]s of at most `longest` pages. Nothing
    /// if no group is closed; no runs at the end of the group.
    #[must_use]
    pub fn first(&self, from: u64, most: usize, longest: usize) -> Option<Vec<Run>> {
        let mut runs: Vec<Run> = Vec::new();
        for (&number, page) in self.closed.front()?.range(from..).take(most) {
            match runs.last_mut() {
                Some(run) if run.end() == number && run.bytes.len() < longest * PAGE => {
                    run.bytes.extend_from_slice(&page[..]);
                }
                _ => runs.push(Run { first: number, bytes: page.to_vec() }),
            }
        }
        Some(runs)
    }

    /// Forgets the oldest group, which is on the disk now.
    pub fn remove_first(&mut self) {
        self.pages -= self.closed.pop_front().map_or(0, |group| group.len());
    }

    /// Makes all groups one.
    pub fn merge(&mut self) {
        self.close();
        let groups = core::mem::take(&mut self.closed);
        let group: Group = groups.into_iter().flatten().collect();
        self.pages = group.len();
        self.closed.push_back(group);
    }
}
