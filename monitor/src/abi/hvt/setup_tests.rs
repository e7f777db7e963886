use super::super::builder::Builder;
use super::*;
use crate::abi::setup::Setup as _;
use crate::config::{ConsoleConfig, DiskSource};
use crate::device::block::SizeError;
use std::error::Error as _;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

fn checked(change: impl FnOnce(&mut Config)) -> Result<(), String> {
    let mut config = Config::new("app.hvt");
    change(&mut config);
    let result = Setup::new(Builder::new().open().unwrap()).check(&config);
    result.map_err(|error| {
        assert_eq!(error.kind(), ErrorKind::BadConfig);
        error.to_string()
    })
}

#[test]
fn what_a_guest_cannot_be_told_is_refused() {
    assert_eq!(checked(|_| {}), Ok(()));
    assert_eq!(checked(|config| config.aslr = Aslr::Off), Ok(()));
    assert_eq!(checked(|config| config.as_solo5 = true), Ok(()));
    assert_eq!(
        checked(|config| config.environment = vec![("A".into(), "1".into())]).unwrap_err(),
        "a Solo5 unikernel has no environment: remove --env, and give it arguments behind its name"
    );
    assert_eq!(
        checked(|config| config.console = ConsoleConfig::Descriptors { input: 0, output: 1, raw: true })
            .unwrap_err(),
        "a Solo5 unikernel has no console input: remove --raw"
    );
    assert_eq!(
        checked(|config| config.aslr = Aslr::Seed(1)).unwrap_err(),
        "a Solo5 unikernel has fixed addresses: remove --aslr-seed"
    );
}

/// A disk of `size` bytes, with sectors of the size that is wanted.
fn disk(size: u64, block_size: Option<u32>) -> Result<Disk, Error> {
    // SAFETY: the name is a valid C string.
    let fd = unsafe { libc::memfd_create(c"disk".as_ptr(), libc::MFD_CLOEXEC) };
    assert!(fd >= 0);
    // SAFETY: a new descriptor that nobody else knows.
    let file = std::fs::File::from(unsafe { OwnedFd::from_raw_fd(fd) });
    file.set_len(size).unwrap();
    let source = DiskSource::Fd(file.as_raw_fd());
    Disk::open(DiskConfig { name: None, source, read_only: false, direct: false, block_size })
}

#[test]
fn a_disk_has_the_sectors_that_are_wanted() {
    for (wanted, found) in [(None, 512), (Some(512), 512), (Some(4096), 4096), (Some(32768), 32768)] {
        let disk = disk(65536, wanted).unwrap();
        assert_eq!((disk.block_size(), disk.capacity()), (found, 65536));
    }
    let refused = |size, wanted| {
        let error = disk(size, Some(wanted)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadConfig);
        let cause = error.source().and_then(|cause| cause.downcast_ref::<SizeError>());
        assert_eq!(cause.map(SizeError::to_string), Some(error.to_string()), "the cause stays with it");
        error.to_string()
    };
    for size in [0, 1, 256, 1000, 65536] {
        let sentence = refused(65536, size);
        let end = format!(" cannot have sectors of {size} bytes: use a power of two from 512 to 32768");
        assert!(sentence.ends_with(&end), "{sentence}");
    }
    let sentence = refused(7680, 4096);
    assert!(
        sentence.contains(" has 7680 bytes, which is no multiple of its block size 4096: "),
        "{sentence}"
    );
}
