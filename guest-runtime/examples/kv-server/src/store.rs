//! Keys and values on a disk, in a database of redb's.
//!
//! A transaction is done when all of it is on the disk and flushed. Reads see the last transaction that is done, and never one that a
//! crash could still undo. When the disk fails, reads go on with that, as far as they can.
//!
//! Each transaction saves which pages are in use as well ("quick repair"), so that to open the store after a crash takes the same short
//! time whatever its size.

use crate::backend::{Backend, Failure, Shared};
use crate::command::{Command, integer, not_an_integer};
use crate::device::{Device, DeviceError};
use crate::pending::{PAGE, Page};
use crate::reply::Reply;
use crate::superblock::{Superblock, VERSION};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::fmt;
use redb::{
    Builder, Database, ReadOnlyTable, ReadableDatabase, ReadableTable, StorageError, Table, TableDefinition,
    TableError, WriteTransaction,
};

/// The smallest disk in bytes: an empty store takes less, but there is to be room for something.
pub const SMALLEST_DISK: u64 = 1 << 20;

/// How many bytes at each end of a disk must be zeroes for it to count as empty: file systems and partition tables have their marks there.
const BLANK: u64 = 1 << 20;

/// Where keys and values are.
const VALUES: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("values");

/// How many transactions were done: tells whether one that has ended with an error was.
const TRANSACTIONS: TableDefinition<'static, (), u64> = TableDefinition::new("transactions");

/// A table that is there for a moment only, within a transaction.
const RESERVE: TableDefinition<'static, u64, &[u8]> = TableDefinition::new("reserve");

/// The most pages that must be left when the store has taken the whole disk: to delete something takes some, too.
const RESERVED_PAGES: u64 = 256;

type Snapshot = ReadOnlyTable<&'static [u8], &'static [u8]>;

/// How a store is opened.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Bytes of memory for pages of the database.
    pub cache: usize,
    /// Bytes of pages that a transaction may change.
    pub transaction: usize,
    /// A store of at most so many bytes is read at once when it is opened, and checked in full. It takes so much memory for that moment.
    pub small: u64,
    /// Whether larger ones are checked in full, too, page by page, which takes its time.
    pub check: bool,
}

/// Why a store cannot be opened.
#[derive(Debug)]
pub enum OpenError {
    /// The disk is smaller than [`SMALLEST_DISK`].
    Small(u64),
    /// There is something else on the disk.
    Foreign,
    /// The store is of a format that is not known here.
    Version(u32),
    /// The store is longer than its disk.
    Short {
        /// Bytes that it needs.
        needed: u64,
        /// Bytes that the disk has.
        size: u64,
    },
    /// The store is damaged; the text says how.
    Damaged(String),
    /// The disk failed.
    Failed(Failure),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Small(size) => {
                write!(f, "the disk has {size} bytes: use one of at least {SMALLEST_DISK}")
            }
            Self::Foreign => f.write_str(
                "the disk is neither empty nor a store: use one that is, or overwrite its ends with zeroes if nothing on it is needed",
            ),
            Self::Version(version) => {
                write!(f, "the store has version {version} of the format, and this program knows {VERSION}: use another program")
            }
            Self::Short { needed, size } => write!(
                f,
                "the store needs {needed} bytes and its disk has {size}: use the disk in the size that it had"
            ),
            Self::Damaged(how) => write!(f, "the store is damaged ({how}): use a copy of it"),
            Self::Failed(failure) => failure.fmt(f),
        }
    }
}

impl core::error::Error for OpenError {}

