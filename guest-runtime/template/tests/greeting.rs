//! Tests, each of which runs in a guest of its own.
#![no_std]
#![no_main]

extern crate alloc;

use ::{{crate_name}}::Greeter;
use alloc::format;
use ukvm_runtime::http::{Response, Service, Status, request};
use ukvm_runtime::net::{self, ConnectError, IpAddress, Stack, TcpOptions, TcpStream};

ukvm_runtime::program! {
    tests;
    net service;
}

/// What the service answers to a request.
async fn answer(method: &str, path: &str) -> Response {
    let text = format!("{method} {path} HTTP/1.1\r\nHost: here\r\n\r\n");
    let head = request::parse(text.as_bytes()).expect("HTTP").expect("all of it");
    Greeter.answer(head.request(text.as_bytes())).await
}

ukvm_runtime::tests! {
    async fn whoever_asks_is_greeted() {
        assert_eq!(answer("GET", "/").await, Response::text(Status::Ok, "hello\n"));
        assert_eq!(answer("GET", "/you").await, Response::text(Status::Ok, "hello, you\n"));
    }

    async fn nothing_can_be_posted() {
        assert_eq!(answer("POST", "/").await.status, Status::MethodNotAllowed);
    }

    async fn there_is_a_network() -> Result<(), net::OpenError> {
        let stack = Stack::open("service", net::options().config)?;
        // Nobody listens there; that the host says so takes a packet each way.
        let closed = (IpAddress::v4(10, 0, 0, 1), 1).into();
        let connection = TcpStream::connect(&stack, closed, TcpOptions::default()).await;
        assert_eq!(connection.err(), Some(ConnectError::Refused));
        Ok(())
    }
}
