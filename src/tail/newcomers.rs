//! What no known generation goes on in: a copy of one, or a new one.
//!
//! Probes of files come in, with their formats; generations that go on in them, copies and new rows go out with the scan. It is told by content, as
//! everything that `places` looks at.

use std::io;
use std::time::SystemTime;

use super::compressed::{Fault, fault_of};
use super::generation::{WINDOW_BYTES, anchor_of};
use super::places::{note_move, unreadable};
use super::reader::{Probe, Resume};
use super::rotation::Unread;
use super::server_tail::{ServerTail, unread};
use super::tracked::{Life, Look, Tracked};
use super::{Retelling, Scan};
use crate::model::position::{
    Anchor, Codec, GapReason, Generation, GenerationId, GenerationState, LogFormat,
};
use crate::model::stable_id;

impl ServerTail {
    /// The file of a generation lost its end, as after a power cut, and may have grown again: what is read from it then must not count as read
    /// already. A new generation starts at the last anchor that still holds; what the old one has told behind that is told again.
    pub(super) fn succeed(&mut self, index: usize, probe: &Probe, rung: Anchor, scan: &mut Scan) {
        let Some(old) = self.tracked.get_mut(index) else {
            return;
        };
        if old.life == Life::Open {
            let lost = unread(old) != Unread::Nothing;
            old.end(lost.then_some(GapReason::Truncated));
        }
        let mut ladder = old.row.ladder.clone();
        ladder.retain(|older| older.offset_bytes <= rung.offset_bytes);
        let format = old.row.format;
        let (of, until_bytes) = (old.row.id, old.row.file.size_bytes.max(old.taken_bytes()));
        let row = Generation {
            offset_bytes: rung.offset_bytes,
            anchor: rung,
            ladder,
            ..self.new_row(probe, format)
        };
        let mut successor = Tracked::new(row, 0);
        match probe.resume(successor.fingerprint()) {
            Ok(Resume::At(reader, before)) => {
                successor.attach(probe, reader, before);
                successor.named = probe.is_named();
                scan.new.push(successor.row.clone());
                scan.retellings.push(Retelling {
                    generation: successor.row.id,
                    of,
                    until_bytes,
                });
                self.tracked.push(successor);
            }
            // It changed again: the next scan will see what it is.
            Ok(_) => {}
            Err(error) => unreadable(scan, &probe.file.path, error),
        }
    }

    /// What no generation goes on in is a copy of one, or a new one.
    pub(super) fn take_in(&mut self, probes: Vec<(Probe, LogFormat)>, scan: &mut Scan) {
        for (probe, format) in probes {
            let outcome = match self.same_as_known(&probe, scan) {
                Ok(Some(id)) => {
                    scan.copies.push((probe.file.path.clone(), id));
                    Ok(())
                }
                Ok(None) => self.begin(&probe, format, scan),
                Err(error) => Err(error),
            };
            if let Err(error) = outcome {
                unreadable(scan, &probe.file.path, error);
            }
        }
    }

    /// The generation whose content the file holds too. If it holds more of it, the generation goes on in this file.
    fn same_as_known(
        &mut self,
        probe: &Probe,
        scan: &mut Scan,
    ) -> io::Result<Option<GenerationId>> {
        for tracked in &mut self.tracked {
            if !probe.may_start_with(tracked.row.head) {
                continue;
            }
            let live = tracked
                .reader
                .as_ref()
                .filter(|_| tracked.row.codec == Codec::Raw);
            if let (Some(reader), Codec::Raw) = (live, probe.codec) {
                let reach = tracked.row.file.size_bytes;
                if !probe.equals_so_far(reader, reach)? {
                    if tracked.look()? == Look::Holds {
                        continue;
                    }
                    // Cut since it was looked at: this may be the copy that it goes on in, which the next scan finds out.
                    tracked.displace();
                    self.shaken = true;
                    return Ok(Some(tracked.row.id));
                }
                if probe.file.size_bytes <= reach {
                    return Ok(Some(tracked.row.id));
                }
            } else if probe.codec != Codec::Raw && tracked.row.head.len_bytes >= WINDOW_BYTES as u64
            {
                // To say more of a compressed copy it would have to be decompressed; while the original is there that can wait.
                if tracked.placed && probe.starts_with(tracked.row.head) {
                    return Ok(Some(tracked.row.id));
                }
            }
            match probe.resume(tracked.fingerprint()) {
                Ok(Resume::At(reader, before)) => {
                    let longer = probe.codec == Codec::Raw
                        && probe.file.size_bytes > tracked.row.file.size_bytes;
                    if longer || !tracked.placed {
                        tracked.attach(probe, reader, before);
                        tracked.named = probe.is_named();
                        note_move(tracked, scan);
                    }
                    return Ok(Some(tracked.row.id));
                }
                Ok(Resume::Shorter(_)) => return Ok(Some(tracked.row.id)),
                Ok(Resume::Parted(_) | Resume::Other) => {}
                // A damaged copy of what is known brings nothing.
                Err(error)
                    if fault_of(&error) != Fault::System && probe.starts_with(tracked.row.head) =>
                {
                    return Ok(Some(tracked.row.id));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// A new generation.
    fn begin(&mut self, probe: &Probe, format: LogFormat, scan: &mut Scan) -> io::Result<()> {
        let mut hole_bytes = 0;
        if probe.codec == Codec::Raw && probe.sample.first() == Some(&0) {
            let reader = probe.reader()?;
            hole_bytes = reader.leading_hole()?;
            if hole_bytes >= reader.hint(&probe.file.path)?.size_bytes {
                return Ok(());
            }
        }
        let mut tracked = Tracked::new(self.new_row(probe, format), hole_bytes);
        match probe.resume(tracked.fingerprint()) {
            Ok(Resume::At(reader, before)) => tracked.attach(probe, reader, before),
            // Nothing but NUL bytes in the head tells nothing apart; the file is opened all the same.
            Ok(_) if hole_bytes > 0 => {
                let reader = probe.reader()?;
                tracked.attach(probe, reader, Vec::new());
            }
            Ok(_) => return Ok(()),
            Err(error) => return Err(error),
        }
        tracked.named = probe.is_named();
        let open = self.tracked.iter().filter(|t| t.reader.is_some()).count();
        if open >= self.open_files_max && tracked.named {
            tracked.reader = None;
        }
        scan.new.push(tracked.row.clone());
        self.tracked.push(tracked);
        Ok(())
    }

    /// A row for content that is seen for the first time. Its id is unique: when and where it was seen are in it.
    fn new_row(&mut self, probe: &Probe, format: LogFormat) -> Generation {
        self.born += 1;
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default()
            .as_nanos();
        let head = probe.head();
        Generation {
            id: GenerationId(stable_id(&[
                b"generation",
                &self.server.0.to_le_bytes(),
                &head.hash.to_le_bytes(),
                probe.file.path.as_os_str().as_encoded_bytes(),
                &probe.file.inode.to_le_bytes(),
                &now.to_le_bytes(),
                &std::process::id().to_le_bytes(),
                &self.born.to_le_bytes(),
            ])),
            server_id: self.server,
            file: probe.file.clone(),
            format,
            codec: probe.codec,
            head,
            state: GenerationState::Active,
            offset_bytes: 0,
            anchor: anchor_of(&[], 0),
            ladder: Vec::new(),
        }
    }
}
