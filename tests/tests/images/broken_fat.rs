//! File systems that are cut short, damaged, or made to do harm.

use crate::fat::{KINDS, image};
use crate::volume::{Disk, Noon};
use crate::world::{FAT, Memory, directory, open, read_all, refusal, wait, write};
use ukvm_storage::fat::{OpenOptions, Volume};
use ukvm_storage::{OpenError, Store};
use ukvm_tests::random::Random;

ukvm_tests::tests! {
    a_disk_smaller_than_its_file_system .needs(FAT);
    sizes_and_clusters_that_lie .needs(FAT);
    chains_that_go_in_circles .needs(FAT);
    directories_inside_themselves .needs(FAT);
    directories_that_go_on_in_one_another .needs(FAT);
    files_with_clusters_in_common .needs(FAT);
    names_that_lead_out .needs(FAT);
    boot_sectors_that_are_none .needs(FAT);
    an_index_has_a_limit .needs(FAT);
    a_disk_that_cannot_be_read_is_an_error .needs(FAT);
    random_damage_is_survived .needs(FAT);
}

/// A file system of each kind, with a few files.
fn images() -> [Vec<u8>; 3] {
    let directory = directory();
    let tree = directory.path();
    write(tree, "user", vec![b'x'; 5000]);
    write(tree, "other", vec![b'y'; 5000]);
    write(tree, "home/below/deep", "x");
    write(tree, "a file with a long name", "x");
    KINDS.map(|kind| image(tree, kind))
}

/// The place of the entry with this short name.
fn entry(bytes: &[u8], name: &[u8; 11]) -> usize {
    bytes.windows(11).position(|window| window == name).unwrap()
}

/// The first cluster of the entry at this place.
fn first_cluster(bytes: &[u8], entry: usize) -> usize {
    usize::from(u16::from_le_bytes([bytes[entry + 26], bytes[entry + 27]]))
}

fn set_first_cluster(bytes: &mut [u8], entry: usize, cluster: usize) {
    bytes[entry + 26..entry + 28].copy_from_slice(&(cluster as u16).to_le_bytes());
}

/// Lets the cluster lead on to another one, in both FATs of a FAT16 or FAT32.
fn set_link(bytes: &mut [u8], cluster: usize, next: u32) {
    let half = |at: usize| usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
    let start = half(14) * 512;
    let (width, length) = match half(22) {
        0 => (4, half(36) * 512),
        sectors => (2, sectors * 512),
    };
    for fat in [start, start + length] {
        let at = fat + cluster * width;
        bytes[at..at + width].copy_from_slice(&next.to_le_bytes()[..width]);
    }
}

fn a_disk_smaller_than_its_file_system() {
    for bytes in images() {
        let cut = bytes.len() / 2;
        let reason = refusal(&bytes[..cut]);
        let expected = "the FAT file system is cut short: it says that it has ";
        assert!(reason.starts_with(expected) && reason.ends_with(&format!("the disk has {cut}")), "{reason}");
        let refused = wait(Volume::mount::<Noon>(Disk::new(bytes[..cut].to_vec()))).unwrap_err();
        assert_eq!(refused.to_string(), reason);
    }
}

fn sizes_and_clusters_that_lie() {
    for bytes in images() {
        let user = entry(&bytes, b"USER       ");
        let mut longer = bytes.clone();
        longer[user + 28..user + 32].copy_from_slice(&10_000_000_u32.to_le_bytes());
        let reason = refusal(longer);
        assert!(reason.contains("\"user\": it has fewer clusters than its size needs"), "{reason}");
        let mut longer = bytes.clone();
        longer[user + 28..user + 32].copy_from_slice(&20_000_u32.to_le_bytes());
        assert!(refusal(longer).contains("\"user\": it has fewer clusters than its size needs"));
        for cluster in [0, 1, 0xfff0] {
            let mut lost = bytes.clone();
            set_first_cluster(&mut lost, user, cluster);
            let reason = refusal(lost);
            assert!(reason.starts_with("the FAT file system is broken at \"user\": "), "{cluster}: {reason}");
        }
        let mut lost = bytes.clone();
        let home = entry(&bytes, b"HOME       ");
        set_first_cluster(&mut lost, home, 0);
        assert!(refusal(lost).starts_with("the FAT file system is broken at \"home\": "));
    }
}

