//! `plantail verify`: whether the store holds what the logs say.

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::{Error, Logs, output};
use crate::{
    config::Settings,
    daemon::{self, VerifiedCounts, VerifiedGeneration, VerifiedServer},
    model::visible::{visible, visible_json},
    store::Store,
};

/// Read logs that are still there again and compare them with the store
#[derive(Debug, Args)]
pub(super) struct Verify {
    #[command(flatten)]
    pub(super) logs: Logs,
    /// How it is printed
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    format: Format,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    #[default]
    Text,
    Json,
}

pub(super) fn run(verify: &Verify, settings: &Settings) -> Result<(), Error> {
    let config = &settings.daemon;
    if config.servers.is_empty() {
        return Err(daemon::Error::NoServers.into());
    }
    let store = Store::open_existing(&config.store)?;
    let mut verified = Vec::new();
    for server in &config.servers {
        let one = daemon::verify(
            &store,
            &config.store.url,
            server,
            &config.ingest,
            config.retention.executions_days,
        )?;
        if verify.format == Format::Text {
            output::line(&text(&one))?;
        }
        verified.push(one);
    }
    let differ = verified.iter().filter(|one| one.differs()).count();
    if verify.format == Format::Json {
        let servers: Vec<Value> = verified.iter().map(server_json).collect();
        let report = json!({ "differs": differ > 0, "servers": servers });
        output::line(&visible_json(&report.to_string()))?;
    }
    match differ {
        0 => Ok(()),
        count => Err(Error::Failed(format!(
            "{count} of {} servers differ from the store",
            verified.len()
        ))),
    }
}

fn text(one: &VerifiedServer) -> String {
    let name = visible(&one.server.name);
    let mut lines: Vec<String> = one
        .generations
        .iter()
        .map(|generation| generation_text(&name, generation))
        .collect();
    if lines.is_empty() {
        lines.push(format!("{name}  no file holds what the store has read"));
    }
    if let Some(counts) = &one.counts {
        let VerifiedCounts {
            records,
            bytes,
            duration_events,
        } = counts;
        for (what, (log, stored)) in [
            ("records", records),
            ("bytes", bytes),
            ("durations", duration_events),
        ] {
            if log != stored {
                lines.push(format!(
                    "DIFFERS  {name}  {what}: {log} in the log, {stored} in the store"
                ));
            }
        }
    }
    lines.join("\n")
}

fn generation_text(name: &str, one: &VerifiedGeneration) -> String {
    let mut line = format!(
        "{:<7}  {name}  {}  generation {:016x}  {} bytes",
        if one.differs() { "DIFFERS" } else { "ok" },
        visible(&one.path.display().to_string()),
        one.id.0,
        one.log_bytes,
    );
    if !one.is_stored {
        line.push_str(&format!(
            "  not in the store: {} executions",
            one.in_log.executions
        ));
        if let Some(replaced) = one.replaces {
            line.push_str(&format!(
                "; what was read from this file, generation {:016x}, isn't in it any more",
                replaced.0
            ));
        }
        return line;
    }
    if one.is_watched {
        line.push_str("  not compared: the server's log was read in another format");
        return line;
    }
    if one.log_bytes != one.stored_bytes {
        line.push_str(&format!(" of {} that the store has", one.stored_bytes));
    }
    line.push_str(&format!(
        "  {} executions, {:.3} ms, checksum {:016x}",
        one.in_log.executions, one.in_log.total_ms, one.in_log.checksum
    ));
    if one.differs() {
        line.push_str(&format!(
            "; in the store {} executions, {:.3} ms, checksum {:016x}",
            one.in_store.executions, one.in_store.total_ms, one.in_store.checksum
        ));
    }
    for (count, what) in [
        (one.missing, "missing in the store"),
        (one.surplus, "not in the log"),
        (one.different, "different"),
        (one.gaps_missing, "gaps missing in the store"),
        (one.gaps_surplus, "gaps not in the log"),
        (one.removed, "older than store.retention"),
        (one.open, "still open"),
    ] {
        if count > 0 {
            line.push_str(&format!("; {count} {what}"));
        }
    }
    line
}

fn server_json(one: &VerifiedServer) -> Value {
    let pair = |(log, stored): (u64, u64)| json!({ "log": log, "store": stored });
    json!({
        "server": one.server.name,
        "differs": one.differs(),
        "counts": one.counts.map(|counts| json!({
            "records": pair(counts.records),
            "bytes": pair(counts.bytes),
            "duration_events": pair(counts.duration_events),
        })),
        "generations": one.generations.iter().map(generation_json).collect::<Vec<Value>>(),
    })
}

fn generation_json(one: &VerifiedGeneration) -> Value {
    json!({
        "path": one.path.display().to_string(),
        "generation": format!("{:016x}", one.id.0),
        "differs": one.differs(),
        "is_stored": one.is_stored,
        "replaces": one.replaces.map(|id| format!("{:016x}", id.0)),
        "bytes": { "log": one.log_bytes, "store": one.stored_bytes },
        "executions": { "log": one.in_log.executions, "store": one.in_store.executions },
        "total_ms": { "log": one.in_log.total_ms, "store": one.in_store.total_ms },
        "checksum": {
            "log": format!("{:016x}", one.in_log.checksum),
            "store": format!("{:016x}", one.in_store.checksum),
        },
        "is_watched": one.is_watched,
        "gaps": { "missing": one.gaps_missing, "surplus": one.gaps_surplus },
        "missing": one.missing,
        "surplus": one.surplus,
        "different": one.different,
        "removed": one.removed,
        "open": one.open,
    })
}
