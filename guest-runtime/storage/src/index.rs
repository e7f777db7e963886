//! What an image holds, by path.

use crate::file::File;
use crate::path;
use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Bound;

/// The most symbolic links on the way to a file, as on Linux (`MAXSYMLINKS`): more are a cycle.
const MOST_LINKS: u32 = 40;

/// Where the files of an image are. The root is not noted; every other directory is, also one that is only a part of names.
#[derive(Debug)]
pub(crate) struct Index {
    nodes: BTreeMap<Box<str>, Node>,
    /// The bytes that it has, about.
    held: usize,
    limit: usize,
}

/// What a path stands for.
#[derive(Debug, Clone)]
pub(crate) enum Node {
    Directory,
    File(File),
    /// A symbolic link, with its target as the archive has it.
    Link(Box<str>),
}

/// Why something could not be noted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The path, or one above it, stands for a directory and for something else.
    Conflict,
    /// The index is full.
    Full,
}

impl Index {
    /// An index of at most `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self { nodes: BTreeMap::new(), held: 0, limit }
    }

    /// The most bytes that it may have.
    pub(crate) const fn limit(&self) -> usize {
        self.limit
    }

    /// Notes what a confined path stands for, in place of what it stood for before, and the directories above it.
    ///
    /// # Errors
    ///
    /// If it would turn a directory into something else or the reverse, or if there is no room.
    pub(crate) fn insert(&mut self, path: &str, node: Node) -> Result<(), Refused> {
        if path.is_empty() {
            return if matches!(node, Node::Directory) { Ok(()) } else { Err(Refused::Conflict) };
        }
        let slashes = path.match_indices('/').map(|(at, _)| at);
        for above in slashes.map(|at| &path[..at]) {
            match self.nodes.get(above) {
                Some(Node::Directory) => {}
                Some(_) => return Err(Refused::Conflict),
                None => self.put(above, Node::Directory)?,
            }
        }
        match (self.nodes.get(path), &node) {
            (Some(Node::Directory), Node::Directory) => Ok(()),
            (Some(Node::Directory), _) | (Some(_), Node::Directory) => Err(Refused::Conflict),
            _ => self.put(path, node),
        }
    }

    fn put(&mut self, path: &str, node: Node) -> Result<(), Refused> {
        let target = if let Node::Link(target) = &node { target.len() } else { 0 };
        // Half as much again, as the nodes of a tree are rarely full.
        self.held += size_of::<(Box<str>, Node)>() * 3 / 2 + path.len() + target;
        if self.held > self.limit {
            return Err(Refused::Full);
        }
        self.nodes.insert(path.into(), node);
        Ok(())
    }

    /// Forgets a path that is no directory.
    pub(crate) fn remove(&mut self, path: &str) {
        if !matches!(self.nodes.get(path), Some(Node::Directory)) {
            self.nodes.remove(path);
        }
    }

    /// What a confined path stands for, links not followed.
    pub(crate) fn get(&self, path: &str) -> Option<&Node> {
        if path.is_empty() { Some(&Node::Directory) } else { self.nodes.get(path) }
    }

    /// The path of the directory or file that `path` leads to, and that, after all links. Links that lead out of the tree, to nothing,
    /// or in a circle are as if they were not there.
    pub(crate) fn resolve<'p>(&'p self, path: &'p str) -> Option<(&'p str, &'p Node)> {
        match self.get(path) {
            Some(Node::Link(_)) | None => {}
            Some(node) => return Some((path, node)),
        }
        let mut here = String::new();
        let mut ahead: Vec<&str> = path.rsplit('/').collect();
        let mut links = 0;
        while let Some(component) = ahead.pop() {
            match component {
                "" | "." => continue,
                ".." if here.is_empty() => return None,
                ".." => {
                    here.truncate(path::parent(&here).len());
                    continue;
                }
                name => path::push(&mut here, name),
            }
            match self.nodes.get(here.as_str())? {
                Node::Directory => {}
                Node::File(_) if ahead.is_empty() => {}
                Node::File(_) => return None,
                Node::Link(target) => {
                    links += 1;
                    if links > MOST_LINKS || target.starts_with('/') {
                        return None;
                    }
                    here.truncate(path::parent(&here).len());
                    ahead.extend(target.rsplit('/'));
                }
            }
        }
        match self.nodes.get_key_value(here.as_str()) {
            Some((path, node)) => Some((path, node)),
            None => here.is_empty().then_some(("", &Node::Directory)),
        }
    }

    /// The paths in a directory, in the order of their bytes.
    pub(crate) fn children<'i>(&'i self, directory: &str) -> impl Iterator<Item = &'i str> {
        let mut prefix = directory.to_owned();
        if !prefix.is_empty() {
            prefix.push('/');
        }
        let mut last: Option<&str> = None;
        core::iter::from_fn(move || {
            loop {
                let from = last.map_or(Bound::Included(prefix.as_str()), Bound::Excluded);
                let (path, _) = self.nodes.range::<str, _>((from, Bound::Unbounded)).next()?;
                let name = path.strip_prefix(prefix.as_str())?;
                last = Some(path);
                if !name.contains('/') {
                    return Some(&**path);
                }
            }
        })
    }
}