fn chains_that_go_in_circles() {
    for bytes in images().into_iter().skip(1) {
        let user = entry(&bytes, b"USER       ");
        let first = first_cluster(&bytes, user);
        let mut round = bytes.clone();
        set_link(&mut round, first + 1, first as u32);
        round[user + 28..user + 32].copy_from_slice(&1_000_000_u32.to_le_bytes());
        // Such a file reads the same clusters again and again, so it is longer than what it has.
        let verdict = open(&round[..]);
        if let Ok(store) = verdict {
            read_all(&store);
        }
        round[user + 28..user + 32].copy_from_slice(&u32::MAX.to_le_bytes());
        let reason = refusal(round);
        assert!(
            reason.starts_with("the FAT file system is broken") && reason.contains("\"user\""),
            "{reason}"
        );
        // A directory.
        let mut round = bytes.clone();
        let home = first_cluster(&bytes, entry(&bytes, b"HOME       "));
        set_link(&mut round, home, home as u32);
        fill_directory(&mut round);
        let reason = refusal(round);
        assert!(reason.starts_with("the FAT file system is broken at \"home\""), "{reason}");
    }
}

/// Fills the first cluster of the directory `home` with deleted entries up to its end, so that its reader goes on to the next one.
fn fill_directory(bytes: &mut [u8]) {
    let below = entry(bytes, b"BELOW      ");
    let end = (below / 512 + 1) * 512;
    for free in (below + 32..end).step_by(32) {
        bytes[free] = 0xe5;
    }
}

fn directories_inside_themselves() {
    for mut bytes in images() {
        let home = entry(&bytes, b"HOME       ");
        let below = entry(&bytes, b"BELOW      ");
        let cluster = first_cluster(&bytes, home);
        set_first_cluster(&mut bytes, below, cluster);
        assert_eq!(
            refusal(bytes),
            "the FAT file system is broken: the directory \"home/below\" is inside itself, or is there twice; fsck.vfat may mend it"
        );
    }
}

fn directories_that_go_on_in_one_another() {
    // Each of them starts somewhere in one long chain of deleted entries, and would be read to its end.
    let directory = directory();
    let tree = directory.path();
    for number in 0..400 {
        write(tree, &format!("d{number:03}/x"), "");
    }
    let mut bytes = image(tree, KINDS[1]);
    let clusters: Vec<usize> = (0..400)
        .map(|number| {
            let name = format!("{:11}", format!("D{number:03}"));
            first_cluster(&bytes, entry(&bytes, name.as_bytes().try_into().unwrap()))
        })
        .collect();
    for pair in clusters.windows(2) {
        set_link(&mut bytes, pair[0], pair[1] as u32);
    }
    let reason = refusal(bytes);
    assert!(reason.contains("longer than the disk"), "{reason}");
}

fn files_with_clusters_in_common() {
    let directory = directory();
    let tree = directory.path();
    for number in 0..100 {
        write(tree, &format!("f{number}"), "x");
    }
    write(tree, "big", vec![1; 1 << 20]);
    let mut bytes = image(tree, KINDS[0]);
    let big = entry(&bytes, b"BIG        ");
    let cluster = first_cluster(&bytes, big);
    for number in 0..100 {
        let name = format!("{:11}", format!("F{number}"));
        let place = entry(&bytes, name.as_bytes().try_into().unwrap());
        set_first_cluster(&mut bytes, place, cluster);
        bytes[place + 28..place + 32].copy_from_slice(&(1_u32 << 20).to_le_bytes());
    }
    let reason = refusal(bytes);
    assert!(reason.contains("its files are longer than the disk"), "{reason}");
}

