//! The real servers of a job.

use super::super::names::dnsmasq;
use super::HOST;
use std::fs;
use std::path::Path;
use ukvm_tests::daemon::Daemon;
use ukvm_tests::files;

/// dnsmasq for addresses and names: `web.example` is the host.
pub(super) fn dnsmasq_for_all(directory: &Path) -> Daemon {
    let leases = format!("--dhcp-leasefile={}", directory.join("leases").display());
    let records = [
        "--host-record=web.example,10.0.0.1,fd00::1",
        "--host-record=lame.example,10.0.0.1,fd00::77",
        "--local=/example/",
        "--dhcp-range=10.0.0.50,10.0.0.59,255.255.255.0,2m",
        // Else it first looks for three seconds whether an address answers.
        "--no-ping",
        "--dhcp-authoritative",
        &leases,
    ];
    dnsmasq(directory, HOST, &records)
}

/// nginx with a file of these bytes: as it is, in chunks, and behind redirects.
pub(super) fn nginx(directory: &Path, bytes: &[u8]) -> Daemon {
    let root = directory.join("root");
    fs::create_dir(&root).expect("a directory");
    let _ = files::file(&root, "plain.bin", bytes);
    let _ = files::file(&root, "chunked.bin", bytes);
    let text = format!(
        "worker_processes 1;\npid {0}/nginx.pid;\nerror_log stderr;\nevents {{ worker_connections 64; }}\nhttp {{\n\
         client_body_temp_path {0}/t1;\nproxy_temp_path {0}/t2;\nfastcgi_temp_path {0}/t3;\nuwsgi_temp_path {0}/t4;\n\
         scgi_temp_path {0}/t5;\naccess_log off;\n\
         server {{\nlisten 10.0.0.1:80;\nlisten [fd00::1]:80;\nroot {1};\n\
         location = /chunked.bin {{ ssi on; ssi_types *; }}\n\
         location = /301 {{ return 301 /302; }}\nlocation = /302 {{ return 302 http://web.example/a/307; }}\n\
         location = /a/307 {{ return 307 ../308; }}\nlocation = /308 {{ return 308 /chunked.bin?from=308; }}\n\
         }}\n}}\n",
        directory.display(),
        root.display(),
    );
    let configuration = files::file(directory, "nginx.conf", text.as_bytes());
    let configuration = configuration.to_str().expect("UTF-8");
    let prefix = directory.to_str().expect("UTF-8");
    Daemon::start(
        "nginx",
        &["-p", prefix, "-c", configuration, "-g", "daemon off; master_process off;"],
        directory,
    )
}
