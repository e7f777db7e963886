//! What the site answers.

use crate::media_type;
use crate::path::{BadPath, SitePath};
use alloc::boxed::Box;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use ukvm_http::conditional::{self, Validators, Verdict};
use ukvm_http::range::{self, Selection};
use ukvm_http::{Request, Response, Service, Source, SourceFailed, Status, date, encoding};
use ukvm_storage::{Device, Entry, Error, File, Store};

/// The page of a directory.
const INDEX: &str = "index.html";
/// The page of what is not there, if the site has one.
const NOT_FOUND: &str = "404.html";
/// What a file's name has behind it in that of its compressed form.
const GZIP: &str = ".gz";
/// The methods there are.
const METHODS: &str = "GET, HEAD";

/// A web site: the files of a store. Answers GET and HEAD.
pub struct Site<D, F>(Rc<Shared<D, F>>);

/// What a site shares with the replies that are on their way.
struct Shared<D, F> {
    store: Store<D>,
    report: F,
}

impl<D: Device, F: Fn(&Error)> Site<D, F> {
    /// The site that is in `store`. `report` is told of each failure to read it; the client learns no details.
    pub fn new(store: Store<D>, report: F) -> Self {
        Self(Rc::new(Shared { store, report }))
    }

    /// The file of that name, if there is one.
    async fn file(&self, name: &str) -> Result<Option<File>, Error> {
        Ok(match self.0.store.find(name).await? {
            Some(Entry::File(file)) => Some(file),
            Some(Entry::Directory) | None => None,
        })
    }

    /// The reply to a request for a path.
    async fn page(
        &self,
        request: &Request<'_>,
        path: SitePath<'_>,
    ) -> Result<Response<Contents<D, F>>, Error> {
        let name = if path.directory { join(&path.name, INDEX) } else { path.name.clone() };
        match self.0.store.find(&name).await? {
            Some(Entry::File(file)) => self.representation(request, &name, file).await,
            Some(Entry::Directory) if !path.directory => Ok(path.with_slash().map_or_else(
                || Response::text(Status::UriTooLong, "The path is too long"),
                |place| {
                    let reply = Response::text(Status::MovedPermanently, "It has a slash at its end");
                    reply.field("Location", place)
                },
            )),
            Some(Entry::Directory) | None => self.not_found().await,
        }
    }

    /// The reply with a file of that name, or with its compressed form where there is one and the client wants it.
    async fn representation(
        &self,
        request: &Request<'_>,
        name: &str,
        mut file: File,
    ) -> Result<Response<Contents<D, F>>, Error> {
        let compressed =
            if name.ends_with(GZIP) { None } else { self.file(&format!("{name}{GZIP}")).await? };
        let varies = compressed.is_some();
        let compressed = compressed.filter(|_| encoding::prefers_gzip(request));
        let encoded = compressed.is_some();
        if let Some(compressed) = compressed {
            file = compressed;
        }
        let etag = format!("\"{:x}\"", file.identity());
        let validators = Validators { etag: &etag, modified: file.modified() };
        let verdict = conditional::evaluate(request, &validators);
        if verdict == Verdict::Failed {
            return Ok(Response::text(Status::PreconditionFailed, "It is another one"));
        }
        let size = file.size();
        let mut reply = if verdict == Verdict::NotModified {
            Response::not_modified()
        } else {
            let selection = match request.value("range") {
                // There are no ranges for other methods (RFC 9110, section 14.2).
                Some(range) if request.method == "GET" && conditional::range_counts(request, &validators) => {
                    range::select(range, size)
                }
                _ => Selection::Whole,
            };
            let (status, part) = match selection {
                Selection::Whole => (Status::Ok, 0..size),
                Selection::Part(part) => (Status::PartialContent, part),
                Selection::Unsatisfiable => {
                    let reply = Response::text(Status::RangeNotSatisfiable, "There is no such range");
                    return Ok(reply.field("Content-Range", format_args!("bytes */{size}")));
                }
            };
            let contents = Contents { site: self.0.clone(), file, at: part.start };
            let reply = Response::stream(status, media_type::of(name), part.end - part.start, contents)
                .field("Accept-Ranges", "bytes");
            match status {
                Status::PartialContent => {
                    let (first, last) = (part.start, part.end - 1);
                    reply.field("Content-Range", format_args!("bytes {first}-{last}/{size}"))
                }
                _ => reply,
            }
        };
        reply = reply.field("ETag", &etag);
        if let Some(modified) = validators.modified.and_then(date::format) {
            reply = reply.field("Last-Modified", modified);
        }
        if varies {
            reply = reply.field("Vary", "Accept-Encoding");
        }
        // The client of a 304 knows how what it has is encoded.
        if encoded && verdict == Verdict::Proceed {
            reply = reply.field("Content-Encoding", "gzip");
        }
        Ok(reply)
    }

    /// The reply where there is no such file.
    async fn not_found(&self) -> Result<Response<Contents<D, F>>, Error> {
        let Some(file) = self.file(NOT_FOUND).await? else {
            return Ok(Response::text(Status::NotFound, "There is no such page"));
        };
        let length = file.size();
        let contents = Contents { site: self.0.clone(), file, at: 0 };
        Ok(Response::stream(Status::NotFound, media_type::of(NOT_FOUND), length, contents))
    }
}

impl<D: Device, F: Fn(&Error)> Service for Site<D, F> {
    type Source = Contents<D, F>;

    async fn answer(&self, request: Request<'_>) -> Response<Contents<D, F>> {
        if !METHODS.split(", ").any(|method| method == request.method) {
            return Response::method_not_allowed(METHODS);
        }
        let path = match SitePath::of_target(request.target) {
            Ok(path) => path,
            Err(BadPath::Malformed) => {
                return Response::text(Status::BadRequest, "The path is not encoded well");
            }
            Err(BadPath::NoName) => return Response::text(Status::NotFound, "There is no such page"),
        };
        // Boxed, so that a connection that is idle does not keep room for it.
        Box::pin(self.page(&request, path)).await.unwrap_or_else(|error| {
            (self.0.report)(&error);
            Response::text(Status::InternalError, "The site cannot be read")
        })
    }
}

/// A part of a file, to be sent.
pub struct Contents<D, F> {
    site: Rc<Shared<D, F>>,
    file: File,
    /// The next byte.
    at: u64,
}

impl<D: Device, F: Fn(&Error)> Source for Contents<D, F> {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<(), SourceFailed> {
        let read = self.site.store.read_at(&self.file, self.at, buffer).await;
        let count = read.map_err(|error| {
            (self.site.report)(&error);
            SourceFailed
        })?;
        self.at += count as u64;
        // A file is as long as its store said.
        if count == buffer.len() { Ok(()) } else { Err(SourceFailed) }
    }
}

/// The name of something in a directory; that of the root is empty.
fn join(directory: &str, name: &str) -> String {
    if directory.is_empty() { name.into() } else { format!("{directory}/{name}") }
}
