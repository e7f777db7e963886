//! Looking users up on sound file systems, and on disks that fail.

use crate::images::{KINDS, MemoryDisk, image};
use auth_service::accounts::verify;
use auth_service::user::UserName;
use embassy_futures::block_on;
use fatfs::FatType;

/// Whether the disk says that this is the password.
fn check(disk: &MemoryDisk, user: &str, password: &str) -> Result<bool, String> {
    let user = UserName::new(user.as_bytes()).unwrap();
    block_on(verify(disk, user, password.as_bytes())).map_err(|failed| failed.to_string())
}

#[test]
fn users_of_all_kinds_of_fat_are_found() {
    let long = "a rather long name that no 8.3 entry can hold.with.dots";
    let files: [(&str, &[u8]); 5] =
        [("ann", b"secret\n"), ("BOB.TXT", b"1234"), (long, b"x y"), ("J\u{fc}rgen", b"pw"), ("empty", b"")];
    for (kind, ..) in KINDS {
        let disk = MemoryDisk::new(image(kind, &files));
        for (user, password) in [
            ("ann", "secret"),
            ("ANN", "secret"),
            ("Ann", "secret"),
            ("bob.txt", "1234"),
            (long, "x y"),
            (&long.to_uppercase(), "x y"),
            ("ARATHE~1.DOT", "x y"),
            ("J\u{dc}RGEN", "pw"),
            ("empty", ""),
        ] {
            assert_eq!(check(&disk, user, password), Ok(true), "{user} on {kind:?}");
            assert_eq!(check(&disk, user, "wrong"), Ok(false), "{user} on {kind:?}");
        }
        for nobody in
            ["an", "anna", "bob", "bob txt", "BOB     TXT", "ann ", "ann.", "*", "?nn", "a:n", "empt"]
        {
            assert_eq!(check(&disk, nobody, "secret"), Ok(false), "{nobody} on {kind:?}");
        }
    }
}

#[test]
fn directories_labels_and_deleted_files_are_no_users() {
    for (kind, ..) in KINDS {
        let mut bytes = image(kind, &[("home/", b""), ("deleted", b"pw")]);
        let entry = bytes.windows(11).position(|name| name == b"DELETED    ").unwrap();
        bytes[entry] = 0xe5;
        let disk = MemoryDisk::new(bytes);
        // The label of the volume is ANN.
        for nobody in ["ann", "home", "deleted", "eleted"] {
            for password in ["", "pw"] {
                assert_eq!(check(&disk, nobody, password), Ok(false), "{nobody} on {kind:?}");
            }
        }
    }
}

#[test]
fn a_lookup_takes_few_reads() {
    let password = "x".repeat(4000);
    let names: Vec<String> = (0..480).map(|number| format!("u{number}")).collect();
    // On FAT32 the files lie among the 61 clusters of the directory, so that a read brings few of these.
    for (kind, users, most) in [(FatType::Fat12, 200, 8), (FatType::Fat16, 200, 8), (FatType::Fat32, 480, 24)]
    {
        let mut files: Vec<(&str, &[u8])> = names.iter().map(|name| (&**name, b"pw" as &[u8])).collect();
        files.truncate(users);
        files.push(("zoe", password.as_bytes()));
        let disk = MemoryDisk::new(image(kind, &files));
        assert_eq!(check(&disk, "zoe", &password), Ok(true), "{kind:?}");
        assert_eq!(check(&disk, &names[users - 1], "pw"), Ok(true), "{kind:?}");
        let first = count(&disk, "u0");
        assert!(first <= 4, "{kind:?}: {first} reads");
        let last = count(&disk, "zoe");
        assert!(last <= most, "{kind:?}: {last} reads");
        let missing = count(&disk, "nobody");
        assert!(missing.abs_diff(last) <= 2, "{kind:?}: {missing} and {last} reads");
    }
}

/// The reads of one lookup.
fn count(disk: &MemoryDisk, user: &str) -> u32 {
    disk.reads.set(0);
    check(disk, user, "wrong").unwrap();
    disk.reads.get()
}

#[test]
fn fragmented_files_and_directories_are_followed() {
    for (kind, ..) in KINDS {
        // Two files that grow in turns, among others that make the directory grow.
        let mut bytes = std::io::Cursor::new(image(kind, &[]));
        let volume = fatfs::FileSystem::new(&mut bytes, fatfs::FsOptions::new()).unwrap();
        let root = volume.root_dir();
        let (mut ann, mut bob) = (root.create_file("ann").unwrap(), root.create_file("bob").unwrap());
        for step in 0..8 {
            use std::io::Write;
            ann.write_all(&[b'a'; 500]).unwrap();
            bob.write_all(&[b'b'; 500]).unwrap();
            for number in 0..10 {
                root.create_file(&format!("a filler with a long name {step} {number}")).unwrap();
            }
        }
        drop((ann, bob, root));
        volume.unmount().unwrap();
        let disk = MemoryDisk::new(bytes.into_inner());
        assert_eq!(check(&disk, "ann", &"a".repeat(4000)), Ok(true), "{kind:?}");
        assert_eq!(check(&disk, "bob", &"b".repeat(4000)), Ok(true), "{kind:?}");
        assert_eq!(check(&disk, "A filler with a long name 7 9", ""), Ok(true), "{kind:?}");
    }
}

#[test]
fn a_password_changed_on_the_disk_counts_from_the_next_request() {
    let mut disk = MemoryDisk::new(image(FatType::Fat16, &[("ann", b"secret")]));
    assert_eq!(check(&disk, "ann", "secret"), Ok(true));
    let place = disk.bytes.windows(6).position(|bytes| bytes == b"secret").unwrap();
    disk.bytes[place..place + 6].copy_from_slice(b"terces");
    assert_eq!(check(&disk, "ann", "secret"), Ok(false));
    assert_eq!(check(&disk, "ann", "terces"), Ok(true));
}

#[test]
fn what_cannot_be_read_is_an_error_and_not_an_answer() {
    let mut disk = MemoryDisk::new(image(FatType::Fat16, &[("ann", b"secret")]));
    let file = disk.bytes.windows(6).position(|bytes| bytes == b"secret").unwrap() as u64;
    let root = disk.bytes.windows(11).position(|name| name == b"ANN        ").unwrap() as u64;
    for bad in [0, file, root] {
        disk.bad = bad..bad + 1;
        assert_eq!(check(&disk, "ann", "secret"), Err("the disk cannot be read".into()), "{bad}");
    }
    disk.bad = file..file + 1;
    assert!(check(&disk, "nobody", "secret").is_err(), "a failing disk tells who exists");
}

#[test]
fn what_is_no_file_system_is_an_error() {
    for bytes in [vec![], vec![0; 512], vec![0xff; 4096], vec![0; 1 << 20]] {
        let failed = check(&MemoryDisk::new(bytes), "ann", "secret").unwrap_err();
        assert!(failed.starts_with("the file system is broken"), "{failed}");
    }
}
