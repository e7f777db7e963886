//! Archives that real programs made.

use crate::world::{self, assert_same, contents, directory, open, tar, wait, write};
use std::fs;
use std::os::unix::fs::symlink;
use std::time::{Duration, SystemTime};
use ukvm_storage::{Entry, Format};
use ukvm_tests::suite::Need;

ukvm_tests::tests! {
    every_format_of_tar_is_read .needs(&[Need::Program("tar")]);
    names_longer_than_a_header .needs(&[Need::Program("tar")]);
    links_lead_where_they_do_on_the_host .needs(&[Need::Program("tar")]);
    the_last_of_a_name_counts .needs(&[Need::Program("tar")]);
    headers_near_each_other_take_few_reads .needs(&[Need::Program("tar")]);
    times_and_identities .needs(&[Need::Program("tar")]);
}

fn every_format_of_tar_is_read() {
    let directory = directory();
    let tree = directory.path();
    write(tree, "empty", "");
    write(tree, "index.html", "<p>hello</p>");
    write(tree, "a/b/c/deep.txt", vec![7; 100_000]);
    write(tree, "block", vec![1; 512]);
    write(tree, "name with spaces and ü", "ü");
    fs::create_dir(tree.join("nothing in it")).unwrap();
    for format in ["v7", "ustar", "oldgnu", "gnu", "pax"] {
        let store = open(tar(tree, &[&format!("--format={format}"), "."])).unwrap();
        assert_eq!(store.format(), Format::Tar);
        assert_same(&store, tree);
    }
}

fn names_longer_than_a_header() {
    let directory = directory();
    let tree = directory.path();
    let long = "n".repeat(200);
    write(tree, &format!("{long}/{long}/{long}.html"), "long");
    symlink(format!("{long}/{long}/{long}.html"), tree.join("link")).unwrap();
    for format in ["gnu", "pax"] {
        let store = open(tar(tree, &[&format!("--format={format}"), "."])).unwrap();
        assert_same(&store, tree);
        assert_eq!(contents(&store, "link"), b"long");
    }
}

fn links_lead_where_they_do_on_the_host() {
    let directory = directory();
    let tree = directory.path();
    write(tree, "v2/page/index.html", "two");
    write(tree, "v2/common.css", "css");
    fs::hard_link(tree.join("v2/common.css"), tree.join("v2/zz-again.css")).unwrap();
    symlink("v2", tree.join("latest")).unwrap();
    symlink("../latest/page", tree.join("v2/self")).unwrap();
    symlink("self/../common.css", tree.join("v2/through")).unwrap();
    symlink("v2/page/index.html", tree.join("start")).unwrap();
    for (target, name) in [
        ("loop-b", "loop-a"),
        ("loop-a", "loop-b"),
        ("gone", "dangling"),
        ("/etc/passwd", "absolute"),
        ("../../../../etc/passwd", "out"),
        ("start/x", "through-a-file"),
    ] {
        symlink(target, tree.join(name)).unwrap();
    }
    let store = open(tar(tree, &["--sort=name", "."])).unwrap();
    for (path, expected) in [
        ("start", "two"),
        ("latest/page/index.html", "two"),
        ("v2/self/index.html", "two"),
        ("v2/through", "css"),
        ("v2/zz-again.css", "css"),
        ("latest/self/index.html", "two"),
    ] {
        assert_eq!(contents(&store, path), expected.as_bytes(), "{path}");
    }
    for path in ["loop-a", "loop-b", "dangling", "absolute", "out", "through-a-file", "start/x", "", "latest"]
    {
        let found = wait(store.find(path)).unwrap();
        assert_eq!(found, matches!(path, "" | "latest").then_some(Entry::Directory), "{path}");
    }
    let listed = wait(store.list("")).unwrap().unwrap();
    let listed: Vec<_> = listed.iter().map(|listed| (&*listed.name, listed.link)).collect();
    assert_eq!(
        listed,
        [("latest", true), ("start", true), ("v2", false)],
        "what leads nowhere is not listed"
    );
    for path in ["/start", "v2/", "v2//common.css", "v2/../start", "./start", "..", "nothing"] {
        assert_eq!(wait(store.find(path)), Ok(None), "{path}");
    }
}

fn the_last_of_a_name_counts() {
    let directory = directory();
    let tree = directory.path();
    write(tree, "page", "old");
    let archive = directory.path().with_extension("appended");
    let archive_name = world::text(&archive);
    world::run("tar", &["-cf", archive_name, "-C", world::text(tree), "page"]);
    write(tree, "page", "newer");
    world::run("tar", &["-rf", archive_name, "-C", world::text(tree), "./page"]);
    let store = open(fs::read(&archive).unwrap()).unwrap();
    fs::remove_file(archive).unwrap();
    assert_eq!(contents(&store, "page"), b"newer");
}

fn headers_near_each_other_take_few_reads() {
    let directory = directory();
    let tree = directory.path();
    for number in 0..400 {
        write(tree, &format!("small {number}"), [1; 500]);
    }
    write(tree, "zz large", vec![1; 1 << 20]);
    write(tree, "zzz large", vec![1; 1 << 20]);
    let bytes = tar(tree, &["--sort=name", "."]);
    let store = open(bytes).unwrap();
    let reads = store.device().reads.get();
    // Each small file has a block of its own and one for its header.
    assert!(reads < 400 * 1024 / 16384 + 8, "{reads} reads");
}

fn times_and_identities() {
    let directory = directory();
    let tree = directory.path();
    let time = SystemTime::UNIX_EPOCH + Duration::new(1_234_567_890, 500_000_000);
    for name in ["a", "b"] {
        write(tree, name, "");
        fs::File::open(tree.join(name)).unwrap().set_modified(time).unwrap();
    }
    for format in ["ustar", "gnu", "pax"] {
        let store = open(tar(tree, &[&format!("--format={format}"), "."])).unwrap();
        let [a, b] = ["a", "b"].map(|name| match wait(store.find(name)).unwrap() {
            Some(Entry::File(file)) => file,
            other => panic!("{name}: {other:?}"),
        });
        assert_eq!(a.modified(), Some(1_234_567_890));
        assert_ne!(a.identity(), b.identity());
        assert_eq!(wait(store.find("a")), Ok(Some(Entry::File(a))));
    }
}
