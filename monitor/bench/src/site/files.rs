//! The site that is served, and what else the servers and their client read.

use super::certificate::Certificate;
use crate::error::Error;
use crate::io::network;
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// The small page, of [`SMALL_SIZE`] bytes.
pub(super) const SMALL: &str = "small.html";
const SMALL_SIZE: usize = 1 << 10;
/// The large page, of [`LARGE_SIZE`] bytes.
pub(super) const LARGE: &str = "large.html";
const LARGE_SIZE: usize = 100 << 10;
/// A file of [`BULK_SIZE`] bytes.
pub(super) const BULK: &str = "bulk.html";
const BULK_SIZE: usize = 1 << 20;

/// A directory with all of it, of this process and user alone, which is removed when this is dropped.
#[derive(Debug)]
pub(super) struct Files(PathBuf);

impl Files {
    pub(super) fn create(parent: &Path) -> Result<Self, Error> {
        let parent = std::path::absolute(parent).unwrap_or_else(|_| parent.to_owned());
        let directory = parent.join(format!("ukvm-bench-{}-site", std::process::id()));
        // It may be in a place where others can make one of that name first: theirs is neither used nor removed.
        let created = fs::DirBuilder::new().mode(0o700).create(&directory);
        created.map_err(|error| Error::output(&directory, &error))?;
        let files = Self(directory);
        files.fill().map_err(|error| Error::output(&files.0, &error))?;
        Ok(files)
    }

    fn fill(&self) -> io::Result<()> {
        let tree = self.tree();
        fs::create_dir(&tree)?;
        let mut archive = tar::Builder::new(fs::File::create(self.image())?);
        for (name, size) in [(SMALL, SMALL_SIZE), (LARGE, LARGE_SIZE), (BULK, BULK_SIZE)] {
            let page: Vec<u8> = (0..size).map(|at| b' ' + (at % 95) as u8).collect();
            let path = tree.join(name);
            fs::write(&path, page)?;
            archive.append_path_with_name(&path, name)?;
        }
        archive.into_inner()?.sync_all()?;
        fs::write(self.script(), super::wrk::SCRIPT)
    }

    /// Tells nginx what to do, with TLS if there is a certificate.
    pub(super) fn configure(&self, port: u16, certificate: Option<&Certificate>) -> Result<(), Error> {
        let path = self.configuration();
        fs::write(&path, self.nginx(port, certificate)).map_err(|error| Error::output(&path, &error))
    }

    /// What nginx is to do: the same, in one process, and what it would do in production where it costs.
    fn nginx(&self, port: u16, certificate: Option<&Certificate>) -> String {
        let (directory, tree) = (self.0.display(), self.tree());
        let (tree, address) = (tree.display(), network::HOST);
        let places: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|what| format!("    {what}_temp_path \"{directory}\";\n"))
            .concat();
        let (ssl, tls) =
            certificate.map_or(("", String::new()), |Certificate { certificate, key, .. }| {
                let (certificate, key) = (certificate.display(), key.display());
                let files = format!("ssl_certificate \"{certificate}\"; ssl_certificate_key \"{key}\";");
                (" ssl", format!("{files} ssl_protocols TLSv1.3; "))
            });
        format!(
            "pid \"{directory}/nginx.pid\";\n\
             error_log \"{directory}/error.log\";\n\
             events {{ worker_connections 1024; }}\n\
             http {{\n\
             {places}    types {{ text/html html; }}\n    access_log off;\n    sendfile on;\n    tcp_nopush on;\n    \
             keepalive_requests 1000000000;\n    open_file_cache max=100;\n    \
             server {{ listen {address}:{port}{ssl}; {tls}root \"{tree}\"; }}\n\
             }}\n"
        )
    }

    fn tree(&self) -> PathBuf {
        self.0.join("tree")
    }

    pub(super) fn directory(&self) -> &Path {
        &self.0
    }

    /// The archive of the tree.
    pub(super) fn image(&self) -> PathBuf {
        self.0.join("site.tar")
    }

    /// The configuration of nginx.
    pub(super) fn configuration(&self) -> PathBuf {
        self.0.join("nginx.conf")
    }

    /// The script of wrk.
    pub(super) fn script(&self) -> PathBuf {
        self.0.join("figures.lua")
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        // What is not there any more needs no removing.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_directory_is_nobody_elses() {
        let parent = std::env::temp_dir();
        let files = Files::create(&parent).unwrap();
        let mode = fs::metadata(files.directory()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        assert!(Files::create(&parent).is_err());
        assert!(files.image().exists(), "one that was refused removes nothing");
    }
}
