//! What clients can ask for.

use crate::reply::Reply;
use crate::request::LONGEST_ARGUMENT;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt::Write;

/// The longest key in bytes. Longer ones would make the inner pages of the tree large.
pub const LONGEST_KEY: usize = 1024;

/// The most keys that one request may look for: to find each may take some reads from the disk, and the whole guest waits for these.
pub const MOST_SOUGHT: usize = 128;

/// What concerns the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// The value of a key.
    Get(Vec<u8>),
    /// How many of the keys are there; one that is named twice counts twice.
    Exists(Vec<Vec<u8>>),
    /// How many keys there are.
    Count,
    /// Gives a key a value.
    Set(Vec<u8>, Vec<u8>),
    /// Removes keys. How many were there?
    Delete(Vec<Vec<u8>>),
    /// Adds to the number that is a key's value, or to 0 if there is none. What is it now?
    Add(Vec<u8>, i64),
}

impl Command {
    /// Whether it may change something.
    #[must_use]
    pub const fn writes(&self) -> bool {
        matches!(self, Self::Set(..) | Self::Delete(_) | Self::Add(..))
    }

    /// Whether it may need more room.
    #[must_use]
    pub const fn grows(&self) -> bool {
        matches!(self, Self::Set(..) | Self::Add(..))
    }

    /// Whether it has removed something, if this is the answer.
    #[must_use]
    pub fn deletes(&self, reply: &Reply) -> bool {
        matches!((self, reply), (Self::Delete(_), Reply::Integer(1..)))
    }

    /// How many keys it may change.
    #[must_use]
    pub fn changes(&self) -> usize {
        match self {
            Self::Delete(keys) => keys.len(),
            Self::Set(..) | Self::Add(..) => 1,
            Self::Get(_) | Self::Exists(_) | Self::Count => 0,
        }
    }

    /// Bytes of its keys and values, and what its answer may have.
    #[must_use]
    pub fn size(&self) -> usize {
        match self {
            Self::Get(key) => key.len() + LONGEST_ARGUMENT,
            Self::Add(key, _) => key.len(),
            Self::Exists(keys) | Self::Delete(keys) => keys.iter().map(Vec::len).sum(),
            Self::Set(key, value) => key.len() + value.len(),
            Self::Count => 0,
        }
    }
}

/// What is to be done about a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Ask the store.
    Ask(Command),
    /// Answer.
    Answer(Reply),
    /// Answer, and end the connection.
    Quit(Reply),
    /// End the connection without an answer.
    Close,
}

/// Makes out what the arguments of a request, at least one, ask for.
#[must_use]
pub fn interpret(mut arguments: Vec<Vec<u8>>) -> Action {
    if arguments.is_empty() {
        return Action::Answer(unknown(b"", &[]));
    }
    let name = arguments.remove(0);
    let lower = name.to_ascii_lowercase();
    // The beginning of an HTTP request: a web page has a browser send it, to have the lines behind it done. Redis ends these, too.
    if matches!(lower.as_slice(), b"post" | b"host:") {
        return Action::Close;
    }
    match action(&lower, &name, arguments) {
        Ok(action) => action,
        Err(reply) => Action::Answer(reply),
    }
}

fn action(lower: &[u8], name: &[u8], arguments: Vec<Vec<u8>>) -> Result<Action, Reply> {
    let arity = || wrong_number(&String::from_utf8_lossy(lower));
    let command = match lower {
        b"get" => Command::Get(key(one(arguments).ok_or_else(arity)?)?),
        b"set" => set(arguments)?,
        b"del" if !arguments.is_empty() => Command::Delete(keys(arguments)?),
        b"exists" if arguments.len() > MOST_SOUGHT => {
            return Err(Reply::error(format!("ERR EXISTS takes up to {MOST_SOUGHT} keys")));
        }
        b"exists" if !arguments.is_empty() => Command::Exists(keys(arguments)?),
        b"incr" => Command::Add(key(one(arguments).ok_or_else(arity)?)?, 1),
        b"decr" => Command::Add(key(one(arguments).ok_or_else(arity)?)?, -1),
        b"incrby" | b"decrby" => {
            let [name, by] = <[_; 2]>::try_from(arguments).map_err(|_| arity())?;
            let by = integer(&by).ok_or_else(not_an_integer)?;
            let by = if lower == b"incrby" { Some(by) } else { by.checked_neg() };
            Command::Add(key(name)?, by.ok_or(Reply::Error("ERR decrement would overflow".into()))?)
        }
        b"dbsize" if arguments.is_empty() => Command::Count,
        b"del" | b"exists" | b"dbsize" => return Err(arity()),
        _ => return other(lower, name, arguments).ok_or_else(arity),
    };
    Ok(Action::Ask(command))
}

