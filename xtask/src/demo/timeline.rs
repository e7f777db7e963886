//! The run of the guest as a table.

use anyhow::{Context, Result};
use serde_json::Value;
use std::path::Path;

/// Prints the timeline of a run report.
pub(super) fn print(report: &Path) -> Result<()> {
    let text = std::fs::read(report).with_context(|| format!("{} cannot be read", report.display()))?;
    let report: Value =
        serde_json::from_slice(&text).with_context(|| format!("{} is no report", report.display()))?;
    print!("{}", table(&report).context("the run report has no timeline")?);
    Ok(())
}

/// The table: when each step was done and how long it took, in milliseconds.
fn table(report: &Value) -> Option<String> {
    let mut table = format!("{:>10}  {:>10}  step\n", "at ms", "took ms");
    for step in report.get("timeline")?.as_array()? {
        let milliseconds = |field| Some(step.get(field)?.as_f64()? / 1e6);
        let (at, took) = (milliseconds("at_ns")?, milliseconds("took_ns")?);
        table += &format!("{at:>10.3}  {took:>10.3}  {}\n", step.get("step")?.as_str()?);
    }
    Some(table)
}

#[cfg(test)]
mod tests {
    use super::table;
    use serde_json::json;

    #[test]
    fn each_step_is_a_line() {
        let report = json!({"timeline": [
            {"step": "memory", "at_ns": 1_500_000, "took_ns": 1_500_000},
            {"step": "image", "at_ns": 1_600_000, "took_ns": 100_000},
        ]});
        let expected =
            "     at ms     took ms  step\n     1.500       1.500  memory\n     1.600       0.100  image\n";
        assert_eq!(table(&report).as_deref(), Some(expected));
        assert_eq!(table(&json!({})), None);
    }
}
