//! The machine, as far as figures depend on it. Its name is not told.

use serde::{Deserialize, Serialize};
use std::fs;
use std::time::SystemTime;

/// Where and when something was measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// When the measurement began, in UTC (RFC 3339).
    pub date: String,
    /// The processor's model, as `/proc/cpuinfo` has it.
    pub cpu: String,
    /// Processors that this process may use.
    pub cpus: usize,
    /// The kernel's version, as `uname -r` has it.
    pub kernel: String,
    /// The kind of KVM.
    pub kvm: Kvm,
}

/// The kinds of KVM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kvm {
    /// Intel's VMX.
    HardwareVmx,
    /// AMD's SVM.
    HardwareSvm,
    /// The processor virtualises nothing: ring 0 of the guest is emulated (PVM).
    Software,
}

impl Kvm {
    /// For people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::HardwareVmx => "hardware KVM (VMX)",
            Self::HardwareSvm => "hardware KVM (SVM)",
            Self::Software => "software KVM (no VMX or SVM)",
        }
    }

    /// The kind that a processor with these flags leads to: KVM takes its extension wherever there is one.
    fn of_flags(flags: &str) -> Self {
        let has = |flag| flags.split_whitespace().any(|other| other == flag);
        if has("vmx") {
            Self::HardwareVmx
        } else if has("svm") {
            Self::HardwareSvm
        } else {
            Self::Software
        }
    }
}

impl Machine {
    /// This machine, now.
    #[must_use]
    pub fn this() -> Self {
        let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self {
            date: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
            cpu: field(&info, "model name").unwrap_or("unknown").to_owned(),
            cpus: std::thread::available_parallelism().map_or(1, Into::into),
            kernel: kernel.trim().to_owned(),
            kvm: Kvm::of_flags(field(&info, "flags").unwrap_or_default()),
        }
    }

    /// For people, in a line.
    #[must_use]
    pub fn line(&self) -> String {
        let Self { date, cpu, cpus, kernel, kvm } = self;
        let plural = if *cpus == 1 { "" } else { "s" };
        format!("{cpu}, {cpus} CPU{plural}, Linux {kernel}, {}, {date}", kvm.name())
    }

    /// What to know of figures from a machine with one processor, if this is one.
    #[must_use]
    pub fn note(&self) -> Option<String> {
        (self.cpus == 1).then(|| {
            "there is one CPU only: the times contain the switches between what is measured and what measures, and nothing \
             was measured in parallel"
                .to_owned()
        })
    }
}

/// The value of the first line `name : value`.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut fields = text.lines().filter_map(|line| line.split_once(':'));
    fields.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_of_kvm_follows_from_whole_flags() {
        for (flags, kvm) in [
            ("fpu vmx sse", Kvm::HardwareVmx),
            ("fpu svm", Kvm::HardwareSvm),
            ("fpu svm_lock hypervisor", Kvm::Software),
            ("", Kvm::Software),
        ] {
            assert_eq!(Kvm::of_flags(flags), kvm, "{flags}");
        }
    }

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let text = "model\t\t: 1\nmodel name\t: A CPU: fast\nflags\t: a b\n";
        assert_eq!(field(text, "model name"), Some("A CPU: fast"));
        assert_eq!(field(text, "name"), None);
    }

    #[test]
    fn this_machine_is_described() {
        let machine = Machine::this();
        assert!(machine.cpus > 0 && !machine.kernel.is_empty() && machine.date.ends_with('Z'), "{machine:?}");
    }
}
