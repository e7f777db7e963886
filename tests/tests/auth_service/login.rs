//! What the service answers.

use crate::images::{MemoryDisk, image};
use auth_service::login::Login;
use core::cell::Cell;
use embassy_futures::block_on;
use fatfs::FatType;
use ukvm_http::{Body, Response, Service, Status, request};

/// What a service answers to a GET of this target.
fn ask(service: &impl Service, target: &str) -> (Status, String) {
    let head = format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n");
    let parsed = request::parse(head.as_bytes()).unwrap().unwrap();
    let Response { status, body: Body::Text(text), .. } =
        block_on(service.answer(parsed.request(head.as_bytes())))
    else {
        panic!("{target} is answered by something else than text")
    };
    (status, text.into_owned())
}

#[test]
fn the_service_says_what_it_promises() {
    let disk = || {
        MemoryDisk::new(image(
            FatType::Fat16,
            &[("ann", b"se cret+\n"), ("J\u{fc}rgen", b"pw"), ("home/", b"")],
        ))
    };
    let login = Login::new(disk(), |failed| panic!("{failed}"));
    let ask = |query: &str| ask(&login, &format!("/{query}"));
    let answer = |status: Status, body: &str| (status, body.to_owned());
    assert_eq!(ask("?user=ann&password=se+cret%2b"), answer(Status::Ok, "hello ann!"));
    assert_eq!(ask("x?password=se%20cret%2B&user=%41NN"), answer(Status::Ok, "hello ANN!"));
    assert_eq!(ask("?user=J%c3%9cRGEN&password=pw"), answer(Status::Ok, "hello J\u{dc}RGEN!"));
    for query in ["", "?", "?user=ann", "?password=pw", "?name=ann&password=pw"] {
        assert_eq!(ask(query), answer(Status::Unauthorized, "No user given"), "{query}");
    }
    let long = "x".repeat(256);
    for user in
        ["ann", "bob", "home", "", ".", "..", "%2e%2E", "a%2Fb", "%5c", "ann%00", "%ff", "ann%0a", &long]
    {
        assert_eq!(
            ask(&format!("?user={user}&password=wrong")),
            answer(Status::Unauthorized, "Invalid login"),
            "{user}"
        );
    }
}

#[test]
fn a_broken_disk_is_an_internal_error_and_reported() {
    let failures = Cell::new(0);
    let broken = Login::new(MemoryDisk::new(vec![0; 1 << 20]), |_| failures.set(failures.get() + 1));
    assert_eq!(ask(&broken, "/?user=a&password=b").0, Status::InternalError);
    assert_eq!(ask(&broken, "/").0, Status::Unauthorized, "for which nobody looks at the disk");
    assert_eq!(failures.get(), 1);
}
