//! nginx, as a measurement has it serve files.

use crate::io::network;
use crate::program::Program;
use std::fs;
use std::io;
use std::path::Path;

/// A certificate and its key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tls<'a> {
    pub(crate) certificate: &'a Path,
    pub(crate) key: &'a Path,
}

/// nginx at `path`, which serves the files of `directory/tree` at the host's address, over TLS where there is something for it. Writes its
/// configuration into `directory`, where it keeps all that it has.
pub(crate) fn program(path: &Path, directory: &Path, tls: Option<Tls<'_>>) -> io::Result<Program> {
    let configuration = directory.join("nginx.conf");
    fs::write(&configuration, text(directory, tls))?;
    let words = [
        "-p".into(),
        directory.into(),
        "-c".into(),
        configuration.into(),
        // Here, as it must not become a daemon that outlives its turn.
        "-g".into(),
        "daemon off; master_process off;".into(),
    ];
    Ok(Program { arguments: words.into(), ..Program::at(path) })
}

/// What it is to do: all in one process, and what it would do in production where it costs.
fn text(directory: &Path, tls: Option<Tls<'_>>) -> String {
    let tree = directory.join("tree");
    let (directory, tree, address) = (directory.display(), tree.display(), network::HOST);
    let places: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|what| format!("    {what}_temp_path \"{directory}\";\n"))
        .concat();
    let (port, tls) = tls.map_or(("80", String::new()), |Tls { certificate, key }| {
        let (certificate, key) = (certificate.display(), key.display());
        let files = format!("ssl_certificate \"{certificate}\"; ssl_certificate_key \"{key}\";");
        ("443 ssl", format!("{files} ssl_protocols TLSv1.3; "))
    });
    format!(
        "pid \"{directory}/nginx.pid\";\n\
         error_log \"{directory}/error.log\";\n\
         events {{ worker_connections 1024; }}\n\
         http {{\n\
         {places}    types {{ text/html html; }}\n    access_log off;\n    sendfile on;\n    tcp_nopush on;\n    \
         keepalive_requests 1000000000;\n    open_file_cache max=100;\n    \
         server {{ listen {address}:{port}; {tls}root \"{tree}\"; }}\n\
         }}\n"
    )
}
