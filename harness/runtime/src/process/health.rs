//! Healthchecks of processes, by Docker's rules (moby `daemon/health.go`): what counts, and when the next one is due.
//! The rules have no clock; the probe is a child of the supervisor's.
//!
//! Evidence comes earlier than with Docker: until it is healthy, a service is asked again after a tenth of a second, then
//! after twice as long, and so on. Failures count no faster for that than the file's interval lets them.

use rustix::process::{Pid, Signal};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

/// Docker's defaults.
const INTERVAL_MS: u64 = 30_000;
const TIMEOUT_MS: u64 = 30_000;
const RETRIES: u64 = 3;
/// The first look after a start.
pub const FIRST_MS: u64 = 100;
/// Of what a check prints, the end is kept.
const KEPT_BYTES: usize = 400;

/// A healthcheck.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthSpec {
    /// Program and arguments.
    pub command: Vec<String>,
    /// The whole environment.
    pub env: BTreeMap<String, String>,
    /// Working directory.
    pub cwd: PathBuf,
    /// Between two checks.
    pub interval_ms: u64,
    /// For one.
    pub timeout_ms: u64,
    /// Failures in a row that make it unhealthy.
    pub retries: u64,
    /// Time after the start in which failures do not count.
    pub start_period_ms: u64,
}

impl HealthSpec {
    /// A check of the file with the words that run it here.
    pub fn of(
        check: &jackdaw_compose::Healthcheck,
        command: Vec<String>,
        env: BTreeMap<String, String>,
        cwd: PathBuf,
    ) -> Self {
        // As with Docker, a time of zero is none.
        let ms = |time: Option<Duration>, default: u64| match time.map(|time| time.as_millis() as u64) {
            None | Some(0) => default,
            Some(ms) => ms,
        };
        HealthSpec {
            command,
            env,
            cwd,
            interval_ms: ms(check.interval, INTERVAL_MS),
            timeout_ms: ms(check.timeout, TIMEOUT_MS),
            retries: check.retries.filter(|retries| *retries > 0).unwrap_or(RETRIES),
            start_period_ms: ms(check.start_period, 0),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Starting,
    Healthy,
    Unhealthy,
}

/// The health of one run.
#[derive(Debug)]
pub struct Health {
    status: Status,
    failures: u64,
    counted_ms: u64,
    eager_ms: u64,
}

impl Default for Health {
    fn default() -> Self {
        Health { status: Status::Starting, failures: 0, counted_ms: 0, eager_ms: FIRST_MS }
    }
}

impl Health {
    /// Docker's word.
    pub fn word(&self) -> &'static str {
        match self.status {
            Status::Starting => "starting",
            Status::Healthy => "healthy",
            Status::Unhealthy => "unhealthy",
        }
    }

    /// Takes the outcome of a check that ended so long after the start; the time until the next.
    pub fn after(&mut self, spec: &HealthSpec, passed: bool, since_start_ms: u64) -> u64 {
        if passed {
            self.status = Status::Healthy;
            self.failures = 0;
            self.counted_ms = since_start_ms;
            return spec.interval_ms;
        }
        let forgiven = self.status == Status::Starting && since_start_ms < spec.start_period_ms;
        if !forgiven && since_start_ms >= self.counted_ms + spec.interval_ms {
            self.counted_ms = since_start_ms;
            self.failures += 1;
        }
        if self.failures >= spec.retries {
            self.status = Status::Unhealthy;
        }
        if self.status != Status::Starting {
            return spec.interval_ms;
        }
        self.eager_ms = (self.eager_ms * 2).min(spec.interval_ms);
        self.eager_ms
    }
}

/// Runs the check once: whether it passed, and the end of what it printed. `guard` is put before its words.
pub async fn probe(spec: HealthSpec, guard: Vec<String>) -> (bool, String) {
    let mut words = guard.iter().chain(&spec.command);
    let Some(program) = words.next() else { return (false, String::new()) };
    let mut command = Command::new(program);
    command.args(words).env_clear().envs(&spec.env).current_dir(&spec.cwd);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = match command.process_group(0).kill_on_drop(true).spawn() {
        Ok(child) => child,
        Err(error) => return (false, format!("{program}: {error}")),
    };
    let group = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    let limit = Duration::from_millis(spec.timeout_ms);
    match tokio::time::timeout(limit, child.wait_with_output()).await {
        Ok(Ok(output)) => {
            let said = [output.stdout, output.stderr].concat();
            let said =
                String::from_utf8_lossy(&said[said.len().saturating_sub(KEPT_BYTES)..]).trim().to_owned();
            (output.status.success(), said)
        }
        Ok(Err(error)) => (false, error.to_string()),
        Err(_) => {
            // What the check started is ended with it.
            let _ = group.map(|group| rustix::process::kill_process_group(group, Signal::KILL));
            (false, format!("no answer within {} s", spec.timeout_ms.div_ceil(1000)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(interval_ms: u64, retries: u64, start_period_ms: u64) -> HealthSpec {
        let command = ["/bin/sh", "-c", "echo no >&2; exit 1"].map(str::to_owned).to_vec();
        let (env, cwd) = (BTreeMap::new(), PathBuf::from("/"));
        HealthSpec { command, env, cwd, interval_ms, timeout_ms: 5000, retries, start_period_ms }
    }

    #[test]
    fn failures_count_by_the_interval_and_not_while_it_starts() {
        // Since the start, passed, then: word, milliseconds to the next.
        type Row = (u64, bool, &'static str, u64);
        let tables: [(HealthSpec, &[Row]); 3] = [
            (
                spec(1000, 2, 0),
                &[
                    (100, false, "starting", 200),
                    (300, false, "starting", 400),
                    (700, false, "starting", 800),
                    (1500, false, "starting", 1000),
                    (2500, false, "unhealthy", 1000),
                    (3500, true, "healthy", 1000),
                    (4500, false, "healthy", 1000),
                    (5500, false, "unhealthy", 1000),
                ],
            ),
            (spec(1000, 1, 5000), &[(4000, false, "starting", 200), (6000, false, "unhealthy", 1000)]),
            (spec(30_000, 3, 0), &[(100, true, "healthy", 30_000)]),
        ];
        for (spec, rows) in tables {
            let mut health = Health::default();
            for (at_ms, passed, word, next_ms) in rows {
                let next = health.after(&spec, *passed, *at_ms);
                assert_eq!((health.word(), next), (*word, *next_ms), "at {at_ms} of {spec:?}");
            }
        }
    }

    #[tokio::test]
    async fn a_check_tells_how_it_ended_and_what_it_said() {
        assert_eq!(probe(spec(1, 1, 0), Vec::new()).await, (false, "no".into()));
        let hangs = HealthSpec {
            command: ["/bin/sh", "-c", "sleep 60; true"].map(str::to_owned).to_vec(),
            timeout_ms: 50,
            ..spec(1, 1, 0)
        };
        assert_eq!(probe(hangs, Vec::new()).await, (false, "no answer within 1 s".into()));
        let passes = HealthSpec { command: vec!["true".into()], ..spec(1, 1, 0) };
        assert!(probe(passes, Vec::new()).await.0);
    }
}
