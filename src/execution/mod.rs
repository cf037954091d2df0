//! The log records of a server's sessions to executions: which statement, parse, bind, execute, fetch, plan and error records are one run.
//!
//! Comes in: log records of one server in the order of its log. Goes out: executions and captured plans without literals, and the
//! counts of what was read. Pure: no clock, no I/O. What is still incomplete at the end of a batch goes out as an open
//! execution; [`Pairing::save`] keeps what is needed to go on after a restart.

mod arrival;
mod call_site;
mod captured;
mod command;
mod context;
mod failure;
mod incident;
mod open;
mod pairing;
mod query;
mod readable;
mod session;
mod shown;
mod state;

pub use pairing::Pairing;
pub use state::Error;

use serde::Deserialize;

use crate::{
    model::{
        accounting::Accounting,
        execution::{CapturedPlan, Execution},
        incident::{Incident, IncidentExecution},
    },
    statement::lexer::Backslash,
};

/// The `[privacy]` settings: what is kept of statements beside the query, and how their strings are read.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub literals: Literals,
    /// Keys of the tags in statements' comments that are kept; none by default, because whoever writes a comment chooses what stands there.
    pub query_tags: Vec<String>,
    /// The monitored servers run with `standard_conforming_strings = off`.
    pub backslash_quotes: bool,
}

impl Config {
    fn backslash(&self) -> Backslash {
        if self.backslash_quotes {
            Backslash::Escapes
        } else {
            Backslash::Plain
        }
    }
}

/// Whether executions keep the statement and its parameters as they were logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Literals {
    #[default]
    Redact,
    Keep,
}

/// What a stretch of log gave. Each execution occurs at most once.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Events {
    pub executions: Vec<Execution>,
    pub plans: Vec<CapturedPlan>,
    pub incidents: Vec<Incident>,
    /// Executions of these incidents and of earlier ones.
    pub incident_executions: Vec<IncidentExecution>,
    pub accounting: Accounting,
}