fn names_that_lead_out() {
    for bytes in images() {
        // In the long name, whose checksum is that of the short one alone: it does not count then.
        let long: Vec<u8> = "a fil".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let place = bytes.windows(long.len()).position(|window| window == long).unwrap();
        let mut changed = bytes.clone();
        for (unit, character) in "../x".bytes().enumerate() {
            changed[place + unit * 2] = character;
        }
        let store = open(changed).unwrap();
        let mut names: Vec<_> =
            wait(store.list("")).unwrap().unwrap().into_iter().map(|listed| listed.name).collect();
        names.sort();
        assert_eq!(names, ["AFILEW~1", "home", "other", "user"]);
        // In the short one.
        for name in [b"../X       ", b"/          "] {
            let mut changed = bytes.clone();
            let user = entry(&bytes, b"USER       ");
            changed[user..user + 11].copy_from_slice(name);
            match open(changed) {
                // An entry that starts with a dot is passed over, as those of a directory for itself and its parent are.
                Ok(store) => {
                    let listed = wait(store.list("")).unwrap().unwrap();
                    let names: Vec<_> = listed.into_iter().map(|listed| listed.name).collect();
                    assert_eq!(names, ["a file with a long name", "home", "other"]);
                }
                Err(error) => {
                    let reason = error.to_string();
                    assert!(reason.starts_with("the FAT file system is broken: "), "{reason}");
                }
            }
        }
    }
}

fn boot_sectors_that_are_none() {
    for mut bytes in images() {
        bytes[510] = 0;
        assert!(
            refusal(&bytes[..])
                .starts_with("the FAT file system is broken: its boot sector has no signature")
        );
        bytes[510] = 0x55;
        // No FATs.
        bytes[16] = 0;
        assert!(refusal(&bytes[..]).starts_with("the FAT file system is broken: "));
        // NTFS and exFAT have no sectors per cluster or no bytes per sector here.
        bytes[11..14].fill(0);
        assert!(refusal(&bytes[..]).starts_with("the disk has a partition table"), "{}", refusal(&bytes[..]));
    }
}

fn an_index_has_a_limit() {
    let directory = directory();
    for number in 0..400 {
        write(directory.path(), &format!("a/file {number}"), "");
    }
    let bytes = image(directory.path(), KINDS[0]);
    let refused = wait(Store::open_within(Memory::new(bytes), 20_000)).unwrap_err();
    assert_eq!(refused, OpenError::TooMany { limit: 20_000 });
}

fn a_disk_that_cannot_be_read_is_an_error() {
    let [_, bytes, _] = images();
    let user = entry(&bytes, b"USER       ") as u64;
    for broken in [0, 512, user] {
        let mut memory = Memory::new(bytes.clone());
        memory.broken = Some(broken);
        assert_eq!(wait(Store::open(memory)).unwrap_err().to_string(), "the disk cannot be read");
    }
}

fn random_damage_is_survived() {
    let mut random = Random::new(1);
    for bytes in images() {
        // The boot sector, the beginning of each FAT, the directories.
        let (root, below) = (entry(&bytes, b"USER       ") & !511, entry(&bytes, b"BELOW      ") & !511);
        let fat = usize::from(u16::from_le_bytes([bytes[14], bytes[15]])) * 512;
        let places = [0..512, fat..fat + 512, root..root + 512, below..below + 512];
        let mut memory = Memory::new(bytes);
        for round in 0..400 {
            let mut undo = Vec::new();
            for _ in 0..1 + random.below(6) {
                let range = places[random.below(places.len())].clone();
                let at = range.start + random.below(range.len());
                let old = memory.bytes[at];
                undo.push((at, old));
                memory.bytes[at] =
                    [0, 0xff, old ^ 1 << random.below(8), random.below(256) as u8][random.below(4)];
            }
            if let Ok(store) = wait(Store::open(&memory)) {
                read_all(&store);
            }
            if round % 16 == 0 {
                write_all(memory.bytes.clone());
            }
            for (at, byte) in undo.into_iter().rev() {
                memory.bytes[at] = byte;
            }
        }
    }
}

/// Writes here and there; whatever comes of it, it comes to an end.
fn write_all(bytes: Vec<u8>) {
    let Ok(volume) = wait(Volume::mount::<Noon>(Disk::new(bytes))) else { return };
    wait(async {
        let _ = volume.write("user", &[1; 7000]).await;
        let _ = volume.write("home/below/new", &[1; 7000]).await;
        if let Ok(file) = volume.open("other", OpenOptions::new().write()).await {
            let _ = file.write_at(10_000, b"x").await;
        }
        let _ = volume.rename("user", "home/user").await;
        let _ = volume.remove_file("a file with a long name").await;
        let _ = volume.list("home").await;
        let _ = volume.sync().await;
    });
}
