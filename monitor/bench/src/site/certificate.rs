//! A certificate for the servers.

use crate::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A certificate that nobody vouches for, of ECDSA with P-256, and its key.
#[derive(Debug)]
pub(super) struct Certificate {
    /// The certificate.
    pub(super) certificate: PathBuf,
    /// The key.
    pub(super) key: PathBuf,
    /// Both in an archive, as the example `https` wants them.
    pub(super) image: PathBuf,
}

impl Certificate {
    /// Has `openssl` make one, in a directory that is there.
    pub(super) fn create(openssl: &Path, directory: &Path) -> Result<Self, Error> {
        let [certificate, key, image] =
            ["certificate.pem", "key.pem", "identity.tar"].map(|name| directory.join(name));
        let output = Command::new(openssl)
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"])
            .args(["-days", "30", "-subj", "/CN=ukvm-bench", "-keyout"])
            .arg(&key)
            .arg("-out")
            .arg(&certificate)
            .output()
            .map_err(|error| Error::start(openssl, &error))?;
        if !output.status.success() {
            let told = String::from_utf8_lossy(&output.stderr);
            let told = told.lines().last().unwrap_or("nothing").trim().to_owned();
            return Err(Error::program(format!(
                "openssl made no certificate and said \"{told}\"; start again"
            )));
        }
        let pack = || -> io::Result<()> {
            let mut archive = tar::Builder::new(std::fs::File::create(&image)?);
            archive.append_path_with_name(&certificate, "certificate.pem")?;
            archive.append_path_with_name(&key, "key.pem")?;
            archive.into_inner()?.sync_all()
        };
        pack().map_err(|error| Error::output(&image, &error))?;
        Ok(Self { certificate, key, image })
    }
}
