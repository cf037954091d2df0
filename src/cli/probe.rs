//! What the newest log of a server holds: read once, nothing stored.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use jiff::Timestamp;

use crate::{
    daemon::{ServerConfig, ingest},
    model::position::{GenerationId, LogFormat},
    plan,
    record::{Assembled, Assembler, Format, Layout, LinePrefix, contents, detect, wrapper_of},
    statement::{
        message::{self, Message},
        redact,
    },
    tail::{self, discovery},
};

/// How much of the newest log is looked at.
const PROBE_BYTES: u64 = 4 << 20;

/// What was seen.
#[derive(Debug, Default)]
pub(super) struct Probe {
    pub(super) files: usize,
    pub(super) newest: PathBuf,
    pub(super) format: String,
    pub(super) log_line_prefix: Option<String>,
    pub(super) records: u64,
    pub(super) unparsed: u64,
    pub(super) durations: u64,
    pub(super) plans: u64,
    pub(super) plans_read: u64,
    /// Whether any plan tells actual rows, and buffers.
    pub(super) analyze: bool,
    pub(super) buffers: bool,
}

/// Why a server's log can't be looked at.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error(transparent)]
    Tail(#[from] tail::Error),
    #[error("{path}: cannot be read: {source}")]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{path}: no PostgreSQL log in stderr, csvlog or jsonlog format, wrapped or not")]
    Format { path: PathBuf },
    #[error("{path}: {reason}; set servers.log_line_prefix to what SHOW log_line_prefix prints")]
    Prefix { path: PathBuf, reason: String },
}

/// Looks at the end of the server's newest plain log file.
pub(super) fn probe(server: &ServerConfig, config: &ingest::Config) -> Result<Probe, Error> {
    let files = discovery::log_files(&server.paths)?;
    let newest = files
        .iter()
        .rev()
        .find(|file| !file.rotated)
        .or(files.last());
    let Some(newest) = newest else {
        return Ok(Probe::default());
    };
    let path = newest.file.path.clone();
    let bytes = last_bytes(&path).map_err(|source| Error::Read {
        path: path.clone(),
        source,
    })?;
    let format = server
        .format
        .or_else(|| wrapper_of(&bytes).map(LogFormat::Wrapped))
        .or(newest.format_hint)
        .or_else(|| detect::format(&bytes))
        .ok_or_else(|| Error::Format { path: path.clone() })?;
    let syslog_ident = server.syslog_ident.as_deref();
    let contents = contents(format, syslog_ident, &bytes);
    let mut probe = Probe {
        files: files.len(),
        newest: path.clone(),
        format: contents.name(),
        ..Probe::default()
    };
    let inner = match contents.format {
        LogFormat::Csvlog => Format::Csvlog,
        LogFormat::Jsonlog => Format::Jsonlog,
        LogFormat::Stderr | LogFormat::Wrapped(_) => {
            let prefix = line_prefix(server, &contents.bytes)
                .map_err(|reason| Error::Prefix { path, reason })?;
            probe.log_line_prefix = Some(prefix.as_str().to_owned());
            Format::Stderr(prefix)
        }
    };
    let layout = Layout {
        format: contents.wrap(inner, syslog_ident, None),
        time_zone: server.time_zone.clone(),
    };
    let mut assembler = Assembler::new(layout, GenerationId(0), 0, &config.record);
    let mut sink = |assembled| probe.add(assembled);
    assembler.push(&bytes, Timestamp::now(), &mut sink);
    assembler.finish(&mut sink);
    Ok(probe)
}

impl Probe {
    fn add(&mut self, assembled: Assembled) {
        let Assembled::Record(record) = assembled else {
            let is_foreign = matches!(assembled, Assembled::Foreign { .. });
            // The first lines may be the end of a record whose beginning was not looked at.
            self.unparsed += u64::from(!is_foreign) * u64::from(self.records > 0);
            return;
        };
        self.records += 1;
        match message::read(&record.message) {
            Some(Message::Plan { body, .. }) => {
                self.plans += 1;
                if let Ok(read) = plan::read(body, &redact::expression) {
                    self.plans_read += 1;
                    self.analyze |= read.plan.root.actual_rows.is_some();
                    self.buffers |= read.plan.root.shared_hit_blocks.is_some();
                }
            }
            Some(Message::Duration { .. }) => self.durations += 1,
            _ => {}
        }
    }
}

fn line_prefix(server: &ServerConfig, bytes: &[u8]) -> Result<LinePrefix, String> {
    let Some(given) = &server.log_line_prefix else {
        return detect::line_prefix(bytes)
            .prefix
            .ok_or_else(|| "log_line_prefix can't be told from it".to_owned());
    };
    let prefix = LinePrefix::parse(given).map_err(|error| error.to_string())?;
    let explained = detect::explained(&prefix, bytes);
    if explained.explained_count == 0 && explained.line_count > 0 {
        return Err(format!(
            "log_line_prefix {given:?} explains none of {} lines",
            explained.line_count
        ));
    }
    Ok(prefix)
}

fn last_bytes(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let size_bytes = file.metadata()?.len();
    file.seek(SeekFrom::Start(size_bytes.saturating_sub(PROBE_BYTES)))?;
    let mut bytes = Vec::new();
    file.take(PROBE_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}
