use super::*;
use std::os::unix::fs::PermissionsExt;

/// A directory that goes when this is dropped.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ukvm-socket-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_socket_is_its_users_own_and_goes_at_the_end() {
    let directory = Directory::new("own");
    let path = directory.0.join("console");
    let listener = Listener::bind(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(listener.accept().is_none());
    let _connection = connect(&path).unwrap();
    assert!(listener.accept().is_some());
    let error = Listener::bind(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BadConfig);
    assert!(error.to_string().starts_with("another process listens on "), "{error}");
    drop(listener);
    assert!(!path.exists());
}

#[test]
fn a_socket_that_was_left_over_is_replaced() {
    let directory = Directory::new("stale");
    let path = directory.0.join("console");
    // A process that was killed leaves this behind.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let error = connect(&path).unwrap_err();
    assert!(error.to_string().starts_with("nobody listens on "), "{error}");
    let listener = Listener::bind(&path).unwrap();
    drop(connect(&path).unwrap());
    assert!(listener.accept().is_some());
    // Somebody has put another there: it is not ours to remove.
    fs::remove_file(&path).unwrap();
    fs::write(&path, "mine").unwrap();
    drop(listener);
    assert_eq!(fs::read(&path).unwrap(), b"mine");
}

#[test]
fn of_many_that_want_a_path_one_gets_it() {
    let directory = Directory::new("race");
    let path = &directory.0.join("console");
    for _ in 0..20 {
        drop(std::os::unix::net::UnixListener::bind(path).unwrap());
        let bound: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| Listener::bind(path))).collect();
            threads.into_iter().filter_map(|thread| thread.join().unwrap().ok()).collect()
        });
        assert_eq!(bound.len(), 1);
        drop(connect(path).unwrap());
        drop(bound);
        assert!(!path.exists());
    }
}

#[test]
fn what_cannot_be_a_socket_is_told() {
    let directory = Directory::new("bad");
    let file = directory.0.join("file");
    fs::write(&file, "mine").unwrap();
    let error = Listener::bind(&file).unwrap_err().to_string();
    assert!(error.ends_with("file is there and is no socket: remove it or use another path"), "{error}");
    assert_eq!(fs::read(&file).unwrap(), b"mine");
    let error = connect(&file).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BadConfig);
    assert!(error.to_string().contains("file is no socket: name the one"), "{error}");

    let error = Listener::bind(&directory.0.join("no/socket")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MissingFile, "{error}");
    let error = connect(&directory.0.join("none")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MissingFile, "{error}");
    let error = Listener::bind(&directory.0.join("x".repeat(108))).unwrap_err().to_string();
    assert!(error.contains("the path of a socket 107 at most"), "{error}");
}