/// What does not concern the store: mostly what clients send before they come to the point. Nothing if the number of arguments is wrong.
fn other(lower: &[u8], name: &[u8], arguments: Vec<Vec<u8>>) -> Option<Action> {
    let reply = match lower {
        b"ping" if arguments.is_empty() => Reply::Simple("PONG"),
        b"ping" | b"echo" => Reply::Bulk(one(arguments)?),
        b"quit" => return Some(Action::Quit(Reply::OK)),
        b"select" => match one(arguments)?.as_slice() {
            b"0" => Reply::OK,
            _ => Reply::Error("ERR DB index is out of range: there is only 0".into()),
        },
        b"command" => match arguments.first().map(|word| word.to_ascii_lowercase()).as_deref() {
            Some(b"count") => Reply::Integer(NAMES.len() as i64),
            None | Some(b"docs" | b"info") => Reply::Array(Vec::new()),
            Some(word) => unknown_subcommand(word, "COMMAND"),
        },
        b"config" => config(&arguments)?,
        b"client" => match arguments.first()?.to_ascii_lowercase().as_slice() {
            b"setinfo" | b"setname" | b"no-evict" | b"no-touch" => Reply::OK,
            b"getname" => Reply::Nil,
            word => unknown_subcommand(word, "CLIENT"),
        },
        b"hello" => match arguments.first().map(Vec::as_slice) {
            None | Some(b"2") if arguments.len() < 2 => hello(),
            Some(b"2") => Reply::Error("ERR options of HELLO are not supported".into()),
            _ => Reply::Error("NOPROTO unsupported protocol version, there is only 2".into()),
        },
        _ => unknown(name, &arguments),
    };
    Some(Action::Answer(reply))
}

/// The commands there are.
const NAMES: [&str; 17] = [
    "get", "set", "del", "exists", "incr", "decr", "incrby", "decrby", "dbsize", "ping", "echo", "quit",
    "select", "command", "config", "client", "hello",
];

fn set(mut arguments: Vec<Vec<u8>>) -> Result<Command, Reply> {
    if arguments.len() < 2 {
        return Err(wrong_number("set"));
    }
    if let Some(option) = arguments.get(2) {
        return Err(Reply::error(format!("ERR the option '{}' of SET is not supported", shown(option))));
    }
    let value = arguments.remove(1);
    Ok(Command::Set(key(arguments.remove(0))?, value))
}

/// What `redis-benchmark` and others ask before they begin. The answers say what is the case.
fn config(arguments: &[Vec<u8>]) -> Option<Reply> {
    if !arguments.first()?.eq_ignore_ascii_case(b"get") {
        return Some(unknown_subcommand(arguments.first()?, "CONFIG"));
    }
    let mut answer = Vec::new();
    for name in arguments.get(1..).filter(|names| !names.is_empty())? {
        let value = match name.to_ascii_lowercase().as_slice() {
            b"save" => "",
            b"appendonly" => "yes",
            b"appendfsync" => "always",
            b"databases" => "1",
            _ => continue,
        };
        answer.extend([Reply::Bulk(name.clone()), Reply::text(value)]);
    }
    Some(Reply::Array(answer))
}

fn hello() -> Reply {
    Reply::Array(vec![
        Reply::text("server"),
        Reply::text("kv-server"),
        Reply::text("version"),
        Reply::text(env!("CARGO_PKG_VERSION")),
        Reply::text("proto"),
        Reply::Integer(2),
        Reply::text("mode"),
        Reply::text("standalone"),
        Reply::text("role"),
        Reply::text("master"),
        Reply::text("modules"),
        Reply::Array(Vec::new()),
    ])
}

fn one(arguments: Vec<Vec<u8>>) -> Option<Vec<u8>> {
    <[_; 1]>::try_from(arguments).ok().map(|[argument]| argument)
}

fn key(key: Vec<u8>) -> Result<Vec<u8>, Reply> {
    if key.len() > LONGEST_KEY {
        return Err(Reply::error(format!("ERR the key is longer than {LONGEST_KEY} bytes")));
    }
    Ok(key)
}

fn keys(arguments: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>, Reply> {
    arguments.into_iter().map(key).collect()
}

/// A number as it is stored: decimal, in 64 bits, written in the only way there is.
#[must_use]
pub fn integer(text: &[u8]) -> Option<i64> {
    let text = core::str::from_utf8(text).ok()?;
    let value: i64 = text.parse().ok()?;
    (format!("{value}") == text).then_some(value)
}

/// The answer where a value is no number.
#[must_use]
pub fn not_an_integer() -> Reply {
    Reply::Error("ERR value is not an integer or out of range".into())
}

fn wrong_number(name: &str) -> Reply {
    Reply::error(format!("ERR wrong number of arguments for '{name}' command"))
}

fn unknown(name: &[u8], arguments: &[Vec<u8>]) -> Reply {
    let mut text = format!("ERR unknown command '{}', with args beginning with: ", shown(name));
    for argument in arguments.iter().take(4) {
        let _ = write!(text, "'{}' ", shown(argument));
    }
    Reply::error(text)
}

fn unknown_subcommand(name: &[u8], of: &str) -> Reply {
    Reply::error(format!("ERR unknown subcommand '{}' of {of}", shown(name)))
}

/// The beginning of an argument as text.
fn shown(argument: &[u8]) -> String {
    String::from_utf8_lossy(&argument[..argument.len().min(64)]).into_owned()
}
