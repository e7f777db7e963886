//! File systems that lie: every one is answered or refused, in bounded time, and none makes the service panic.

use crate::images::{KINDS, MemoryDisk, image};
use auth_service::accounts::verify;
use auth_service::user::UserName;
use embassy_futures::block_on;
use fatfs::FatType;
use ukvm_tests::random::Random;

/// The bound that the service promises, with room for what it reads besides.
const MOST_READS: u32 = 10_100;

fn check(disk: &MemoryDisk, user: &str) -> Result<bool, String> {
    disk.reads.set(0);
    let user = UserName::new(user.as_bytes()).unwrap();
    let verdict = block_on(verify(disk, user, b"secret")).map_err(|failed| failed.to_string());
    assert!(disk.reads.get() < MOST_READS, "{} reads", disk.reads.get());
    verdict
}

/// The place of the entry with this short name.
fn entry(bytes: &[u8], name: &[u8; 11]) -> usize {
    bytes.windows(11).position(|window| window == name).unwrap()
}

#[test]
fn a_size_beyond_the_chain_is_an_error() {
    for (kind, ..) in KINDS {
        let mut bytes = image(kind, &[("user", b"secret")]);
        let size = entry(&bytes, b"USER       ") + 28;
        bytes[size..size + 4].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(check(&MemoryDisk::new(bytes), "user").is_err(), "{kind:?}");
    }
}

#[test]
fn a_first_cluster_that_does_not_exist_is_an_error() {
    for (kind, ..) in KINDS {
        for cluster in [0u16, 1, 0xfff0] {
            let mut bytes = image(kind, &[("user", b"secret")]);
            let low = entry(&bytes, b"USER       ") + 26;
            bytes[low..low + 2].copy_from_slice(&cluster.to_le_bytes());
            if kind == FatType::Fat32 {
                // A cluster far behind the end of the volume.
                bytes[low - 6..low - 4].copy_from_slice(&if cluster < 2 { [0, 0] } else { [0xff, 0x0f] });
            }
            assert!(check(&MemoryDisk::new(bytes), "user").is_err(), "{kind:?} {cluster}");
        }
    }
}

#[test]
fn a_directory_that_goes_in_circles_is_an_error() {
    let names: Vec<String> = (0..100).map(|number| format!("u{number}")).collect();
    let files: Vec<(&str, &[u8])> = names.iter().map(|name| (&**name, b"secret" as &[u8])).collect();
    let mut bytes = image(FatType::Fat32, &files);
    let volume = Volume::of(&bytes);
    // The root directory has 100 entries and more than six clusters; each in turn leads back to the first.
    let mut cluster = volume.root;
    for _ in 0..6 {
        let link = volume.link(cluster);
        let next = u32::from_le_bytes(bytes[link..link + 4].try_into().unwrap());
        bytes[link..link + 4].copy_from_slice(&volume.root.to_le_bytes());
        let verdict = check(&MemoryDisk::new(bytes.clone()), "nobody");
        assert!(verdict.is_err(), "{verdict:?}");
        bytes[link..link + 4].copy_from_slice(&next.to_le_bytes());
        cluster = next;
    }
}

#[test]
fn a_file_that_goes_in_circles_is_an_error() {
    let mut bytes = image(FatType::Fat32, &[("user", &[b'x'; 1500])]);
    let volume = Volume::of(&bytes);
    let place = entry(&bytes, b"USER       ");
    let first = u32::from(u16::from_le_bytes(bytes[place + 26..place + 28].try_into().unwrap()));
    bytes[place + 28..place + 32].copy_from_slice(&(1u32 << 30).to_le_bytes());
    let link = volume.link(first + 1);
    bytes[link..link + 4].copy_from_slice(&first.to_le_bytes());
    assert!(check(&MemoryDisk::new(bytes), "user").is_err());
}

#[test]
fn a_directory_scattered_over_the_disk_ends_within_the_bound() {
    let mut bytes = image(FatType::Fat32, &[]);
    let volume = Volume::of(&bytes);
    // 65,536 free entries, in a chain that jumps to and fro.
    let clusters = 4096;
    let stride = 16;
    let cluster = |index: u32| match index {
        0 => volume.root,
        _ => volume.root + 1 + (index * 1531 % clusters) * stride,
    };
    for index in 0..clusters {
        let link = volume.link(cluster(index));
        let next = if index + 1 < clusters { cluster(index + 1) } else { 0x0fff_ffff };
        bytes[link..link + 4].copy_from_slice(&next.to_le_bytes());
        let place = volume.place(cluster(index));
        bytes[place..place + 512].fill(0xe5);
    }
    let disk = MemoryDisk::new(bytes);
    assert_eq!(check(&disk, "nobody"), Ok(false));
    assert!(disk.reads.get() > 4096, "{}", disk.reads.get());
}

/// Where things are on a FAT32 volume.
struct Volume {
    root: u32,
    fat: usize,
    data: usize,
}

impl Volume {
    fn of(bytes: &[u8]) -> Self {
        let half = |at: usize| u32::from(u16::from_le_bytes(bytes[at..at + 2].try_into().unwrap()));
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        let (reserved, fats, fat_size) = (half(14), u32::from(bytes[16]), word(36));
        let sector = |number: u32| number as usize * 512;
        Self { root: word(44), fat: sector(reserved), data: sector(reserved + fats * fat_size) }
    }

    /// Where the entry of a cluster in the first FAT is.
    fn link(&self, cluster: u32) -> usize {
        self.fat + cluster as usize * 4
    }

    /// Where a cluster of 512 bytes is.
    fn place(&self, cluster: u32) -> usize {
        self.data + (cluster as usize - 2) * 512
    }
}

#[test]
fn random_damage_is_survived() {
    let names: Vec<String> = (0..20).map(|number| format!("a user with a long name {number}")).collect();
    let mut files: Vec<(&str, &[u8])> = names.iter().map(|name| (&**name, b"secret" as &[u8])).collect();
    files.push(("user", &[b'x'; 3000]));
    let mut random = Random::new(1);
    for (kind, ..) in KINDS {
        let mut disk = MemoryDisk::new(image(kind, &files));
        // The boot sector, the beginning of each FAT, the root directory.
        let root = entry(&disk.bytes, b"USER       ") & !511;
        let fat = usize::from(u16::from_le_bytes([disk.bytes[14], disk.bytes[15]])) * 512;
        let places = [0..512, fat..fat + 512, root.saturating_sub(2048)..root + 1024];
        for _ in 0..1000 {
            let mut undo = Vec::new();
            for _ in 0..1 + random.below(6) {
                let range = places[random.below(places.len())].clone();
                let at = range.start + random.below(range.len());
                undo.push((at, disk.bytes[at]));
                disk.bytes[at] = match random.below(4) {
                    0 => 0,
                    1 => 0xff,
                    2 => disk.bytes[at] ^ 1 << random.below(8),
                    _ => random.below(256) as u8,
                };
            }
            for user in ["user", &names[19], "nobody"] {
                let _ = check(&disk, user);
            }
            for (at, byte) in undo.into_iter().rev() {
                disk.bytes[at] = byte;
            }
        }
    }
}
