//! The body of an answer.

use super::chunk::Chunks;
use super::head::Framing;
use super::{Client, Connector, Error};
use crate::connection::PATIENCE;
use crate::input::Input;
use crate::server::Clock;
use crate::url::Url;
use embedded_io_async::Read;

/// The bytes of a body that a server must send in [`PATIENCE`] timeouts: who sends a byte now and then would keep a client for ever.
const LEAST_SENT: usize = 16 << 10;

/// What is left of a body.
enum Left {
    Length(u64),
    Chunks(Chunks),
    UntilClose,
    Nothing,
}

/// An answer whose body is read as it comes.
pub struct Answer<'a, C: Connector, K> {
    client: &'a Client<C, K>,
    url: Url,
    stream: C::Stream,
    /// What came together with the head, or with the size of a chunk.
    input: Input,
    length: Option<u64>,
    left: Left,
}

impl<'a, C: Connector, K: Clock> Answer<'a, C, K> {
    pub(super) fn new(
        client: &'a Client<C, K>,
        url: Url,
        stream: C::Stream,
        input: Input,
        framing: Framing,
    ) -> Self {
        let (length, left) = match framing {
            Framing::Length(length) => (Some(length), Left::Length(length)),
            Framing::Chunked => (None, Left::Chunks(Chunks::Size)),
            Framing::UntilClose => (None, Left::UntilClose),
        };
        Self { client, url, stream, input, length, left }
    }

    /// Where it came from in the end.
    pub const fn url(&self) -> &Url {
        &self.url
    }

    /// How many bytes the whole body has, if the server has said so.
    pub const fn length(&self) -> Option<u64> {
        self.length
    }

    /// Fills `buffer` with what comes next, and gives the number of bytes: fewer than it holds only at the end of the body, which has
    /// come in full then.
    ///
    /// # Errors
    ///
    /// An [`Error`].
    pub async fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, Error<C::Error>> {
        let Client { clock, timeout, .. } = self.client;
        let mut filled = 0;
        let mut ended = false;
        while filled < buffer.len() && !ended {
            let enough = (filled + LEAST_SENT).min(buffer.len());
            let some = async {
                while filled < enough && !ended {
                    let read = clock.within(*timeout, self.read(&mut buffer[filled..])).await;
                    let count = read.ok_or(Error::Late)??;
                    ended = count == 0;
                    filled += count;
                }
                Ok::<(), Error<C::Error>>(())
            };
            clock.within(timeout.saturating_mul(PATIENCE), some).await.ok_or(Error::Late)??;
        }
        Ok(filled)
    }

    /// Reads at least one byte of the body into `buffer`, which is not empty; none at its end.
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Error<C::Error>> {
        loop {
            let wanted = match &mut self.left {
                Left::Nothing | Left::Length(0) | Left::Chunks(Chunks::End) => {
                    self.left = Left::Nothing;
                    return Ok(0);
                }
                Left::Length(left) | Left::Chunks(Chunks::Data(left)) => *left,
                Left::UntilClose => u64::MAX,
                Left::Chunks(chunks) => {
                    match chunks.pass_line(self.input.bytes())? {
                        Some(length) => drop(self.input.drop_front(length)),
                        None => self.read_input().await?,
                    }
                    continue;
                }
            };
            let room = buffer.len().min(usize::try_from(wanted).unwrap_or(usize::MAX));
            let count = match self.input.take(&mut buffer[..room]) {
                // Past the input, which is small.
                0 => self.stream.read(&mut buffer[..room]).await.map_err(|_| Error::Broken)?,
                count => count,
            };
            match &mut self.left {
                Left::UntilClose if count == 0 => self.left = Left::Nothing,
                _ if count == 0 => return Err(Error::CutShort),
                Left::Length(left) => *left -= count as u64,
                Left::Chunks(chunks) => chunks.pass_data(count),
                Left::UntilClose | Left::Nothing => {}
            }
            if count > 0 {
                return Ok(count);
            }
        }
    }

    /// Reads more of a line, none of which is longer than the input may be.
    async fn read_input(&mut self) -> Result<(), Error<C::Error>> {
        match self.stream.read(self.input.room()).await {
            Ok(0) => Err(Error::CutShort),
            Ok(count) => {
                self.input.add(count);
                Ok(())
            }
            Err(_) => Err(Error::Broken),
        }
    }
}
