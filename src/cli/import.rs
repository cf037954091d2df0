//! `plantail import`: finished logs, once, with the accounting of what was read.

use std::{
    io::IsTerminal,
    time::{Duration, Instant},
};

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{Error, Logs, output, stdin};
use crate::{
    config::Settings,
    daemon::{
        self, Advisor, LogLayout, ServerConfig, ServerIngest,
        ingest::{self, Turn},
    },
    model::{
        accounting::{Accounting, CountSum},
        visible::{visible, visible_json},
    },
    store::Store,
    tail::Mode,
};

/// Read finished logs once; with - for PATH, standard input
#[derive(Debug, Args)]
pub(super) struct Import {
    #[command(flatten)]
    pub(super) logs: Logs,
    /// Ask the configured model about what is slow
    #[arg(long)]
    pub(super) advise: bool,
    /// How the accounting of this run is printed
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    report: Report,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Report {
    #[default]
    Text,
    Json,
}

pub(super) fn run(import: &Import, settings: &mut Settings) -> Result<(), Error> {
    let started = Instant::now();
    if import.advise && settings.daemon.advice.provider.is_none() {
        return Err(Error::Usage(
            "--advise asks a model, and none is configured: set advice.provider".to_owned(),
        ));
    }
    settings.daemon.ingest.advise &= import.advise;
    if settings.daemon.servers.is_empty() {
        return Err(daemon::Error::NoServers.into());
    }
    let store = Store::open(&settings.daemon.store)?;
    let advisor = match import.advise {
        true => Advisor::new(&settings.daemon.advice, &store)?,
        false => None,
    };
    let spool = match import.logs.paths.iter().any(|path| stdin::is_named(path)) {
        true => Some(stdin::Spool::fill(
            settings
                .daemon
                .store
                .url
                .directory()
                .unwrap_or(&std::env::temp_dir()),
        )?),
        false => None,
    };
    if let (Some(spool), [server]) = (&spool, settings.daemon.servers.as_mut_slice()) {
        server.paths = vec![spool.path()];
    }
    let progress = progress_bar(import.report);
    let mut accounting = Accounting::default();
    let mut layouts = Vec::new();
    for server in &settings.daemon.servers {
        let ingest = read_server(&store, server, &settings.daemon.ingest, &progress);
        let ingest = ingest.map_err(|error| match &spool {
            Some(spool) => spool.name_in(&error),
            None => error,
        })?;
        accounting.merge(&ingest.accounting);
        layouts.push((server.name.clone(), ingest.log_layout()));
    }
    progress.finish_and_clear();
    if let Some(advisor) = advisor {
        super::until_done(async {
            advisor.drain().await;
            Ok(())
        })?;
    }
    let text = match import.report {
        Report::Json => visible_json(&report(&accounting, &layouts, started.elapsed()).to_string()),
        Report::Text => {
            let read = layouts
                .iter()
                .filter_map(|(name, layout)| layout_sentence(name, layout));
            let lines: Vec<String> = std::iter::once(sentence(&accounting, started.elapsed()))
                .chain(read)
                .collect();
            lines.join("\n")
        }
    };
    Ok(output::line(&text)?)
}

fn read_server(
    store: &Store,
    server: &ServerConfig,
    config: &ingest::Config,
    progress: &ProgressBar,
) -> Result<ServerIngest, Error> {
    let mut ingest =
        ServerIngest::open(store, server, Mode::Finite, config).map_err(daemon::Error::from)?;
    read_all(&mut ingest, progress)?;
    ingest.finish().map_err(daemon::Error::from)?;
    Ok(ingest)
}

/// Reads until a look at the files finds nothing more.
fn read_all(ingest: &mut ServerIngest, progress: &ProgressBar) -> Result<(), Error> {
    loop {
        if let Some((path, source)) = ingest.scan().unreadable.into_iter().next() {
            return Err(Error::Failed(format!(
                "{}: cannot be read: {source}",
                path.display()
            )));
        }
        progress.set_length(ingest.accounting.bytes + ingest.unread_bytes());
        let mut found = false;
        while ingest.turn(Timestamp::now()).map_err(daemon::Error::from)? == Turn::Committed {
            found = true;
            progress.set_position(ingest.accounting.bytes);
        }
        if !found {
            return Ok(());
        }
    }
}

fn progress_bar(report: Report) -> ProgressBar {
    if report == Report::Json || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template(
        "{wide_bar} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left",
    )
    .expect("the template is valid");
    ProgressBar::new(0).with_style(style)
}

/// What a run took in, in one sentence.
pub(super) fn sentence(accounting: &Accounting, elapsed: Duration) -> String {
    if accounting.records_total == 0 {
        return match (accounting.unparsed, accounting.foreign) {
            (0, 0) => "Read nothing new.".to_owned(),
            (lines @ 1.., _) => format!("Read no log record: {lines} lines could not be read."),
            (0, lines) => format!(
                "Read nothing of the server: {lines} lines are of other programs, told by syslog_ident; --syslog-ident names the server's."
            ),
        };
    }
    let mut text = format!(
        "Read {} log records ({:.1} MB) in {:.1} s: {} executions of {} new queries, {} with a plan.",
        accounting.records_total,
        accounting.bytes as f64 / 1e6,
        elapsed.as_secs_f64(),
        accounting.executions,
        accounting.queries,
        accounting.executions_with_plan,
    );
    for (count, what) in [
        (accounting.unparsed, "could not be read"),
        (accounting.torn, "are torn"),
        (accounting.foreign, "lines are of other programs"),
        (accounting.ambiguous, "can be read as another session's too"),
        (
            accounting.plans_unparsable,
            "are plans that could not be read",
        ),
        (accounting.gaps, "gaps: log bytes are lost"),
    ] {
        if count > 0 {
            text.push_str(&format!(" {count} {what}."));
        }
    }
    text
}

/// How a server's log was read; nothing if it wasn't.
fn layout_sentence(server: &str, layout: &LogLayout) -> Option<String> {
    if layout.formats.is_empty() {
        return None;
    }
    let formats: Vec<&str> = layout.formats.iter().map(String::as_str).collect();
    let mut text = format!("{}: {}", visible(server), formats.join(", "));
    if let Some(prefix) = &layout.log_line_prefix {
        text.push_str(&format!(", log_line_prefix = '{}'", visible(prefix)));
    }
    if !layout.disputed.is_empty() {
        text.push_str(&format!(
            "; the log alone doesn't tell {}: give --log-line-prefix to know them",
            layout.disputed.join(", ")
        ));
    }
    Some(text)
}

/// The accounting as JSON; keys and meanings are part of the interface.
fn report(accounting: &Accounting, layouts: &[(String, LogLayout)], elapsed: Duration) -> Value {
    let servers: Vec<Value> = layouts
        .iter()
        .map(|(name, layout)| {
            json!({
                "name": name,
                "formats": layout.formats,
                "log_line_prefix": layout.log_line_prefix,
                "disputed": layout.disputed,
            })
        })
        .collect();
    let table = |rows: Vec<(String, Value)>| Value::Object(rows.into_iter().collect::<Map<_, _>>());
    let by_db_user = |sums: &std::collections::BTreeMap<(String, String), CountSum>| {
        table(
            sums.iter()
                .map(|((database, user), sum)| {
                    (
                        format!("{database},{user}"),
                        json!({ "count": sum.count, "sum_ms": sum.sum_ms }),
                    )
                })
                .collect(),
        )
    };
    json!({
        "records_total": accounting.records_total,
        "by_severity": table(accounting.by_severity.iter().map(|(s, n)| (s.as_str().to_owned(), json!(n))).collect()),
        "by_sqlstate": table(accounting.by_sqlstate.iter().map(|(s, n)| (s.as_str().to_owned(), json!(n))).collect()),
        "duration_events": {
            "count": accounting.durations.count,
            "sum_ms": accounting.durations.sum_ms,
            "by_kind": table(accounting.durations_by_kind.iter().map(|(k, n)| (k.as_str().to_owned(), json!(n))).collect()),
            "by_db_user": by_db_user(&accounting.durations_by_db_user),
        },
        "plan_events": {
            "count": accounting.plans.count,
            "sum_ms": accounting.plans.sum_ms,
            "by_format": table(accounting.plans_by_format.iter().map(|(f, n)| ((*f).to_owned(), json!(n))).collect()),
            "unparsable": accounting.plans_unparsable,
            "nested": accounting.plans_nested,
            "by_root_node": table(accounting.plans_by_root_node.iter().map(|(r, n)| (r.clone(), json!(n))).collect()),
            "by_db_user": by_db_user(&accounting.plans_by_db_user),
        },
        "incidents": table(accounting.incidents.iter().map(|(kind, n)| (kind.as_str().to_owned(), json!(n))).collect()),
        "forged_duration_messages": accounting.forged_duration_messages,
        "executions": accounting.executions,
        "executions_with_plan": accounting.executions_with_plan,
        "queries": accounting.queries,
        "torn": accounting.torn,
        "ambiguous": accounting.ambiguous,
        "unparsed": accounting.unparsed,
        "foreign": accounting.foreign,
        "gaps": accounting.gaps,
        "bytes": accounting.bytes,
        "servers": servers,
        "elapsed_ms": elapsed.as_secs_f64() * 1000.0,
    })
}
