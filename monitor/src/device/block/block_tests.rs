use super::super::testing::{Rig, skip};
use super::*;
use crate::memory::GuestBuffer;
use std::fs::{self, File};
use std::io::Write;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::fs::{FileExt, FileTypeExt};
use std::path::PathBuf;
use std::sync::{Condvar, Mutex};
use std::time::Instant;
use vm_memory::VolatileSlice;

const KIB: usize = 1024;

/// A file that is gone when this is dropped.
pub(super) struct Image(pub(super) PathBuf);

impl Image {
    pub(super) fn new(name: &str, size: u64) -> Self {
        let path = std::env::temp_dir().join(format!("ukvm-block-{}-{name}", std::process::id()));
        File::create(&path).unwrap().set_len(size).unwrap();
        Self(path)
    }

    pub(super) fn config(&self, read_only: bool) -> DiskConfig {
        DiskConfig {
            name: None,
            source: DiskSource::Path(self.0.clone()),
            read_only,
            direct: false,
            block_size: None,
        }
    }

    fn open(&self, read_only: bool) -> Result<Block, Error> {
        Block::open(self.config(read_only), &Arc::new(Worker::start().unwrap()))
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn in_memory(size: u64) -> File {
    // SAFETY: the name is a valid C string.
    let fd = unsafe { libc::memfd_create(c"disk".as_ptr(), libc::MFD_CLOEXEC) };
    assert!(fd >= 0);
    // SAFETY: a new descriptor that nobody else knows.
    let file = unsafe { File::from_raw_fd(fd) };
    file.set_len(size).unwrap();
    file
}

fn of_descriptor(fd: RawFd, read_only: bool) -> Result<Block, Error> {
    let config =
        DiskConfig { name: None, source: DiskSource::Fd(fd), read_only, direct: false, block_size: None };
    Block::open(config, &Arc::new(Worker::start().unwrap()))
}

/// What a test makes of a backend.
#[derive(Debug, Default)]
struct Script {
    hold: Mutex<bool>,
    released: Condvar,
    flushes: Mutex<u32>,
    fail_flush: Mutex<bool>,
}

impl Script {
    fn set_held(&self, held: bool) {
        *self.hold.lock().unwrap() = held;
        self.released.notify_all();
    }

    fn pass(&self) {
        let held = self.hold.lock().unwrap();
        drop(self.released.wait_while(held, |held| *held).unwrap());
    }
}

/// Has half of each read at once, and the rest when the script lets it.
#[derive(Debug)]
struct Scripted(Arc<Script>);

impl BlockBackend for Scripted {
    fn capacity(&self) -> u64 {
        1 << 20
    }
    fn block_size(&self) -> u32 {
        512
    }
    fn is_read_only(&self) -> bool {
        false
    }
    fn read_now(&self, into: &VolatileSlice<'_>, _offset: u64) -> io::Result<usize> {
        let half = into.subslice(0, into.len() / 2).unwrap();
        half.copy_from(&vec![1_u8; half.len()]);
        Ok(half.len())
    }
    fn read(&self, into: &VolatileSlice<'_>, offset: u64) -> io::Result<()> {
        self.0.pass();
        into.copy_from(&vec![(offset / 512) as u8; into.len()]);
        Ok(())
    }
    fn write(&self, _from: &VolatileSlice<'_>, _offset: u64) -> io::Result<()> {
        self.0.pass();
        Err(io::Error::from_raw_os_error(libc::ENOSPC))
    }
    fn flush(&self) -> io::Result<()> {
        *self.0.flushes.lock().unwrap() += 1;
        if *self.0.fail_flush.lock().unwrap() { Err(io::Error::from_raw_os_error(libc::EIO)) } else { Ok(()) }
    }
    fn write_zeroes(&self, _offset: u64, _length: u64) -> io::Result<()> {
        Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP))
    }
}

