//! The file of the example `cron-job`: the old one or the new one, whole, wherever the job is broken off.

use crate::fat::{KINDS, image};
use crate::volume::{Disk, Noon, mend};
use crate::world::{FAT, contents, directory, fsck, open, wait, write};
use cron_job::delivery::Delivery;
use cron_job::failure::{Cause, Failure};
use embedded_io_async::Write;
use std::rc::Rc;
use ukvm_storage::Entry;

ukvm_tests::tests! {
    a_job_replaces_the_file .needs(FAT);
    a_job_that_fails_leaves_the_file .needs(FAT);
    a_host_that_is_full_at_the_end_leaves_the_file .needs(FAT);
    a_cut_at_any_write_leaves_one_version_whole .needs(FAT);
    what_cannot_be_written_is_refused .needs(FAT);
}

/// The file's path.
const NAME: &str = "data/the file.csv";

type Place = Delivery<Rc<Disk>>;

/// The kinds of file system that have a mark which says that they were not put away in order: not FAT12.
fn marked() -> impl Iterator<Item = (&'static str, u64, u64)> {
    KINDS.into_iter().skip(1)
}

/// A file system with the file, if there is one.
fn base(kind: (&str, u64, u64), old: Option<&[u8]>) -> Vec<u8> {
    let tree = directory();
    write(tree.path(), "data/other", [3; 3000]);
    if let Some(old) = old {
        write(tree.path(), NAME, old);
    }
    image(tree.path(), kind)
}

async fn deliver(disk: &Rc<Disk>, bytes: &[u8]) -> Result<(), Failure> {
    let place = Place::open::<Noon>(disk.clone(), NAME).await?;
    let mut file = place.begin().await?;
    for piece in bytes.chunks(1000) {
        file.write_all(piece).await.map_err(|error| place.failed(&error))?;
    }
    place.finish(file).await
}

/// What is in the file.
fn content(bytes: &[u8]) -> Option<Vec<u8>> {
    let store = open(bytes).expect("a file system");
    let entry = wait(store.find(NAME)).expect("it can be read");
    matches!(entry, Some(Entry::File(_))).then(|| contents(&store, NAME))
}

/// What is in the file; nothing else may be beside it but what was there at first and, where a long name was half removed, its short one.
#[track_caller]
fn only_content(bytes: &[u8]) -> Option<Vec<u8>> {
    let store = open(bytes).expect("a file system");
    let listed = wait(store.list("data")).expect("it can be read").expect("a directory");
    let names: Vec<_> = listed.into_iter().map(|listed| listed.name).collect();
    let is_known = |name: &String| ["other", "the file.csv", "THEFIL~1.CSV"].contains(&name.as_str());
    assert!(names.iter().all(is_known), "{names:?}");
    content(bytes)
}

fn a_job_replaces_the_file() {
    for kind in marked() {
        for old in [None, Some(&[1; 5000][..])] {
            let disk = Disk::new(base(kind, old));
            for new in [vec![2; 9000], vec![3; 10], vec![]] {
                wait(deliver(&disk, &new)).unwrap();
                let bytes = disk.bytes();
                assert_eq!(only_content(&bytes), Some(new), "{kind:?}");
                fsck(&bytes);
            }
        }
    }
}

fn a_job_that_fails_leaves_the_file() {
    for kind in marked() {
        let old = vec![1; 5000];
        let disk = Disk::new(base(kind, Some(&old)));
        let place = wait(Place::open::<Noon>(disk.clone(), NAME)).unwrap();
        // Nothing was begun.
        wait(place.discard()).unwrap();
        let mut file = wait(place.begin()).unwrap();
        wait(file.write_all(&[2; 9000])).unwrap();
        drop(file);
        wait(place.discard()).unwrap();
        assert_eq!(only_content(&disk.bytes()).as_ref(), Some(&old));
        // It fills the file system.
        let mut file = wait(place.begin()).unwrap();
        let error = loop {
            if let Err(error) = wait(file.write_all(&[2; 100_000])) {
                break place.failed(&error);
            }
        };
        assert_eq!(error.cause, Cause::Full, "{error}");
        drop(file);
        wait(place.discard()).unwrap();
        let bytes = disk.bytes();
        assert_eq!(only_content(&bytes), Some(old), "{kind:?}");
        fsck(&bytes);
    }
}

