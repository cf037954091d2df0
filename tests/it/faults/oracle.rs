use std::{
    fs::{File, OpenOptions},
    io::{Seek, Write},
    path::{Path, PathBuf},
};

use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Stderr,
    Csvlog,
    Jsonlog,
}

pub(crate) const FORMATS: &[Format] = &[Format::Stderr, Format::Csvlog, Format::Jsonlog];
pub(crate) const STDERR: &[Format] = &[Format::Stderr];

impl Format {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Stderr => "stderr",
            Self::Csvlog => "csvlog",
            Self::Jsonlog => "jsonlog",
        }
    }

    pub(crate) fn extension(self) -> &'static str {
        match self {
            Self::Stderr => "log",
            Self::Csvlog => "csv",
            Self::Jsonlog => "json",
        }
    }
}

/// A record that was written: its duration in microseconds is its number.
#[derive(Debug, Clone)]
pub(crate) struct Written {
    pub(crate) number: u64,
    pub(crate) process_id: i64,
    pub(crate) statement: String,
    /// Which content it stands in, and where.
    pub(crate) life: usize,
    pub(crate) start: u64,
    pub(crate) end: u64,
}

/// Writes a log and keeps its own list of what it wrote. A life is one content of a file, from its creation or truncation on.
pub(crate) struct Writer {
    format: Format,
    path: PathBuf,
    file: Option<File>,
    appends: bool,
    /// The life that is written to.
    life: usize,
    next: u64,
    pub(crate) written: Vec<Written>,
    pub(crate) lives: Vec<Vec<u8>>,
}

impl Writer {
    pub(crate) fn new(format: Format, path: PathBuf) -> Self {
        Self {
            format,
            path,
            file: None,
            appends: true,
            life: 0,
            next: 1,
            written: Vec::new(),
            lives: Vec::new(),
        }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.path.clone()
    }

    pub(crate) fn format(&self) -> Format {
        self.format
    }

    /// Opens without O_APPEND from now on, as PostgreSQL does after a rotation that truncated: after a truncation by others it goes on where it was.
    pub(crate) fn without_append(&mut self) {
        self.appends = false;
        self.file = None;
    }

    /// The next record goes to a new file at `path`.
    pub(crate) fn reopen(&mut self, path: &Path) {
        self.path = path.to_owned();
        self.file = None;
    }

    /// Somebody has truncated the file: a new life in the same open file. Where the writer doesn't append it begins with a hole.
    pub(crate) fn was_truncated(&mut self) {
        let hole = match (&mut self.file, self.appends) {
            (Some(file), false) => file.stream_position().unwrap(),
            _ => 0,
        };
        self.new_life(vec![0; usize::try_from(hole).unwrap()]);
    }

    /// What is written next begins a content, or goes on behind these bytes.
    pub(crate) fn new_life(&mut self, bytes: Vec<u8>) {
        self.lives.push(bytes);
        self.life = self.lives.len() - 1;
    }

    /// Goes on in a file that was begun before.
    pub(crate) fn go_on(&mut self, path: &Path, life: usize) {
        self.reopen(path);
        self.life = life;
    }

    /// Goes on with another writer's list, in the last of its files.
    pub(crate) fn inherit(&mut self, other: Self) {
        self.next = other.next;
        self.life = other.life;
        self.written = other.written;
        self.lives = other.lives;
    }

    /// The number of the life that is written to.
    pub(crate) fn life(&self) -> usize {
        self.life
    }

    /// Empties the file, as `copytruncate` does when it has copied.
    pub(crate) fn truncate(&mut self) {
        OpenOptions::new()
            .write(true)
            .open(&self.path)
            .unwrap()
            .set_len(0)
            .unwrap();
        self.was_truncated();
    }

    /// Bytes of the content that is written now.
    pub(crate) fn life_bytes(&self) -> u64 {
        self.lives
            .get(self.life)
            .map_or(0, |life| life.len() as u64)
    }