fn scripted() -> (Arc<Script>, Rig<Block>) {
    let script = Arc::new(Script::default());
    let backend = Box::new(Scripted(Arc::clone(&script)));
    let config = DiskConfig {
        name: Some("slow".into()),
        source: DiskSource::Backend(backend),
        read_only: false,
        direct: false,
        block_size: None,
    };
    let block = Block::open(config, &Arc::new(Worker::start().unwrap())).unwrap();
    (script, Rig::new(block))
}

/// Everything that a disk can do, on 1 MiB.
pub(super) fn exercise(mut rig: Rig<Block>) -> Rig<Block> {
    let none = GuestBuffer::default();
    let bytes: Vec<u8> = (0..128 * KIB).map(|i| (i % 255) as u8 + 1).collect();
    let buffer = rig.put(0, &bytes);
    rig.submit(Opcode::BlockWrite, 1, buffer, 4096);
    rig.submit(Opcode::BlockFlush, 2, none, 0);
    assert_eq!(rig.wanted().len(), 1);
    assert_eq!(rig.completions(2), [(1, Ok(128 << 10)), (2, Ok(0))]);
    assert!(rig.wanted().is_empty());

    let back = rig.buffer(1 << 20, 128 * KIB);
    rig.submit(Opcode::BlockRead, 3, back, 4096);
    assert_eq!(rig.completions(1), [(3, Ok(128 << 10))]);
    assert!(rig.bytes(1 << 20, 128 * KIB) == bytes);

    rig.submit_length(Opcode::BlockWriteZeroes, 4, none, 8192, 8192);
    rig.submit_length(Opcode::BlockDiscard, 5, none, 4096, 32768);
    rig.submit_length(Opcode::BlockDiscard, 6, none, 0, 0);
    let mut ended = rig.completions(3);
    ended.sort_by_key(|(user_data, _)| *user_data);
    assert_eq!(ended[0], (4, Ok(8192)));
    assert!(matches!(ended[1], (5, Ok(4096) | Err(Status::NotSupported))));
    assert_eq!(ended[2], (6, Ok(0)));
    rig.submit(Opcode::BlockRead, 7, back, 4096);
    assert_eq!(rig.completions(1), [(7, Ok(128 << 10))]);
    let read = rig.bytes(1 << 20, 128 * KIB);
    assert!(read[..4096] == bytes[..4096]);
    assert!(read[4096..12288].iter().all(|&byte| byte == 0));
    assert!(read[12288..28672] == bytes[12288..28672]);

    // More than is read in one go on this thread.
    let all = rig.buffer(2 << 20, 2 << 20);
    let capacity = rig.device.capacity();
    if capacity >= 2 << 20 {
        rig.submit(Opcode::BlockRead, 8, all, 0);
        assert_eq!(rig.taken(), []);
        assert_eq!(rig.completions(1), [(8, Ok(2 << 20))]);
        assert!(rig.bytes((2 << 20) + 4096, 4096) == bytes[..4096]);
    }
    let counters = rig.device.counters();
    assert_eq!((counters.errors, counters.dropped), (0, 0));
    assert_eq!(counters.bytes_out, 128 << 10);
    rig
}

#[test]
fn a_file_on_disk() {
    let image = Image::new("file", 2 << 20);
    let mut rig = exercise(Rig::new(image.open(false).unwrap()));
    assert_eq!((rig.device.capacity(), rig.device.block_size()), (2 << 20, 512));
    assert!(!rig.device.read_only());
    // What the host has to fetch from its disk.
    let file = File::open(&image.0).unwrap();
    file.sync_all().unwrap();
    // SAFETY: the call has no preconditions.
    unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
    let buffer = rig.buffer(0, 1 << 20);
    rig.submit(Opcode::BlockRead, 1, buffer, 0);
    assert_eq!(rig.completions(1), [(1, Ok(1 << 20))]);
    let mut expected = vec![0; 1 << 20];
    file.read_exact_at(&mut expected, 0).unwrap();
    assert!(rig.bytes(0, 1 << 20) == expected);
    rig.submit(Opcode::BlockRead, 2, buffer, 0);
    assert_eq!(rig.taken(), [(2, Ok(1 << 20))]);
}