/// The host has no space for the part when it is flushed, or for one of the writes with which the file gets its name.
fn a_host_that_is_full_at_the_end_leaves_the_file() {
    let (old, new) = (vec![1; 2500], vec![2; 4500]);
    let [_, kind, _] = KINDS;
    let base = base(kind, Some(&old));
    let finish = |refuse: &dyn Fn(&Disk)| {
        let disk = Disk::new(base.clone());
        let place = wait(Place::open::<Noon>(disk.clone(), NAME)).unwrap();
        let mut file = wait(place.begin()).unwrap();
        wait(file.write_all(&new)).unwrap();
        refuse(&disk);
        let failure = wait(place.finish(file)).err()?;
        assert_eq!(failure.cause, Cause::Full, "{failure}");
        let start = "data/the file.csv cannot be written: the host has no space left";
        assert!(failure.to_string().starts_with(start), "{failure}");
        Some(disk.bytes())
    };
    let left = finish(&Disk::refuse_flush).expect("a failure");
    drop(wait(Place::open::<Noon>(Disk::new(left.clone()), NAME)).unwrap());
    assert!(only_content(&left).as_ref() == Some(&old));
    fsck(&left);

    let mut count = 0;
    while let Some(left) = finish(&|disk| disk.refuse_after(count)) {
        count += 1;
        // The next job does what is left to do.
        let mended = Disk::new(mend(&left));
        drop(wait(Place::open::<Noon>(mended.clone(), NAME)).unwrap());
        let bytes = mended.bytes();
        let file = only_content(&bytes);
        assert!(file.as_ref() == Some(&old) || file.as_ref() == Some(&new), "at write {count}");
        fsck(&bytes);
    }
    assert!(count > 0);
}

/// A job is broken off after each of its writes; `fsck.vfat` looks at what is left, and the next job begins.
fn a_cut_at_any_write_leaves_one_version_whole() {
    for kind in marked() {
        // A new version that is longer, shorter, as long and empty, and a first one, which may be empty as well.
        for (old, new) in [
            (Some(vec![1; 2500]), vec![2; 4500]),
            (Some(vec![1; 4500]), vec![2; 2500]),
            (Some(vec![1; 2500]), vec![2; 2500]),
            (Some(vec![1; 2500]), vec![]),
            (None, vec![2; 2500]),
            (None, vec![]),
        ]
        // The larger file system takes longer, and is no other in what matters here.
        .into_iter()
        .take(if kind.0 == "16" { 6 } else { 1 })
        {
            let mut bytes = base(kind, old.as_deref());
            let disk = Disk::new(bytes.clone());
            wait(deliver(&disk, &new)).unwrap();
            let writes = disk.writes();
            let mut versions = Vec::new();
            for (offset, written) in &writes {
                bytes[*offset..*offset + written.len()].copy_from_slice(written);
                let mended = Disk::new(mend(&bytes));
                drop(wait(Place::open::<Noon>(mended.clone(), NAME)).unwrap());
                let after = mended.bytes();
                let file = only_content(&after);
                let length = file.as_ref().map(Vec::len);
                let at = versions.len();
                assert!(file == old || file.as_ref() == Some(&new), "{kind:?}: {length:?} after write {at}");
                fsck(&after);
                versions.push(file == old);
            }
            // There is one moment from which on it is the new one.
            assert!(versions.is_sorted_by(|before, after| before >= after), "{versions:?}");
            assert!(versions[0] && !versions[versions.len() - 1], "{versions:?}");
        }
    }
}

fn what_cannot_be_written_is_refused() {
    let refusal = |disk: Rc<Disk>, name: &str| {
        let failure = wait(Place::open::<Noon>(disk, name)).expect_err("a refusal");
        assert_eq!(failure.cause, Cause::Disk, "{failure}");
        failure.to_string()
    };
    let [unmarked, kind, _] = KINDS;
    let bytes = base(kind, None);
    for (name, start) in [
        ("data", "data cannot be written: there is a directory of this name"),
        ("gone/a", "gone/a cannot be written: there is no directory gone on the disk, make it"),
        ("data/other/a", "data/other/a cannot be written: there is no directory data/other on the disk"),
    ] {
        let said = refusal(Disk::new(bytes.clone()), name);
        assert!(said.starts_with(start), "{said}");
    }
    let said = refusal(Disk::new(base(unmarked, None)), "a");
    assert!(
        said.starts_with("the file system is FAT12") && said.ends_with("16 MiB or more with mkfs.vfat"),
        "{said}"
    );
    let said = refusal(Disk::read_only(bytes), "a");
    assert_eq!(said, "the disk is read-only: leave out `,ro`");
    let said = refusal(Disk::new(vec![0; 1 << 20]), "a");
    assert!(said.starts_with("the disk holds neither a tar archive nor a FAT file system"), "{said}");
    for kind in marked() {
        let disk = Disk::new(base(kind, Some(b"old")));
        let place = wait(Place::open::<Noon>(disk.clone(), NAME)).unwrap();
        let mut file = wait(place.begin()).unwrap();
        wait(file.write_all(&[2; 9000])).unwrap();
        // The job is broken off here.
        let broken = Disk::new(disk.bytes());
        let said = refusal(broken, NAME);
        assert!(said.ends_with("run `fsck.vfat -a` on the disk"), "{said}");
    }
}
