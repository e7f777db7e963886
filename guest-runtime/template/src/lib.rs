//! What {{project-name}} answers, apart from the program so that tests can ask it.
#![no_std]

extern crate alloc;

use alloc::format;
use ukvm_runtime::http::{NoSource, Request, Response, Service, Status};

/// Greets whoever is named by the path: `/you` is answered with `hello, you`.
#[derive(Debug)]
pub struct Greeter;

impl Service for Greeter {
    type Source = NoSource;

    async fn answer(&self, request: Request<'_>) -> Response {
        match (request.method, request.target.trim_start_matches('/')) {
            ("GET" | "HEAD", "") => Response::text(Status::Ok, "hello\n"),
            ("GET" | "HEAD", name) => Response::text(Status::Ok, format!("hello, {name}\n")),
            _ => Response::method_not_allowed("GET, HEAD"),
        }
    }
}