impl From<Failure> for OpenError {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<DeviceError> for OpenError {
    fn from(error: DeviceError) -> Self {
        Self::Failed(Failure::Read(error))
    }
}

/// An open store.
#[derive(Debug)]
pub struct Store<D> {
    shared: Arc<Shared<D>>,
    cache: usize,
    database: RefCell<Option<Database>>,
    snapshot: RefCell<Option<Box<Snapshot>>>,
    /// Whether the snapshot is not that of the last transaction.
    behind: Cell<bool>,
    /// Whether a transaction may wait for the disk. What waits otherwise was only written to open the database.
    waits: Cell<bool>,
    /// How many transactions were done on this store.
    transactions: Cell<u64>,
    /// The last failure that was not reported.
    unreported: Cell<Option<Failure>>,
}

impl<D: Device> Store<D> {
    /// Opens the store on a disk; makes one if the disk is empty.
    ///
    /// # Errors
    ///
    /// Why that is not possible. Nothing was written then, or what is on the disk is a store still.
    pub async fn open(device: D, options: Options) -> Result<Self, OpenError> {
        let size = device.size();
        if size < SMALLEST_DISK {
            return Err(OpenError::Small(size));
        }
        let mut first: Box<Page> = Box::new([0; PAGE]);
        device.read_blocking(0, &mut first[..])?;
        let length = match Superblock::parse(&first) {
            Superblock::Blank if is_blank(&device)? => {
                // From here on it is a store, though an unfinished one, whatever a crash leaves of the rest.
                device.write(0, &Superblock::page(0)).await.map_err(Failure::Write)?;
                device.flush().await.map_err(Failure::Write)?;
                0
            }
            Superblock::Store(length) => length,
            Superblock::Blank | Superblock::Foreign => return Err(OpenError::Foreign),
            Superblock::Unknown(version) => return Err(OpenError::Version(version)),
            Superblock::Damaged => return Err(OpenError::Damaged("its first sector is".into())),
        };
        let shared = Shared::new(device, length, options.transaction);
        if length > shared.limit() {
            return Err(OpenError::Short { needed: length.saturating_add(PAGE as u64), size });
        }
        let store = Self {
            shared,
            cache: options.cache,
            database: RefCell::new(None),
            snapshot: RefCell::new(None),
            behind: Cell::new(true),
            waits: Cell::new(false),
            transactions: Cell::new(0),
            unreported: Cell::new(None),
        };
        let is_small = length <= options.small;
        let checked = length > 0 && (is_small || options.check);
        if checked && is_small {
            store.shared.preload()?;
        }
        let opened = store.reopen(checked);
        store.shared.forget_preloaded();
        opened.map_err(|error| store.explain(error))?;
        if checked && store.save().is_err() {
            // On a full disk it goes without that.
            match store.give_up() {
                Failure::Full => store.reopen(false).map_err(|error| store.explain(error))?,
                failure => return Err(failure.into()),
            }
        }
        if length == 0 {
            store.shared.settle_new().await?;
        }
        store.shared.settle().await?;
        store.publish().map_err(|error| store.explain(error))?;
        Ok(store)
    }

    /// Answers a command that writes nothing; nothing where only a [transaction](Self::transact) can tell.
    pub fn query(&self, command: &Command) -> Option<Reply> {
        let snapshot = self.snapshot.borrow();
        // Where the disk could not be read, the transaction begins with another attempt.
        read(snapshot.as_deref()?, command).unwrap_or_default()
    }

    /// Does all of `commands` in their order, and ends when that is durable: in one transaction, or in several if something stands in the
    /// way of some of them, or if together they change more than [may be](Options::transaction). An error among the answers says that this
    /// command did nothing, or if the disk could not be written or read at the end, that nobody knows. Must not be called again before it
    /// has ended.
    pub async fn transact(&self, commands: &[&Command]) -> Vec<Reply> {
        let mut replies = Vec::with_capacity(commands.len());
        let mut parts = vec![commands];
        // Of what size a command found no room: larger ones need not try, until something is deleted.
        let mut full = usize::MAX;
        while let Some(part) = parts.pop() {
            match self.attempt(part, full).await {
                Ok(some) => {
                    if part.iter().zip(&some).any(|(command, reply)| command.deletes(reply)) {
                        full = usize::MAX;
                    }
                    replies.extend(some);
                }
                Err(Setback::Undone(_)) if part.len() > 1 => {
                    // So that only those fail that cannot be done.
                    let (first, second) = part.split_at(part.len() / 2);
                    parts.extend([second, first]);
                }
                Err(Setback::Undone(failure) | Setback::Unknown(failure)) => {
                    if let (Failure::Full, [command]) = (failure, part) {
                        full = full.min(command.size());
                    }
                    let reply = self.refuse(failure);
                    replies.extend(part.iter().map(|_| reply.clone()));
                }
            }
        }
        replies
    }

    /// How often the disk was read, so far.
    pub fn reads(&self) -> u64 {
        self.shared.reads()
    }

    /// What has gone wrong since this was last asked: the last of it.
    pub fn take_failure(&self) -> Option<Failure> {
        self.unreported.take()
    }

    /// The answer where something could not be done, which is to be reported.
    fn refuse(&self, failure: Failure) -> Reply {
        self.unreported.set(Some(failure));
        refusal(failure)
    }

    /// Ends it in order. What was acknowledged is on the disk without this.
    ///
    /// # Errors
    ///
    /// Where the disk failed.
    pub async fn close(&self) -> Result<(), Failure> {
        self.shared.settle().await?;
        self.snapshot.take();
        if let Some(database) = self.database.take() {
            database.close().map_err(|_| self.failure())?;
        }
        self.shared.settle().await
    }