#[test]
fn a_file_in_memory_is_read_at_once() {
    let file = in_memory(2 << 20);
    let mut rig = exercise(Rig::new(of_descriptor(file.as_raw_fd(), false).unwrap()));
    let buffer = rig.buffer(0, 1 << 20);
    rig.submit(Opcode::BlockRead, 1, buffer, 0);
    assert_eq!(rig.taken(), [(1, Ok(1 << 20))]);
}

#[test]
fn what_a_guest_may_not_ask_for() {
    let image = Image::new("checks", 64 << 10);
    let mut rig = Rig::new(image.open(false).unwrap());
    let (none, block) = (GuestBuffer::default(), rig.buffer(0, 512));
    rig.submit(Opcode::BlockRead, 1, block, 1);
    rig.submit(Opcode::BlockRead, 2, block.truncate(511), 0);
    rig.submit(Opcode::BlockWrite, 3, block, 64 << 10);
    rig.submit(Opcode::BlockRead, 4, block, u64::MAX - 511);
    rig.submit_length(Opcode::BlockDiscard, 5, none, u64::MAX - 511, 512);
    rig.submit_length(Opcode::BlockWriteZeroes, 6, none, (64 << 10) + 512, 0);
    let long = rig.buffer(0, (16 << 20) + 512);
    rig.submit(Opcode::BlockRead, 7, long, 0);
    rig.submit(Opcode::ConsoleRead, 8, block, 0);
    rig.submit(Opcode::BlockRead, 9, none, 64 << 10);
    let (invalid, outside) = (Err(Status::Invalid), Err(Status::OutOfRange));
    assert_eq!(
        rig.taken(),
        [
            (1, invalid),
            (2, invalid),
            (3, outside),
            (4, outside),
            (5, outside),
            (6, outside),
            (7, invalid),
            (8, Err(Status::BadDevice)),
            (9, Ok(0)),
        ]
    );
    assert!(rig.wanted().is_empty());
}

#[test]
fn a_read_only_disk() {
    let image = Image::new("read-only", 64 << 10);
    let mut rig = Rig::new(image.open(true).unwrap());
    assert!(rig.device.read_only());
    let (none, block) = (GuestBuffer::default(), rig.buffer(0, 512));
    rig.submit(Opcode::BlockWrite, 1, block, 0);
    rig.submit_length(Opcode::BlockDiscard, 2, none, 512, 0);
    rig.submit_length(Opcode::BlockWriteZeroes, 3, none, 512, 0);
    rig.submit(Opcode::BlockFlush, 4, none, 0);
    let refused = Err(Status::ReadOnly);
    assert_eq!(rig.taken(), [(1, refused), (2, refused), (3, refused), (4, Ok(0))]);
    rig.submit(Opcode::BlockRead, 5, block, 0);
    assert_eq!(rig.completions(1), [(5, Ok(512))]);
}

#[test]
fn a_disk_that_hangs_holds_up_nobody() {
    let (script, mut rig) = scripted();
    script.set_held(true);
    let buffer = rig.buffer(0, 1024);
    let start = Instant::now();
    rig.submit(Opcode::BlockRead, 1, buffer, 1024);
    rig.submit(Opcode::BlockWrite, 2, buffer, 0);
    rig.advance();
    assert!(!rig.wait(Duration::from_millis(20)));
    assert!(start.elapsed() < Duration::from_secs(1));
    assert_eq!(rig.taken(), []);
    script.set_held(false);
    assert_eq!(rig.completions(2), [(1, Ok(1024)), (2, Err(Status::NoSpace))]);
    // The first half was there at once, the second half is of the block behind it.
    assert_eq!(rig.bytes(0, 1024), [[1; 512], [3; 512]].concat());
    rig.submit_length(Opcode::BlockDiscard, 3, GuestBuffer::default(), 512, 0);
    rig.submit_length(Opcode::BlockWriteZeroes, 4, GuestBuffer::default(), 512, 0);
    assert_eq!(rig.completions(2), [(3, Err(Status::NotSupported)), (4, Err(Status::NotSupported))]);
    let counters = rig.device.counters();
    assert_eq!((counters.errors, counters.bytes_in, counters.requests_in), (1, 1024, 1));
}

