//! The result of a full run, dated, in the repository: text that a reviewer reads. It names no machine.

use crate::{Done, tidy};
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

/// Writes `fixtures/results/DATE.md` and returns its path.
pub fn keep(done: &[Done]) -> anyhow::Result<PathBuf> {
    let date = date(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs());
    let commit = Command::new("git").args(["rev-parse", "HEAD"]).current_dir(tidy::root()).output()?;
    anyhow::ensure!(commit.status.success(), "git does not know the commit");
    let folder = tidy::root().join("fixtures").join("results");
    fs::create_dir_all(&folder)?;
    let file = folder.join(format!("{date}.md"));
    fs::write(&file, text(&date, String::from_utf8_lossy(&commit.stdout).trim(), done))?;
    Ok(file)
}

fn text(date: &str, commit: &str, done: &[Done]) -> String {
    let mut out = format!(
        "# The gate in full, {date}\n\nWritten by `cargo run -p ci -- full` at commit {commit}.\n\n\
         | step | outcome | seconds |\n| --- | --- | --- |\n"
    );
    for step in done {
        let outcome = match &step.outcome {
            Ok(said) if said.is_empty() => "ok".to_owned(),
            Ok(said) => format!("ok: {said}"),
            Err(error) => format!("FAILED: {error:#}"),
        };
        let outcome = outcome.replace('|', "\\|").replace('\n', " ");
        let _ = writeln!(out, "| {} | {outcome} | {:.0} |", step.name, step.took.as_secs_f32());
    }
    out
}

/// YYYY-MM-DD (UTC) of a moment in seconds since the epoch.
pub fn date(seconds: u64) -> String {
    // Days are counted from the first of March of year 0, so that the leap day is a year's last.
    let days = seconds / 86_400 + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn days_have_their_dates() {
        for (seconds, expected) in [
            (0, "1970-01-01"),
            (951_782_399, "2000-02-28"),
            (951_782_400, "2000-02-29"),
            (1_709_164_800, "2024-02-29"),
            (1_735_689_599, "2024-12-31"),
        ] {
            assert_eq!(date(seconds), expected);
        }
    }

    #[test]
    fn every_step_has_its_line() {
        let done = |name, outcome| Done { name, took: Duration::from_millis(1_600), outcome };
        let all = [
            done("a", Ok(String::new())),
            done("b", Ok("2 | 3".into())),
            done("c", Err(anyhow::anyhow!("x\ny"))),
        ];
        let told = text("2026-01-02", "abc", &all);
        assert!(
            told.ends_with("| a | ok | 2 |\n| b | ok: 2 \\| 3 | 2 |\n| c | FAILED: x y | 2 |\n"),
            "{told}"
        );
    }
}