    /// Brings to an end what a failure has left undone. To read, a disk need not be written, unless a transaction waits for it.
    async fn prepare(&self, writes: bool) -> Result<(), Failure> {
        match self.shared.settle().await {
            Ok(()) => self.waits.set(false),
            Err(_) if !writes && !self.waits.get() => {
                if self.shared.failure().is_some() {
                    self.give_up();
                    // The next opening writes it again.
                    self.shared.forget_pending();
                }
            }
            Err(failure) => return Err(failure),
        }
        if self.shared.failure().is_some() {
            self.give_up();
        }
        if self.database.borrow().is_none() {
            self.reopen(false).map_err(|_| self.failure())?;
        }
        if self.behind.get() {
            self.publish().map_err(|_| self.give_up())?;
        }
        if writes {
            self.shared.settle().await?;
        }
        Ok(())
    }

    /// All of it, or nothing.
    ///
    /// Commands that write at least `full` bytes are refused.
    async fn attempt(&self, commands: &[&Command], full: usize) -> Result<Vec<Reply>, Setback> {
        let writes = commands.iter().any(|command| command.writes());
        self.prepare(writes).await.map_err(Setback::Unknown)?;
        self.waits.set(self.waits.get() || writes);
        let before = self.transactions.get();
        let mut replies = Vec::new();
        while let Err(failure) = self.apply(commands, full, &mut replies) {
            let extends = failure == Failure::Full && self.shared.length() < self.shared.limit();
            self.give_up();
            if extends {
                self.shared.extend();
            }
            self.prepare(writes).await.map_err(Setback::Unknown)?;
            if self.transactions.get() != before {
                // It failed when it had been done, and only had to tidy up.
                break;
            }
            if !extends {
                return Err(Setback::Undone(failure));
            }
        }
        if !writes {
            return Ok(replies);
        }
        self.behind.set(true);
        self.shared.settle().await.map_err(Setback::Unknown)?;
        self.waits.set(false);
        self.publish().map_err(|_| Setback::Unknown(self.give_up()))?;
        Ok(replies)
    }

    /// Does the commands in a transaction of the database, none of which is on the disk yet.
    fn apply(&self, commands: &[&Command], full: usize, replies: &mut Vec<Reply>) -> Result<(), Failure> {
        replies.clear();
        let database = self.database.borrow();
        let database = database.as_ref().ok_or(Failure::Damaged)?;
        self.write(database, commands, full, replies).map_err(|_| self.failure())
    }

    fn write(
        &self,
        database: &Database,
        commands: &[&Command],
        full: usize,
        replies: &mut Vec<Reply>,
    ) -> Result<(), redb::Error> {
        let mut transaction = database.begin_write()?;
        transaction.set_quick_repair(true);
        let (mut grown, mut deleted) = (false, false);
        {
            let mut table = transaction.open_table(VALUES)?;
            for command in commands {
                let reply = if command.grows() && command.size() >= full {
                    refusal(Failure::Full)
                } else {
                    execute(&mut table, command)?
                };
                grown |= command.grows() && !reply.is_error();
                deleted |= command.deletes(&reply);
                replies.push(reply);
            }
        }
        if !grown && !deleted {
            transaction.abort()?;
            return Ok(());
        }
        if grown && self.shared.length() == self.shared.limit() {
            self.reserve(&transaction)?;
        }
        let number = self.transactions.get() + 1;
        transaction.open_table(TRANSACTIONS)?.insert((), number)?;
        transaction.commit()?;
        self.transactions.set(number);
        Ok(())
    }

    /// Makes sure that there will be room to delete something, or fails.
    fn reserve(&self, transaction: &WriteTransaction) -> Result<(), redb::Error> {
        let page = vec![0; PAGE * 3 / 4];
        let pages = RESERVED_PAGES.min(self.shared.limit() / PAGE as u64 / 8);
        {
            let mut table = transaction.open_table(RESERVE)?;
            for number in 0..pages {
                table.insert(number, &page[..])?;
            }
        }
        transaction.delete_table(RESERVE)?;
        Ok(())
    }

    /// Lets reads see the last transaction.
    fn publish(&self) -> Result<(), redb::Error> {
        let database = self.database.borrow();
        let snapshot = match database.as_ref() {
            Some(database) => Some(Box::new(database.begin_read()?.open_table(VALUES)?)),
            None => None,
        };
        *self.snapshot.borrow_mut() = snapshot;
        self.behind.set(false);
        Ok(())
    }

    /// Closes the database as it is, as it can do nothing any more after a failure. Says which.
    fn give_up(&self) -> Failure {
        let failure = self.failure();
        let backend = self.shared.backend();
        self.snapshot.take();
        self.database.take();
        drop(backend);
        self.behind.set(true);
        failure
    }

