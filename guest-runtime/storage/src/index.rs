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

/// The most components on the way to a file, those of all links included: as many as the longest path has. A few links with long
/// targets could keep a lookup busy otherwise.
const MOST_COMPONENTS: usize = 2048;

/// Where the files of an image are. The root is not noted; every other directory is, also one that is only a part of names.
#[derive(Debug)]
pub(crate) struct Index {
    nodes: BTreeMap<Box<str>, Noted>,
    /// The bytes that it has, about.
    held: usize,
    limit: usize,
}

#[derive(Debug)]
struct Noted {
    /// The name as the image has it, where that is not the last component of the path.
    name: Option<Box<str>>,
    node: Node,
}

impl Noted {
    /// The bytes that it takes with its key, about.
    fn held(&self, key: &str) -> usize {
        let node = match &self.node {
            Node::Directory => 0,
            Node::File(file) => file.held(),
            Node::Link(target) => target.len(),
        };
        // Names that come in order leave the nodes of the tree with 6 of the 11 entries that each has room for.
        let entry = size_of::<(Box<str>, Self)>() * 11 / 6;
        entry + key.len() + self.name.as_deref().map_or(0, str::len) + node
    }
}

/// What a path stands for.
#[derive(Debug, Clone)]
pub(crate) enum Node {
    Directory,
    File(File),
    /// A symbolic link, with its [plain](path::plain) target.
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

    /// Notes what a confined path stands for, in place of what it stood for before, and the directories above it. It will be
    /// found as `key`, and listed as `path`, which has as many components.
    ///
    /// # Errors
    ///
    /// If it would turn a directory into something else or the reverse, or if there is no room.
    pub(crate) fn insert(&mut self, key: &str, path: &str, node: Node) -> Result<(), Refused> {
        if key.is_empty() {
            return if matches!(node, Node::Directory) { Ok(()) } else { Err(Refused::Conflict) };
        }
        // Where a directory is noted, so are those above it.
        let mut missing = Vec::new();
        let mut above = (path::parent(key), path::parent(path));
        loop {
            match self.get(above.0) {
                Some(Node::Directory) => break,
                Some(_) => return Err(Refused::Conflict),
                None => missing.push(above),
            }
            above = (path::parent(above.0), path::parent(above.1));
        }
        for (key, path) in missing.into_iter().rev() {
            self.put(key, path, Node::Directory)?;
        }
        match (self.get(key), &node) {
            (Some(Node::Directory), Node::Directory) => Ok(()),
            (Some(Node::Directory), _) | (Some(_), Node::Directory) => Err(Refused::Conflict),
            _ => self.put(key, path, node),
        }
    }

    fn put(&mut self, key: &str, path: &str, node: Node) -> Result<(), Refused> {
        let name = path::name(path);
        let name = (name != path::name(key)).then(|| Box::from(name));
        let noted = Noted { name, node };
        let before = self.nodes.get(key).map_or(0, |noted| noted.held(key));
        let held = self.held - before + noted.held(key);
        if held > self.limit {
            return Err(Refused::Full);
        }
        self.held = held;
        self.nodes.insert(key.into(), noted);
        Ok(())
    }

    /// Forgets a path that is no directory.
    pub(crate) fn remove(&mut self, path: &str) {
        if matches!(self.get(path), Some(Node::Directory)) {
            return;
        }
        if let Some(noted) = self.nodes.remove(path) {
            self.held -= noted.held(path);
        }
    }

    /// What a confined path stands for, links not followed.
    pub(crate) fn get(&self, path: &str) -> Option<&Node> {
        if path.is_empty() { Some(&Node::Directory) } else { self.nodes.get(path).map(|noted| &noted.node) }
    }

    /// The path of the directory or file that `path` leads to, and that, after all links. Links that lead out of the tree, to nothing,
    /// in a circle, or on a way that is [too long](MOST_COMPONENTS) are as if they were not there.
    pub(crate) fn resolve<'p>(&'p self, path: &'p str) -> Option<(&'p str, &'p Node)> {
        match self.get(path) {
            Some(Node::Link(_)) | None => {}
            Some(node) => return Some((path, node)),
        }
        let mut here = String::new();
        let mut ahead = Vec::new();
        let (mut links, mut components) = (0, 0);
        let mut go = |ahead: &mut Vec<&'p str>, path: &'p str| {
            components += path.split('/').count();
            (components <= MOST_COMPONENTS).then(|| ahead.extend(path.rsplit('/')))
        };
        go(&mut ahead, path)?;
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
            match self.get(&here)? {
                Node::Directory => {}
                Node::File(_) if ahead.is_empty() => {}
                Node::File(_) => return None,
                Node::Link(target) => {
                    links += 1;
                    if links > MOST_LINKS || target.starts_with('/') {
                        return None;
                    }
                    here.truncate(path::parent(&here).len());
                    go(&mut ahead, target)?;
                }
            }
        }
        match self.nodes.get_key_value(here.as_str()) {
            Some((path, noted)) => Some((path, &noted.node)),
            None => here.is_empty().then_some(("", &Node::Directory)),
        }
    }

    /// The paths and the names in a directory, in the order of the paths' bytes.
    pub(crate) fn children<'i>(&'i self, directory: &str) -> impl Iterator<Item = (&'i str, &'i str)> {
        let mut prefix = directory.to_owned();
        if !prefix.is_empty() {
            prefix.push('/');
        }
        let mut from = prefix.clone();
        core::iter::from_fn(move || {
            loop {
                let range = (Bound::Included(from.as_str()), Bound::Unbounded);
                let (path, noted) = self.nodes.range::<str, _>(range).next()?;
                let name = path.strip_prefix(prefix.as_str())?;
                from.clear();
                if let Some((child, _)) = name.split_once('/') {
                    // The child itself came before: on behind all that is below it. A zero comes next after a slash.
                    from.extend([prefix.as_str(), child, "0"]);
                    continue;
                }
                from.extend([path, "\0"]);
                return Some((&**path, noted.name.as_deref().unwrap_or(name)));
            }
        })
    }
}
