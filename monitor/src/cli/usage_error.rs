//! What clap has to say of a wrong command line, in one sentence.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use std::error::Error as _;

/// What the user should do where there is no better advice.
const SEE_HELP: &str = "see ukvm-run --help";

/// The sentence for an error of clap.
pub(super) fn sentence(error: &clap::Error) -> String {
    let option = context(error, ContextKind::InvalidArg).unwrap_or_else(|| "the command line".into());
    // Behind the name of an option comes that of its value.
    let name = option.split_whitespace().next().unwrap_or(&option);
    match error.kind() {
        ErrorKind::UnknownArgument if !option.starts_with('-') => {
            format!("'{option}' is a word too many; {SEE_HELP}")
        }
        ErrorKind::UnknownArgument => match context(error, ContextKind::SuggestedArg) {
            Some(suggestion) => format!("unknown option {option}; did you mean {suggestion}"),
            None => format!("unknown option {option}; {SEE_HELP}"),
        },
        ErrorKind::ValueValidation => match error.source() {
            Some(reason) => format!("{name}: {reason}"),
            None => format!("{name} has a value that is not legal; {SEE_HELP}"),
        },
        // What clap calls an invalid value is a missing one, as no option has a fixed list of values.
        ErrorKind::InvalidValue
        | ErrorKind::WrongNumberOfValues
        | ErrorKind::TooFewValues
        | ErrorKind::NoEquals => {
            format!("{name} needs a value; write it as {option}")
        }
        ErrorKind::TooManyValues => format!("{name} takes no value; {SEE_HELP}"),
        ErrorKind::ArgumentConflict => match context(error, ContextKind::PriorArg) {
            Some(other) if other == option => format!("{name} is given twice; give it once"),
            Some(other) => {
                let other = other.split_whitespace().next().unwrap_or(&other).to_owned();
                format!("{name} and {other} exclude each other; leave one of them out")
            }
            None => format!("{name} contradicts another option; {SEE_HELP}"),
        },
        // It is the only one.
        ErrorKind::MissingRequiredArgument => {
            format!("the socket is missing; write ukvm-run attach PATH, or {SEE_HELP}")
        }
        _ => {
            let text = error.to_string();
            let line = text.lines().next().unwrap_or_default();
            format!("{}; {SEE_HELP}", line.trim_start_matches("error: ").trim_end_matches('.'))
        }
    }
}

/// The first string that clap tells of this kind.
fn context(error: &clap::Error, kind: ContextKind) -> Option<String> {
    match error.get(kind)? {
        ContextValue::String(text) => Some(text.clone()),
        ContextValue::Strings(texts) => texts.first().cloned(),
        ContextValue::StyledStr(text) => Some(text.to_string()),
        _ => None,
    }
}
