//! All results of a run, as they are written as JSON.

use crate::boot::Boot;
use crate::churn::Churn;
use crate::compute::Compute;
use crate::error::Error;
use crate::io::Io;
use crate::job::Job;
use crate::kv::Kv;
use crate::machine::Machine;
use crate::memory::Memory;
use crate::promise::{Promise, Unmeasured};
use crate::site::Site;
use serde::Serialize;

/// The version of the JSON's form. Fields may be added at any time; one that goes or changes its meaning raises it.
pub const SCHEMA: u32 = 1;

/// All results of a run. Times are in nanoseconds, sizes in bytes.
#[derive(Clone, Debug, Serialize)]
pub struct Results {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The version of this program.
    pub ukvm_bench: &'static str,
    /// Where and when it was measured.
    pub machine: Machine,
    /// Whether all that was wanted was measured.
    pub complete: bool,
    /// Why not.
    pub stopped: Option<String>,
    /// What else is to be known of the figures.
    pub notes: Vec<String>,
    /// The promises that were measured.
    pub promises: Vec<Promise>,
    /// What was wanted and not measured.
    pub unmeasured: Vec<Unmeasured>,
    /// Starts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boot: Option<Boot>,
    /// Lives a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub churn: Option<Churn>,
    /// Memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
    /// Computing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compute: Option<Compute>,
    /// Input and output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub io: Option<Io>,
    /// A web site.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub site: Option<Site>,
    /// A web site over TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Site>,
    /// Jobs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<Job>,
    /// A key/value service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kv: Option<Kv>,
}

/// The start of a sentence about so many figures.
#[must_use]
pub fn figures(count: usize) -> String {
    if count == 1 { "1 figure was".to_owned() } else { format!("{count} figures were") }
}

impl Results {
    /// No results yet, of this machine, now.
    #[must_use]
    pub fn here() -> Self {
        let machine = Machine::this();
        Self {
            schema: SCHEMA,
            ukvm_bench: env!("CARGO_PKG_VERSION"),
            notes: machine.note().into_iter().collect(),
            machine,
            complete: true,
            stopped: None,
            promises: Vec::new(),
            unmeasured: Vec::new(),
            boot: None,
            churn: None,
            memory: None,
            compute: None,
            io: None,
            site: None,
            tls: None,
            job: None,
            kv: None,
        }
    }

    /// Whether a figure of this name was measured, or is told not to have been.
    #[must_use]
    pub fn tell_of(&self, name: &str) -> bool {
        let promises = self.promises.iter().map(|promise| &promise.promised.name);
        let rows = self.io.iter().flat_map(|io| &io.rows).map(|row| &row.name);
        let unmeasured = self.unmeasured.iter().map(|figure| &figure.name);
        promises.chain(rows).chain(unmeasured).any(|other| other == name)
    }

    /// That something was not measured for want of something on this machine, with the reasons.
    #[must_use]
    pub fn lacking(&self) -> Option<Error> {
        let mut reasons: Vec<&str> = self.unmeasured.iter().map(|row| &*row.reason).collect();
        reasons.dedup();
        let count = self.unmeasured.len();
        (count > 0).then(|| {
            Error::unavailable(format!(
                "{} not measured here, all others were: {}",
                figures(count),
                reasons.join("; ")
            ))
        })
    }

    /// Marks them as partial if there is a reason.
    pub fn mark(&mut self, stopped: Option<&Error>) {
        self.complete = stopped.is_none();
        self.stopped = stopped.map(ToString::to_string);
    }

    /// The JSON, with a newline at its end.
    ///
    /// # Errors
    ///
    /// Where a number is none that JSON has.
    pub fn json(&self) -> Result<String, Error> {
        let json = serde_json::to_string_pretty(self).map_err(|error| {
            Error::host(format!("the results cannot be written as JSON ({error}); measure again"))
        })?;
        Ok(json + "\n")
    }
}
