//! What `plantail watch` costs as a process, and how soon it shows what was written: the goals of the whole daemon, measured from outside.
//!
//! `cargo bench --bench watch` runs all parts, `cargo bench --bench watch -- latency idle` some: `latency`, `catch-up`, `idle`, `memory`,
//! `restart`. `PLANTAIL_BENCH_POSTGRES=postgres://…` (a database that may be emptied) has latency and catch-up measured with that store too.
//! `PLANTAIL_BENCH_BYTES` is the size of the log that memory is measured with, 10^9 by default. `PLANTAIL_BENCH_PROGRAM` names another program
//! than the one that was built. Latency and idle CPU need a quiet machine.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark that cannot run has nothing to report"
)]

mod catch_up;
mod idle;
mod latency;
mod log;
mod memory;
mod process;
mod restart;
mod stored;

use self::stored::StoreAt;

fn main() {
    let named: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with('-'))
        .collect();
    let wanted = |part: &str| named.is_empty() || named.iter().any(|name| name == part);
    if wanted("latency") {
        StoreAt::each().iter().for_each(latency::measure);
    }
    if wanted("catch-up") {
        StoreAt::each().iter().for_each(catch_up::measure);
    }
    if wanted("idle") {
        idle::measure();
    }
    if wanted("memory") {
        memory::measure();
    }
    if wanted("restart") {
        restart::measure();
    }
}

/// One figure beside its goal.
fn report(what: &str, figure: f64, unit: &str, goal: f64) {
    let met = match figure < goal {
        true => "met",
        false => "MISSED",
    };
    println!("  {what:<58} {figure:>9.2} {unit:<11} goal < {goal} {unit}: {met}");
}
