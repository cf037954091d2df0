//! `plantail check`: the doctor. Says of the configuration, the store and each server's log what is right, and what to change where it isn't.

use clap::Args;

use super::{
    Error, Logs, output,
    probe::{self, Probe},
};
use crate::{
    config::Settings,
    daemon,
    model::visible::visible,
    store::{self, MigrationError, Store},
};

/// Check configuration, store, logs and PostgreSQL's settings, and say what to change
#[derive(Debug, Args)]
pub(super) struct Check {
    #[command(flatten)]
    pub(super) logs: Logs,
}

pub(super) fn run(settings: &Settings) -> Result<(), Error> {
    if settings.daemon.servers.is_empty() {
        return Err(daemon::Error::NoServers.into());
    }
    let config = &settings.daemon.store;
    match Store::open_existing(config) {
        Ok(_) => output::line(&format!("store    ok: {}", config.url))?,
        Err(
            store::Error::Missing { .. }
            | store::Error::Migration {
                source:
                    MigrationError::Older {
                        store_version: None,
                        ..
                    },
                ..
            },
        ) => {
            output::line(&format!(
                "store    ok: {} will be created by watch or import",
                config.url
            ))?;
        }
        Err(error) => return Err(error.into()),
    }
    let mut troubles = 0;
    for server in &settings.daemon.servers {
        let report = match probe::probe(server, &settings.daemon.ingest) {
            Ok(probe) => {
                let advice = advice(&probe);
                troubles += usize::from(!advice.is_empty());
                describe(&server.name, &probe) + &advice
            }
            Err(error) => {
                troubles += 1;
                format!("{}    trouble: {error}", server.name)
            }
        };
        output::line(&report)?;
    }
    match troubles {
        0 => Ok(()),
        count => Err(Error::Failed(format!(
            "{count} of {} servers could tell more",
            settings.daemon.servers.len()
        ))),
    }
}

/// What was seen in the log, on one line.
fn describe(name: &str, probe: &Probe) -> String {
    let format = match &probe.log_line_prefix {
        Some(prefix) => format!(
            "{} with log_line_prefix = '{}'",
            probe.format,
            prefix.as_str()
        ),
        None => probe.format.clone(),
    };
    let foreign = match probe.foreign {
        0 => String::new(),
        lines => format!(", {lines} lines of other programs"),
    };
    format!(
        "{name}    {} of {} files: {format}; in its last {} records {} durations, {} plans ({} read), {} lines not read{foreign}\n",
        visible(&probe.path.display().to_string()),
        probe.files,
        probe.records,
        probe.durations,
        probe.plans,
        probe.plans_read,
        probe.unparsed,
    )
}

/// The settings whose change would tell more, as SQL for the watched server; empty where nothing is missing.
fn advice(probe: &Probe) -> String {
    let mut sql: Vec<(&str, Option<&str>)> = Vec::new();
    if probe.durations == 0 && probe.plans == 0 {
        sql.push((
            "ALTER SYSTEM SET log_min_duration_statement = '200ms';",
            Some("no slow statement is in sight; fine if there was none"),
        ));
    }
    if probe.plans == 0 {
        sql.push(("LOAD 'auto_explain';", Some("no plan is logged")));
        sql.push((
            "ALTER SYSTEM SET session_preload_libraries = 'auto_explain';",
            Some("for new sessions; keep what SHOW session_preload_libraries prints"),
        ));
        sql.push((
            "ALTER SYSTEM SET auto_explain.log_min_duration = '500ms';",
            None,
        ));
        sql.push((
            "ALTER SYSTEM SET auto_explain.log_nested_statements = on;",
            Some("statements inside functions too"),
        ));
    }
    if probe.plans == 0 {
        sql.push((
            "ALTER SYSTEM SET auto_explain.log_format = 'json';",
            Some("text, XML and YAML are read too; JSON tells the most"),
        ));
    } else if probe.xml_unread {
        sql.push((
            "ALTER SYSTEM SET auto_explain.log_format = 'json';",
            Some("a statement with control characters makes XML that nobody can read"),
        ));
    }
    if !probe.analyze {
        sql.push((
            "ALTER SYSTEM SET auto_explain.log_analyze = on;",
            Some("without actual rows no rule can decide"),
        ));
        sql.push((
            "ALTER SYSTEM SET auto_explain.log_timing = off;",
            Some("the costly part of log_analyze; no rule needs it"),
        ));
    }
    if !probe.buffers {
        sql.push(("ALTER SYSTEM SET auto_explain.log_buffers = on;", None));
    }
    let prefix = probe.log_line_prefix.as_ref();
    let with_names = prefix
        .filter(|prefix| !prefix.names_clients())
        .map(|prefix| {
            let given = prefix.as_str().replace('\'', "''");
            format!("ALTER SYSTEM SET log_line_prefix = '{given}%q%u@%d ';")
        });
    if let Some(statement) = &with_names {
        sql.push((
            statement,
            Some("else queries of all users and databases are one"),
        ));
    }
    if sql.is_empty() {
        return String::new();
    }
    let mut text = String::from("         To see more, as superuser on that server:\n");
    for (statement, why) in sql {
        let why = why.map(|why| format!("  -- {why}")).unwrap_or_default();
        text.push_str(&format!("           {statement}{why}\n"));
    }
    text + "           SELECT pg_reload_conf();\n"
}
