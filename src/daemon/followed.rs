//! One server that is followed: who takes its logs in, and how far.
//!
//! Three stages. *Opening*: the store hasn't said yet where it stands; files are found and held open, nothing is read. *Standby*: another process has
//! the claim on the server; nothing is held. *Following*: the claim is ours. A claim that is lost leads back to opening, so that everything that was
//! believed of the store is read again. What went wrong comes back as an error; the caller decides when the next try is due.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use jiff::Timestamp;

use super::{
    ingest::{Config, Error, Opened, ServerConfig, ServerIngest, Turn, tail_of},
    said::Said,
};
use crate::{
    model::accounting::Accounting,
    store::{self, Store},
    tail::{Mode, Scan, ServerTail},
};

/// How often a claim is tried for that another process has.
const CLAIM_EVERY: Duration = Duration::from_secs(1);

enum Stage {
    Opening(Box<ServerTail>),
    Standby { next_claim: Instant },
    Following(Box<ServerIngest>),
}

/// One configured server on its way through the stages.
pub(super) struct Followed {
    config: ServerConfig,
    ingest: Config,
    stage: Stage,
    /// What this run took in under claims that it has given back.
    earlier: Accounting,
    /// Files of which has been said why they aren't read.
    said: Said,
}

/// What a turn came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Something was done; more may be there.
    Busy { committed: bool },
    /// Everything that was there has been read.
    CaughtUp,
    /// Another process takes the logs in.
    Standby,
}

impl Followed {
    pub(super) fn new(config: &ServerConfig, ingest: &Config) -> Self {
        Self {
            stage: Stage::Opening(Box::new(tail_of(config, Mode::Follow, ingest))),
            config: config.clone(),
            ingest: ingest.clone(),
            earlier: Accounting::default(),
            said: Said::default(),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.config.name
    }

    pub(super) fn is_following(&self) -> bool {
        matches!(self.stage, Stage::Following(_))
    }

    pub(super) fn is_standby(&self) -> bool {
        matches!(self.stage, Stage::Standby { .. })
    }

    /// What this run took in.
    pub(super) fn accounting(&self) -> Accounting {
        let mut accounting = self.earlier.clone();
        if let Stage::Following(ingest) = &self.stage {
            accounting.merge(&ingest.accounting);
        }
        accounting
    }

    /// Bytes that were seen and not taken in.
    pub(super) fn behind_bytes(&self) -> u64 {
        match &self.stage {
            Stage::Following(ingest) => ingest.unread_bytes(),
            Stage::Opening(tail) => tail.unread_bytes(),
            Stage::Standby { .. } => 0,
        }
    }

    pub(super) fn directories(&self) -> Vec<PathBuf> {
        match &self.stage {
            Stage::Following(ingest) => ingest.directories(),
            Stage::Opening(tail) => tail.directories(),
            Stage::Standby { .. } => Vec::new(),
        }
    }

    /// When to come back although nothing rang.
    pub(super) fn wake_in(&self) -> Option<Duration> {
        match &self.stage {
            Stage::Following(ingest) => ingest.wake_in(),
            Stage::Opening(_) | Stage::Standby { .. } => None,
        }
    }

    /// Looks at the files. Needs no store, and holds open what isn't read yet.
    pub(super) fn scan(&mut self) {
        let scan = match &mut self.stage {
            Stage::Following(ingest) => ingest.scan(),
            Stage::Opening(tail) => tail.scan(),
            Stage::Standby { .. } => return,
        };
        self.say(scan);
    }

    /// What isn't read is said once of each file.
    fn say(&mut self, scan: Scan) {
        let server = &self.config.name;
        for (path, error) in scan.unreadable {
            if self.said.is_news(&path) {
                tracing::warn!(server = %server, path = %path.display(), error = %error, "log can't be read; trying again");
            }
        }
        if !self.is_following() {
            return;
        }
        let server = &self.config.name;
        for path in scan.watched_only {
            if self.said.is_news(&path) {
                tracing::info!(server = %server, path = %path.display(), "not read: another format of the server's log is");
            }
        }
        for (path, _) in scan.copies {
            if self.said.is_news(&path) {
                tracing::info!(server = %server, path = %path.display(), "not read: it holds what another file does");
            }
        }
    }

    /// Claims the server's logs and reads from the store where they stand; nothing to do where that is done.
    pub(super) fn open(&mut self, store: &Store) -> Result<(), Error> {
        let now = Instant::now();
        match self.stage {
            Stage::Following(_) => return Ok(()),
            Stage::Standby { next_claim } if next_claim > now => return Ok(()),
            Stage::Standby { .. } | Stage::Opening(_) => {}
        }
        let standby = Stage::Standby {
            next_claim: now + CLAIM_EVERY,
        };
        let opened = match Opened::load(store, &self.config, &self.ingest) {
            Ok(opened) => opened,
            Err(Error::Store(store::Error::Claimed { .. })) => {
                if !self.is_standby() {
                    tracing::warn!(server = %self.config.name, "another plantail takes the logs of this server into the same store; waiting for its end");
                }
                self.stage = standby;
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let tail = match std::mem::replace(&mut self.stage, standby) {
            Stage::Opening(tail) => *tail,
            Stage::Standby { .. } | Stage::Following(_) => {
                tracing::info!(server = %self.config.name, "the other plantail has ended: taking over");
                tail_of(&self.config, Mode::Follow, &self.ingest)
            }
        };
        self.stage = Stage::Following(Box::new(ServerIngest::resume(
            store,
            opened,
            tail,
            &self.config,
            Mode::Follow,
            &self.ingest,
        )));
        self.scan();
        Ok(())
    }

    /// Takes in the next stretch.
    pub(super) fn turn(&mut self, store: &Store, now: Timestamp) -> Result<Step, Error> {
        self.open(store)?;
        let Stage::Following(ingest) = &mut self.stage else {
            return Ok(Step::Standby);
        };
        let commits = ingest.commits();
        match ingest.turn(now) {
            Ok(Turn::Committed) => Ok(Step::Busy {
                committed: ingest.commits() > commits,
            }),
            // A last record may have been stored, or wait to be.
            Ok(Turn::CaughtUp) if ingest.commits() > commits => Ok(Step::Busy { committed: true }),
            Ok(Turn::CaughtUp) => Ok(Step::CaughtUp),
            Err(error) => {
                if error.of_store().is_some_and(store::Error::loses_claim) {
                    self.give_back();
                }
                Err(error)
            }
        }
    }

    /// Gives the claim back and forgets what was believed of the store; open files stay open.
    fn give_back(&mut self) {
        let standby = Stage::Standby {
            next_claim: Instant::now(),
        };
        if let Stage::Following(ingest) = std::mem::replace(&mut self.stage, standby) {
            self.earlier.merge(&ingest.accounting);
            self.stage = Stage::Opening(Box::new(ingest.into_tail()));
        }
    }
}
