//! How long a test waits for a cluster inside its own process, and for its end.
//!
//! `cargo bench -p jackdaw-embedded`

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot measure ends there")]

use jackdaw_embedded::Cluster;
use std::time::{Duration, Instant};

const RUNS: usize = 9;

fn main() {
    for brokers in [1, 3] {
        let (mut ready, mut gone) = (Vec::new(), Vec::new());
        for _ in 0..RUNS {
            let began = Instant::now();
            let cluster = Cluster::builder().brokers(brokers).start().unwrap();
            ready.push(began.elapsed());
            let began = Instant::now();
            drop(cluster);
            gone.push(began.elapsed());
        }
        println!("{brokers} broker(s): start to ready {}, drop to gone {}", spread(ready), spread(gone));
    }
}

fn spread(mut times: Vec<Duration>) -> String {
    times.sort();
    let ms = |at: usize| times[at].as_secs_f64() * 1e3;
    format!("{:.0} ms (min {:.0}, max {:.0})", ms(RUNS / 2), ms(0), ms(RUNS - 1))
}