    /// Bytes that are no record of the list.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        if self.file.is_none() {
            let mut options = OpenOptions::new();
            options.create(true);
            let fresh = !self.path.exists();
            let options = match self.appends {
                true => options.append(true),
                false => options.write(true).truncate(fresh),
            };
            self.file = Some(options.open(&self.path).unwrap());
            if fresh || self.lives.is_empty() {
                self.new_life(Vec::new());
            }
        }
        self.file.as_mut().unwrap().write_all(bytes).unwrap();
        self.lives[self.life].extend(bytes);
    }

    /// One record with a statement of about `size` bytes: its bytes, not written yet.
    pub(crate) fn make(&mut self, size: usize) -> (Written, Vec<u8>) {
        let number = self.next;
        self.next += 1;
        let body = filler(number, size);
        let check = xxh3_64(body.as_bytes());
        let break_line = if number.is_multiple_of(5) {
            "\n\t"
        } else {
            " "
        };
        let statement =
            format!("select '{number}' as number,{break_line}'{body}' as body, '{check:016x}'");
        let process_id = 100 + i64::try_from(number % 7).unwrap();
        let bytes = record(self.format, number, process_id, &statement);
        let written = Written {
            number,
            process_id,
            statement,
            life: 0,
            start: 0,
            end: 0,
        };
        (written, bytes.into_bytes())
    }

    /// Writes `count` records of mixed sizes, some of them in one go as a busy server's logger does.
    pub(crate) fn write(&mut self, count: usize) {
        let mut together = Vec::new();
        let mut made = Vec::new();
        for _ in 0..count {
            let size = match self.next % 50 {
                0 => 3000,
                odd => odd as usize,
            };
            let (written, bytes) = self.make(size);
            made.push((written, together.len() as u64, bytes.len() as u64));
            together.extend(bytes);
        }
        self.raw(&together);
        let base = self.life_bytes() - together.len() as u64;
        let life = self.life;
        for (written, at, len) in made {
            self.written.push(Written {
                life,
                start: base + at,
                end: base + at + len,
                ..written
            });
        }
    }

    /// The life that a generation with this head holds, among those whose first bytes are these.
    pub(crate) fn life_of(&self, head_len: u64, head_hash: u128) -> Option<usize> {
        let len = usize::try_from(head_len).unwrap();
        self.lives.iter().position(|life| {
            // A generation behind a hole is known by what stands behind it.
            let hole = life.iter().position(|b| *b != 0).unwrap_or(life.len());
            [0, hole].into_iter().any(|from| {
                life.get(from..from + len)
                    .is_some_and(|head| xxh3_128(head) == head_hash)
            })
        })
    }
}

/// Text of about `size` bytes that differs from number to number: quotes, tabs, letters of several bytes.
fn filler(number: u64, size: usize) -> String {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut text = String::new();
    while text.len() < size {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        match (state >> 33) % 40 {
            0 => text.push_str("''"),
            1 => text.push('é'),
            2 => text.push('\t'),
            3 => text.push_str(" \u{1f600} "),
            4 => text.push('"'),
            // Letters that make no word that speaks of a password.
            other => text.push(char::from(
                b"abcdefghijk"[usize::try_from(other % 11).unwrap()],
            )),
        }
    }
    text
}

/// The record as PostgreSQL's logger writes it.
fn record(format: Format, number: u64, process_id: i64, statement: &str) -> String {
    // 100 records in a millisecond would be too many to tell contents apart by their first line; one is.
    let (second, ms) = (number / 1000, number % 1000);
    let at = format!(
        "2026-11-20 {:02}:{:02}:{:02}.{ms:03} UTC",
        8 + second / 3600,
        second / 60 % 60,
        second % 60
    );
    let message = format!(
        "duration: {}.{:03} ms  statement: {statement}",
        number / 1000,
        number % 1000
    );
    match format {
        Format::Stderr => format!(
            "{at} [{process_id}] app@shop LOG:  {}\n",
            message.replace('\n', "\n\t")
        ),
        Format::Csvlog => format!(
            "{at},\"app\",\"shop\",{process_id},\"[local]\",6a3f.{process_id:x},{number},\"SELECT\",2026-11-20 07:00:00 UTC,3/{number},0,LOG,00000,\
             \"{}\",,,,,,,,,\"psql\",\"client backend\",,0\n",
            message.replace('"', "\"\"")
        ),
        Format::Jsonlog => {
            let mut line = serde_json::json!({
                "timestamp": at, "user": "app", "dbname": "shop", "pid": process_id, "session_id": format!("6a3f.{process_id:x}"),
                "line_num": number, "ps": "SELECT", "session_start": "2026-11-20 07:00:00 UTC", "vxid": format!("3/{number}"), "txid": 0,
                "error_severity": "LOG", "message": message, "application_name": "psql", "backend_type": "client backend", "query_id": 0,
            })
            .to_string();
            line.push('\n');
            line
        }
    }
}