    /// Opens the database, with a check of all of it or without.
    fn reopen(&self, checked: bool) -> Result<(), redb::Error> {
        let mut builder = Builder::new();
        builder.set_cache_size(self.cache).set_check_integrity_on_open(checked);
        let backend: Backend<D> = self.shared.backend();
        let database = builder.create_with_backend(backend)?;
        let done = match database.begin_read()?.open_table(TRANSACTIONS) {
            Ok(table) => table.get(())?.map(|number| number.value()),
            Err(TableError::TableDoesNotExist(_)) => None,
            Err(error) => return Err(error.into()),
        };
        self.transactions.set(done.unwrap_or(0));
        *self.database.borrow_mut() = Some(database);
        self.behind.set(true);
        if done.is_none() { self.save() } else { Ok(()) }
    }

    /// Saves which pages are in use. A database that is new has not done that, nor one that was checked; after a crash all of it would have
    /// to be read.
    fn save(&self) -> Result<(), redb::Error> {
        let database = self.database.borrow();
        let Some(database) = database.as_ref() else { return Ok(()) };
        let mut transaction = database.begin_write()?;
        transaction.set_quick_repair(true);
        transaction.open_table(VALUES)?;
        transaction.open_table(TRANSACTIONS)?.insert((), self.transactions.get())?;
        transaction.commit()?;
        Ok(())
    }

    /// What went wrong: what the disk said, or else the database has found something in itself.
    fn failure(&self) -> Failure {
        self.shared.failure().unwrap_or(Failure::Damaged)
    }

    fn explain(&self, error: redb::Error) -> OpenError {
        match self.failure() {
            Failure::Damaged => OpenError::Damaged(error.to_string()),
            failure => OpenError::Failed(failure),
        }
    }
}

/// Why there is no answer to a transaction.
enum Setback {
    /// It has done nothing. A part of it may be possible.
    Undone(Failure),
    /// The disk fails. Nobody knows what it has done.
    Unknown(Failure),
}

/// Whether both ends of the disk are zeroes.
fn is_blank(device: &impl Device) -> Result<bool, DeviceError> {
    let mut bytes = vec![0; 64 << 10];
    let size = device.size() / PAGE as u64 * PAGE as u64;
    let ends = [(0, BLANK.min(size)), (size.saturating_sub(BLANK).max(BLANK.min(size)), size)];
    for (start, end) in ends {
        let mut at = start;
        while at < end {
            let piece = usize::try_from(end - at).unwrap_or(usize::MAX).min(bytes.len());
            device.read_blocking(at, &mut bytes[..piece])?;
            if bytes[..piece].iter().any(|&byte| byte != 0) {
                return Ok(false);
            }
            at += piece as u64;
        }
    }
    Ok(true)
}

/// The answer where something could not be done.
fn refusal(failure: Failure) -> Reply {
    let kind = match failure {
        Failure::Full | Failure::Large => "OOM",
        Failure::Write(_) => "MISCONF",
        Failure::Read(_) | Failure::Damaged => "ERR",
    };
    Reply::error(format!("{kind} {failure}"))
}

/// Answers a command that writes nothing; nothing if it writes.
fn read(
    table: &impl ReadableTable<&'static [u8], &'static [u8]>,
    command: &Command,
) -> Result<Option<Reply>, StorageError> {
    Ok(Some(match command {
        Command::Get(key) => {
            table.get(key.as_slice())?.map_or(Reply::Nil, |value| Reply::Bulk(value.value().to_vec()))
        }
        Command::Exists(keys) => {
            let mut count = 0;
            for key in keys {
                count += i64::from(table.get(key.as_slice())?.is_some());
            }
            Reply::Integer(count)
        }
        Command::Count => Reply::Integer(i64::try_from(table.len()?).unwrap_or(i64::MAX)),
        Command::Set(..) | Command::Delete(_) | Command::Add(..) => return Ok(None),
    }))
}

/// Does a command within a transaction.
fn execute(
    table: &mut Table<'_, &'static [u8], &'static [u8]>,
    command: &Command,
) -> Result<Reply, StorageError> {
    Ok(match command {
        Command::Set(key, value) => {
            table.insert(key.as_slice(), value.as_slice())?;
            Reply::OK
        }
        Command::Delete(keys) => {
            let mut count = 0;
            for key in keys {
                count += i64::from(table.remove(key.as_slice())?.is_some());
            }
            Reply::Integer(count)
        }
        Command::Add(key, by) => {
            let old = match table.get(key.as_slice())? {
                None => Some(0),
                Some(value) => integer(value.value()),
            };
            let Some(old) = old else { return Ok(not_an_integer()) };
            let Some(new) = old.checked_add(*by) else {
                return Ok(Reply::Error("ERR increment or decrement would overflow".into()));
            };
            table.insert(key.as_slice(), new.to_string().as_bytes())?;
            Reply::Integer(new)
        }
        Command::Get(_) | Command::Exists(_) | Command::Count => read(table, command)?.unwrap_or(Reply::Nil),
    })
}
