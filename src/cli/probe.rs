//! What the newest log of a server holds: read once, nothing stored.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use jiff::Timestamp;

use crate::{
    daemon::{ServerConfig, ingest},
    model::{
        plan::PlanFormat,
        position::{Codec, GenerationId, LogFormat},
    },
    plan,
    record::{Assembled, Assembler, Format, Layout, LinePrefix, contents, detect, wrapper_of},
    statement::{
        message::{self, Message},
        redact,
    },
    tail::{
        self,
        discovery::{self, LogFile},
    },
};

/// How much of the newest log is looked at.
const PROBE_BYTES: u64 = 4 << 20;

/// What was seen.
#[derive(Debug, Default)]
pub(super) struct Probe {
    pub(super) files: usize,
    pub(super) path: PathBuf,
    pub(super) format: String,
    pub(super) log_line_prefix: Option<LinePrefix>,
    pub(super) records: u64,
    pub(super) unparsed: u64,
    /// Lines of other programs.
    pub(super) foreign: u64,
    pub(super) durations: u64,
    pub(super) plans: u64,
    pub(super) plans_read: u64,
    /// Whether a plan in XML could not be read.
    pub(super) xml_unread: bool,
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
    #[error("{path}: is compressed; check looks at the log that the server writes to, name that")]
    Compressed { path: PathBuf },
    #[error("{path}: is empty; check again when the server has logged something")]
    Empty { path: PathBuf },
    #[error("{path}: no PostgreSQL log in stderr, csvlog or jsonlog format, wrapped or not")]
    Format { path: PathBuf },
    #[error("{path}: {reason}; set servers.log_line_prefix to what SHOW log_line_prefix prints")]
    Prefix { path: PathBuf, reason: String },
}

/// Looks at the end of the newest file of the format that `watch` reads of the server.
pub(super) fn probe(server: &ServerConfig, config: &ingest::Config) -> Result<Probe, Error> {
    let files = discovery::log_files(&server.paths)?;
    let Some(looked_at) = written_last(&files) else {
        return Ok(Probe::default());
    };
    let path = looked_at.file.path.clone();
    let unreadable = |source| Error::Read {
        path: path.clone(),
        source,
    };
    let (codec, bytes) = last_bytes(&path).map_err(unreadable)?;
    if codec != Codec::Raw {
        return Err(Error::Compressed { path });
    }
    if bytes.is_empty() {
        return Err(Error::Empty { path });
    }
    let format = server
        .format
        .or_else(|| wrapper_of(&bytes).map(LogFormat::Wrapped))
        .or(looked_at.format_hint)
        .or_else(|| detect::format(&bytes))
        .ok_or_else(|| Error::Format { path: path.clone() })?;
    let syslog_ident = server.syslog_ident.as_deref();
    let contents = contents(format, syslog_ident, &bytes);
    let mut probe = Probe {
        files: files.len(),
        path: path.clone(),
        format: contents.name(),
        ..Probe::default()
    };
    let inner = match contents.format {
        LogFormat::Csvlog => Format::Csvlog,
        LogFormat::Jsonlog => Format::Jsonlog,
        LogFormat::Stderr | LogFormat::Wrapped(_) => {
            let prefix = line_prefix(server, &contents.bytes).map_err(|reason| Error::Prefix {
                path: path.clone(),
                reason,
            })?;
            probe.log_line_prefix = Some(prefix.clone());
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
    if probe.records == 0 && probe.foreign == 0 {
        return Err(Error::Format { path });
    }
    Ok(probe)
}

/// The file that the server writes to, by names and times.
fn written_last(files: &[LogFile]) -> Option<&LogFile> {
    let format_of = |file: &LogFile| file.format_hint.unwrap_or(LogFormat::Stderr);
    let written: Vec<&LogFile> = files
        .iter()
        .filter(|file| !file.rotated && file.file.size_bytes > 0)
        .collect();
    let ages: Vec<_> = written
        .iter()
        .map(|file| (format_of(file), file.file.modified_us))
        .collect();
    let format = tail::ingested_format(&ages);
    let last = written
        .into_iter()
        .rfind(|file| Some(format_of(file)) == format);
    last.or(files.last())
}

impl Probe {
    fn add(&mut self, assembled: Assembled) {
        let Assembled::Record(record) = assembled else {
            let is_foreign = matches!(assembled, Assembled::Foreign { .. });
            self.foreign += u64::from(is_foreign);
            // The first lines may be the end of a record whose beginning was not looked at.
            self.unparsed += u64::from(!is_foreign) * u64::from(self.records > 0);
            return;
        };
        self.records += 1;
        match message::read(&record.message) {
            Some(Message::Plan { body, .. }) => {
                self.plans += 1;
                match plan::read(body, &redact::expression) {
                    Ok(read) => {
                        self.plans_read += 1;
                        self.analyze |= read.plan.root.actual_rows.is_some();
                        self.buffers |= read.plan.root.shared_hit_blocks.is_some();
                    }
                    Err(_) => self.xml_unread |= plan::format_of(body) == PlanFormat::Xml,
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

/// How the file is compressed, and the bytes at its end from the beginning of a line on.
fn last_bytes(path: &Path) -> std::io::Result<(Codec, Vec<u8>)> {
    let mut file = File::open(path)?;
    let mut magic = [0; tail::MAGIC_BYTES];
    let magic_bytes = file.read_at(&mut magic, 0)?;
    let codec = tail::codec_of(magic.get(..magic_bytes).unwrap_or_default());
    let skipped = file.metadata()?.len().saturating_sub(PROBE_BYTES);
    file.seek(SeekFrom::Start(skipped))?;
    let mut bytes = Vec::new();
    file.take(PROBE_BYTES).read_to_end(&mut bytes)?;
    if skipped > 0
        && let Some(line_end) = memchr::memchr(b'\n', &bytes)
    {
        bytes.drain(..=line_end);
    }
    Ok((codec, bytes))
}