#[test]
fn the_end_does_not_wait_for_a_disk_that_hangs() {
    let (script, mut rig) = scripted();
    script.set_held(true);
    let buffer = rig.buffer(0, 1024);
    rig.submit(Opcode::BlockRead, 1, buffer, 1024);
    rig.submit(Opcode::BlockFlush, 2, GuestBuffer::default(), 0);
    let memory = Arc::downgrade(&rig.memory);
    let backend = Arc::downgrade(&script);
    std::thread::sleep(Duration::from_millis(50));
    drop(rig);
    assert!(memory.upgrade().is_some(), "the read still writes there");
    script.set_held(false);
    assert_eq!(*script.flushes.lock().unwrap(), 0);
    drop(script);
    let end = Instant::now() + Duration::from_secs(20);
    while memory.upgrade().is_some() || backend.upgrade().is_some() {
        assert!(Instant::now() < end, "the thread keeps what it had");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn after_a_failed_flush_none_succeeds() {
    let (script, mut rig) = scripted();
    *script.fail_flush.lock().unwrap() = true;
    let none = GuestBuffer::default();
    rig.submit(Opcode::BlockFlush, 1, none, 0);
    assert_eq!(rig.completions(1), [(1, Err(Status::Io))]);
    *script.fail_flush.lock().unwrap() = false;
    rig.submit(Opcode::BlockFlush, 2, none, 0);
    assert_eq!(rig.taken(), [(2, Err(Status::Io))]);
    assert_eq!(*script.flushes.lock().unwrap(), 1);
}

#[test]
fn a_file_that_shrinks_is_an_error_of_reads_and_writes() {
    let image = Image::new("shrinks", 64 << 10);
    let memory = in_memory(64 << 10);
    for (block, file) in [
        (image.open(false).unwrap(), File::options().write(true).open(&image.0).unwrap()),
        (of_descriptor(memory.as_raw_fd(), false).unwrap(), memory.try_clone().unwrap()),
    ] {
        let mut rig = Rig::new(block);
        file.set_len(4096).unwrap();
        let buffer = rig.buffer(0, 8192);
        rig.submit(Opcode::BlockRead, 1, buffer, 0);
        assert_eq!(rig.completions(1), [(1, Err(Status::Io))]);
        assert_eq!(rig.device.counters().errors, 1);
        // A write does not make it longer again, as if nothing had been lost.
        for offset in [0, 8192] {
            rig.submit(Opcode::BlockWrite, 2, buffer, offset);
            assert_eq!(rig.completions(1), [(2, Err(Status::Io))]);
            rig.submit_length(Opcode::BlockWriteZeroes, 3, rig.buffer(0, 0), 8192, offset);
            assert_eq!(rig.completions(1), [(3, Err(Status::Io))]);
        }
        assert_eq!(file.metadata().unwrap().len(), 4096);
        file.set_len(64 << 10).unwrap();
        rig.submit(Opcode::BlockWrite, 4, buffer, 8192);
        assert_eq!(rig.completions(1), [(4, Ok(8192))]);
    }
}

fn refused(result: Result<Block, Error>) -> (ErrorKind, String) {
    let error = result.unwrap_err();
    (error.kind(), error.to_string())
}

#[test]
fn disks_that_cannot_be_opened() {
    use ErrorKind::{BadConfig, MissingFile, NoPermission};
    let open = |path: &str| {
        let source = DiskSource::Path(path.into());
        Block::open(
            DiskConfig { name: None, source, read_only: false, direct: false, block_size: None },
            &Arc::new(Worker::start().unwrap()),
        )
    };
    assert_eq!(
        refused(open("/nowhere/disk.img")),
        (
            MissingFile,
            "disk `/nowhere/disk.img` does not exist: \
             create it, for example with `truncate -s 64M /nowhere/disk.img`"
                .into()
        )
    );
    assert_eq!(
        refused(open("/")),
        (BadConfig, "disk `/` is a directory: name an image file or a block device".into())
    );
    assert_eq!(
        refused(open("/dev/null")),
        (BadConfig, "disk `/dev/null` is a character device: name an image file or a block device".into())
    );
    let fifo = Image::new("fifo", 0);
    fs::remove_file(&fifo.0).unwrap();
    let name = std::ffi::CString::new(fifo.0.to_str().unwrap()).unwrap();
    // SAFETY: the name is a valid C string.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
    assert!(fs::metadata(&fifo.0).unwrap().file_type().is_fifo());
    assert!(refused(fifo.open(true)).1.contains("is a pipe"));

    let empty = Image::new("empty", 0);
    let (kind, message) = refused(empty.open(true));
    assert_eq!(kind, BadConfig);
    assert!(message.contains("is empty: give it a size"), "{message}");
    let odd = Image::new("odd", 1025);
    let (kind, message) = refused(odd.open(false));
    assert_eq!(kind, BadConfig);
    assert!(message.contains("has 1025 bytes, which is no multiple of its block size 512"), "{message}");
    assert!(message.contains("`truncate -s 1536 "), "{message}");

    let denied = io::Error::from_raw_os_error(libc::EACCES);
    let error = file::cannot_open("disk.img", &denied, false);
    assert_eq!(error.kind(), NoPermission);
    assert_eq!(
        error.to_string(),
        "no permission to write to disk `disk.img` (Permission denied (os error 13)): \
         add `,ro` to only read it, or change its mode"
    );
    let error = file::cannot_open("disk.img", &io::Error::from_raw_os_error(libc::EROFS), false);
    assert_eq!(error.kind(), NoPermission);
}

#[test]
fn a_disk_has_one_writer_or_many_readers() {
    let image = Image::new("lock", 64 << 10);
    let first = image.open(true).unwrap();
    let second = image.open(true).unwrap();
    let (kind, message) = refused(image.open(false));
    assert_eq!(kind, ErrorKind::BadConfig);
    assert!(message.contains("is in use already: end what uses it, or have all its users add `,ro`"));
    drop((first, second));
    let writer = image.open(false).unwrap();
    assert_eq!(refused(image.open(true)).0, ErrorKind::BadConfig);
    assert_eq!(refused(image.open(false)).0, ErrorKind::BadConfig);
    // The lock goes with the device, also after the worker has been used.
    let mut rig = Rig::new(writer);
    let buffer = rig.buffer(0, 512);
    rig.submit(Opcode::BlockWrite, 1, buffer, 0);
    rig.completions(1);
    drop(rig);
    image.open(false).unwrap();
}

#[test]
fn a_descriptor_must_serve() {
    let image = Image::new("descriptor", 64 << 10);
    let for_reading = File::open(&image.0).unwrap();
    assert_eq!(refused(of_descriptor(for_reading.as_raw_fd(), false)).0, ErrorKind::BadConfig);
    drop(of_descriptor(for_reading.as_raw_fd(), true).unwrap());
    drop(for_reading);
    let for_writing = File::options().write(true).open(&image.0).unwrap();
    assert_eq!(refused(of_descriptor(for_writing.as_raw_fd(), false)).0, ErrorKind::BadConfig);
    let at_end = File::options().read(true).append(true).open(&image.0).unwrap();
    assert!(refused(of_descriptor(at_end.as_raw_fd(), false)).1.contains("O_APPEND"));
    let (kind, message) = refused(of_descriptor(1000, false));
    assert_eq!(kind, ErrorKind::BadConfig);
    assert_eq!(message, "disk `fd:1000` is not open: open it before, as with `1000<>disk.img` in a shell");
}

#[test]
fn the_thread_takes_no_signals() {
    let worker = Worker::start().unwrap();
    // Its name and mask are there once it runs; other tests have such threads as well.
    std::thread::sleep(Duration::from_millis(20));
    let mut seen = 0;
    for task in fs::read_dir("/proc/self/task").unwrap() {
        let Ok(status) = fs::read_to_string(task.unwrap().path().join("status")) else { continue };
        if status.starts_with("Name:\tukvm-disk\n") {
            let blocked = status.lines().find(|line| line.starts_with("SigBlk:")).unwrap();
            let mask = u64::from_str_radix(blocked["SigBlk:".len()..].trim(), 16).unwrap();
            let terminate = 1 << (libc::SIGTERM - 1) | 1 << (libc::SIGINT - 1) | 1 << (libc::SIGUSR1 - 1);
            assert_eq!(mask & terminate, terminate, "{blocked}");
            seen += 1;
        }
    }
    assert!(seen > 0);
    drop(worker);
}

#[test]
fn a_block_device_of_the_host() {
    const LOOP_SET_FD: libc::c_ulong = 0x4c00;
    const LOOP_CLR_FD: libc::c_ulong = 0x4c01;
    const LOOP_CTL_GET_FREE: libc::c_ulong = 0x4c82;
    let control = match File::options().read(true).write(true).open("/dev/loop-control") {
        Ok(control) => control,
        Err(error) => {
            return println!("skipped: no loop device, as /dev/loop-control can't be opened: {error}");
        }
    };
    let mut image = in_memory(2 << 20);
    image.write_all(b"loop").unwrap();
    // SAFETY: the call has no preconditions.
    let number = unsafe { libc::ioctl(control.as_raw_fd(), LOOP_CTL_GET_FREE) };
    let path = format!("/dev/loop{number}");
    let device = match File::options().read(true).write(true).open(&path) {
        Ok(device) => device,
        Err(error) => return skip(&format!("{path} can't be opened: {error}")),
    };
    // SAFETY: the request takes a descriptor by value.
    let bound = unsafe { libc::ioctl(device.as_raw_fd(), LOOP_SET_FD, image.as_raw_fd()) };
    if bound < 0 {
        return skip(&format!("{path} can't be used: {}", io::Error::last_os_error()));
    }
    let source = DiskSource::Path(path.into());
    let config = DiskConfig { name: None, source, read_only: false, direct: false, block_size: None };
    let opened = Block::open(config, &Arc::new(Worker::start().unwrap()));
    // The device goes away when the last one closes it, however this test ends.
    // SAFETY: the request takes no argument.
    unsafe { libc::ioctl(device.as_raw_fd(), LOOP_CLR_FD) };
    let mut rig = exercise(Rig::new(opened.unwrap()));
    assert_eq!(rig.device.capacity(), 2 << 20);
    let buffer = rig.buffer(0, 512);
    rig.submit(Opcode::BlockRead, 1, buffer, 0);
    assert_eq!(rig.completions(1), [(1, Ok(512))]);
    assert_eq!(rig.bytes(0, 4), b"loop");
}

#[test]
fn what_can_be_mapped() {
    let room = 1 << 20;
    let image = Image::new("mapped", (64 << 10) + 512);
    let mapping = image.open(true).unwrap().map(room).expect("a small file");
    assert_eq!(mapping.size(), 17 * 4096);
    assert!(mapping.host_address().is_multiple_of(2 << 20));
    // It holds the file, and so its lock, until it goes.
    drop(mapping);
    assert!(image.open(true).unwrap().map(64 << 10).is_none(), "it has no room");
    assert!(image.open(false).unwrap().map(room).is_none(), "it can be written");
    let memory = in_memory(64 << 10);
    assert!(of_descriptor(memory.as_raw_fd(), true).unwrap().map(room).is_some());
    let (_, rig) = scripted();
    assert!(rig.device.map(2 << 20).is_none(), "it has no file");
}
