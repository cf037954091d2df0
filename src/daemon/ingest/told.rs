//! Records that another format of the same server's log has told already.
//!
//! A server that logs in several formats says everything in each; one is read, the others' positions follow a look behind (`tail::formats`). When the
//! reading changes over, what lies after such a position was told by the better format as well if its time is one at which that format spoke. Such
//! records are passed over. Two sessions may log in another order than their times, so of records of the very second in which `log_destination` was
//! changed one that only the worse format has can be passed over too.

use jiff::Timestamp;

use super::super::batch::Extent;
use super::{Error, ServerIngest};
use crate::{
    execution::Events,
    model::{
        position::{GenerationId, LogFormat},
        record::LogRecord,
    },
    record::{Assembled, Assembler, Format, Layout},
};

/// How much of a file is looked at for the time of its next record.
const PEEK_BYTES: usize = 1 << 16;

/// When a better format told what is logged: until one time, and from another one on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::daemon) struct Told {
    until: Option<Timestamp>,
    from: Option<Timestamp>,
}

impl Told {
    /// Whether the better format has told the record.
    pub(in crate::daemon) fn holds(self, record: &LogRecord) -> bool {
        self.until.is_some_and(|until| record.log_time <= until)
            || self.from.is_some_and(|from| record.log_time >= from)
    }
}

impl ServerIngest {
    /// What a better format has told of the log that `generation` is a part of.
    pub(super) fn told_of(&self, generation: GenerationId) -> Result<Told, Error> {
        let committed_bytes = self.tail.committed_bytes(generation)?;
        let format = self.tail.checkpoint(generation, committed_bytes)?.format;
        Ok(self.told(format))
    }

    /// What a better format than `format` has told.
    pub(super) fn told(&self, format: LogFormat) -> Told {
        let until = self.tail.told_until_us(format);
        let from = self
            .speaks_again
            .flatten()
            .filter(|_| self.tail.is_watched(format));
        Told {
            until: until.and_then(|us| Timestamp::from_microsecond(us).ok()),
            from,
        }
    }

    /// Closes what was read before a better format goes on, and lets the positions of watched formats follow.
    pub(super) fn follow_watched(&mut self, now: Timestamp) -> Result<(), Error> {
        if self.tail.is_draining() {
            self.speaks_again
                .get_or_insert_with(|| next_time(&self.tail));
        } else if self.speaks_again.is_some() {
            let begun: Vec<GenerationId> = self.pending.keys().copied().collect();
            for generation in begun {
                self.close_record(generation, now)
                    .inspect_err(|_| self.forget(generation))?;
            }
            self.speaks_again = None;
        }
        for generation in self.tail.left_behind() {
            if self.pending.contains_key(&generation) {
                self.close_record(generation, now)
                    .inspect_err(|_| self.forget(generation))?;
            }
            self.assemblers.remove(&generation);
            let from_bytes = self.tail.committed_bytes(generation)?;
            match self.tail.pass_over(generation) {
                Ok(Some((row, before))) => {
                    self.commit(
                        from_bytes,
                        row.clone(),
                        Events::default(),
                        Extent::default(),
                    )?;
                    self.tail.passed_over(row, before);
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::debug!(server = %self.server.name, error = %error, "a watched log can't be read");
                }
            }
        }
        Ok(())
    }
}

/// The time of the first record that the read format says next.
fn next_time(tail: &crate::tail::ServerTail) -> Option<Timestamp> {
    let (generation, format, bytes) = tail.peek(PEEK_BYTES)?;
    let format = match format {
        LogFormat::Jsonlog => Format::Jsonlog,
        LogFormat::Csvlog => Format::Csvlog,
        LogFormat::Stderr | LogFormat::Wrapped(_) => return None,
    };
    let layout = Layout {
        format,
        time_zone: None,
    };
    let mut assembler = Assembler::new(layout, generation, 0, &crate::record::Config::default());
    let mut first = None;
    assembler.push(&bytes, Timestamp::UNIX_EPOCH, &mut |assembled| {
        if let Assembled::Record(record) = assembled {
            first.get_or_insert(record.log_time);
        }
    });
    first
}
