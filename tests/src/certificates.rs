//! Certificates and keys, made by `openssl`.

use crate::files::{self, call};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use tempfile::TempDir;

/// What `openssl req -newkey` is told for a key of ECDSA with P-256.
pub const P256: &[&str] = &["ec", "-pkeyopt", "ec_paramgen_curve:P-256"];

/// What the authorities are told; where they keep their books is added.
const CONFIGURATION: &str = "\
[ca]
default_ca = here
[any]
commonName = supplied
[here]
default_md = sha256
rand_serial = yes
unique_subject = no
policy = any
";

/// When a certificate is good, as `openssl ca` has it.
pub const GOOD: [&str; 2] = ["20200101000000Z", "20491231235959Z"];

/// A root that clients trust, an authority below it, and a directory with all of it.
#[derive(Debug)]
pub struct Authorities {
    directory: TempDir,
    /// `openssl ca` keeps books, which two at once would spoil.
    books: Mutex<()>,
}

/// A certificate and its key.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The certificate, and behind it that of the authority, in PEM.
    pub certificate: PathBuf,
    /// The private key, in PEM: PKCS #8.
    pub key: PathBuf,
}

impl Issued {
    /// What is in the two files.
    ///
    /// # Panics
    ///
    /// Where they are gone.
    #[must_use]
    pub fn read(&self) -> [Vec<u8>; 2] {
        [&self.certificate, &self.key].map(|path| fs::read(path).expect("a file of PEM"))
    }
}

impl Authorities {
    /// Makes both.
    ///
    /// # Panics
    ///
    /// As all that calls `openssl`, where that fails.
    #[must_use]
    pub fn new() -> Self {
        let own = Self { directory: files::directory(), books: Mutex::new(()) };
        let (books, directory) = (own.text("index"), text(own.directory.path()));
        let configuration = format!("{CONFIGURATION}database = {books}\nnew_certs_dir = {directory}\n");
        let _ = files::file(own.directory.path(), "ca.conf", configuration.as_bytes());
        let _ = files::file(own.directory.path(), "index", b"");
        let _ = files::file(own.directory.path(), "authority.ext", b"basicConstraints = critical, CA:TRUE\n");
        own.request("root", P256);
        own.sign("root", None, "authority.ext", GOOD);
        own.request("authority", P256);
        own.sign("authority", Some("root"), "authority.ext", GOOD);
        own
    }

    /// The root's certificate, which clients trust.
    #[must_use]
    pub fn root(&self) -> String {
        self.text("root.pem")
    }

    /// A certificate for the guest's addresses, with a new key of the given kind, by the authority below the root.
    #[must_use]
    pub fn issue(&self, name: &str, kind: &[&str], dates: [&str; 2]) -> Issued {
        let _turn = self.books.lock().unwrap_or_else(PoisonError::into_inner);
        let names = b"basicConstraints = critical, CA:FALSE\nsubjectAltName = IP:10.0.0.2, IP:fd00::2, DNS:guest.test\n";
        let _ = files::file(self.directory.path(), "server.ext", names);
        self.request(name, kind);
        self.sign(name, Some("authority"), "server.ext", dates);
        let certificate = self.path(&format!("{name}.chain"));
        let chain = [format!("{name}.pem"), "authority.pem".into()]
            .map(|file| fs::read(self.path(&file)).expect("a certificate"));
        fs::write(&certificate, chain.concat()).expect("a chain");
        Issued { certificate, key: self.path(&format!("{name}.key")) }
    }

    /// Where a file of the directory is.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        text(&self.path(name)).to_owned()
    }

    /// Makes a key and a request.
    fn request(&self, name: &str, kind: &[&str]) {
        let (key, request, subject) =
            (self.text(&format!("{name}.key")), self.text(&format!("{name}.csr")), format!("/CN={name}"));
        let given = ["-nodes", "-keyout", &key, "-out", &request, "-subj", &subject];
        let _ = call("openssl", &[&["req", "-new", "-newkey"], kind, &given].concat());
    }

    /// Makes a certificate of a request, by itself or by somebody else.
    fn sign(&self, name: &str, by: Option<&str>, extensions: &str, dates: [&str; 2]) {
        let file = |name: &str, end: &str| self.text(&format!("{name}{end}"));
        let signer = by.unwrap_or(name);
        let [from, until] = dates;
        let (request, out, key) = (file(name, ".csr"), file(name, ".pem"), file(signer, ".key"));
        let (configuration, extensions) = (self.text("ca.conf"), self.text(extensions));
        let mut arguments =
            vec!["ca", "-batch", "-notext", "-config", &configuration, "-in", &request, "-out", &out];
        arguments.extend(["-extfile", &extensions, "-startdate", from, "-enddate", until, "-keyfile", &key]);
        let certificate = file(signer, ".pem");
        match by {
            None => arguments.push("-selfsign"),
            Some(_) => arguments.extend(["-cert", &certificate]),
        }
        let _ = call("openssl", &arguments);
    }
}

impl Default for Authorities {
    fn default() -> Self {
        Self::new()
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}
