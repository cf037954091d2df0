//! Follows the logs of all servers, a stretch of each in turn, until told to stop: one thread, woken by the doorbell of the file
//! system or by a tick.
//!
//! Trouble of the store stops what needs the store and nothing else: files are looked at and held open at each tick all the while, so that a file
//! which is rotated and deleted meanwhile can be read when the store is back. Nothing of the logs is kept in memory for it.

#[cfg(test)]
mod tests;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use jiff::Timestamp;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::{
    followed::{Followed, Step},
    ingest::{Config, Error, ServerConfig},
    systemd,
    trouble::Trouble,
};
use crate::{
    model::accounting::Accounting,
    store::{self, Store},
    tail::{Doorbell, Ring},
};

/// How often it is said how far behind the ingest is, while it is.
const LAG_EVERY: Duration = Duration::from_secs(60);

/// What was there at the start has been read.
#[derive(Debug, Clone)]
pub struct CaughtUp {
    /// What this run took in, all servers together.
    pub accounting: Accounting,
    pub elapsed: Duration,
}

/// Every server, and what wakes their ingest.
pub struct Follow {
    servers: Vec<(Followed, Trouble)>,
    /// What keeps every server from being stored.
    store_trouble: Trouble,
    doorbell: Doorbell,
    poll_interval: Duration,
    heartbeat: Arc<AtomicU64>,
    last_commit: watch::Sender<Option<tokio::time::Instant>>,
    status: String,
    lag_said: Instant,
}

impl Follow {
    /// Nothing is looked at or asked yet.
    pub fn new(servers: &[ServerConfig], config: &Config) -> Self {
        let servers = servers
            .iter()
            .map(|server| (Followed::new(server, config), Trouble::default()))
            .collect();
        Self {
            servers,
            store_trouble: Trouble::default(),
            doorbell: Doorbell::new(config.tail.notify),
            poll_interval: config.tail.poll_interval,
            heartbeat: Arc::default(),
            last_commit: watch::Sender::new(None),
            status: String::new(),
            lag_said: Instant::now(),
        }
    }

    /// Counts the turns of the loop.
    pub fn heartbeat(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.heartbeat)
    }

    /// When something was last committed.
    pub fn last_commit(&self) -> watch::Receiver<Option<tokio::time::Instant>> {
        self.last_commit.subscribe()
    }

    /// Wakes the loop.
    pub fn bell(&self) -> Ring {
        self.doorbell.ring_handle()
    }

    /// Looks at the files of every server, and holds open what isn't read yet.
    pub fn scan(&mut self) {
        for (server, _) in &mut self.servers {
            server.scan();
        }
    }

    /// Opens every server's logs where the store left them, as far as the store can say it.
    ///
    /// # Errors
    ///
    /// Something that stays wrong. What may pass is tried again by [`Follow::run`].
    pub fn open(&mut self, store: &Store) -> Result<(), Error> {
        for (server, _) in &mut self.servers {
            match server.open(store) {
                Err(error) if !error.of_store().is_some_and(store::Error::is_passing) => {
                    return Err(error);
                }
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// Until `shutdown`. A log that isn't readable as configured ends it before everything has been caught up with; any other trouble, and the same later,
    /// is logged and tried again.
    pub fn run(
        mut self,
        store: &Store,
        shutdown: &CancellationToken,
        caught_up: oneshot::Sender<CaughtUp>,
    ) -> Result<(), Error> {
        let started = Instant::now();
        let mut caught_up = Some(caught_up);
        while !shutdown.is_cancelled() {
            let is_done = self.cycle(store, shutdown, caught_up.is_some())?;
            let wake_in = self.wake_in();
            if is_done
                && wake_in.is_none()
                && !shutdown.is_cancelled()
                && let Some(caught_up) = caught_up.take()
            {
                let told = caught_up.send(CaughtUp {
                    accounting: self.accounting(),
                    elapsed: started.elapsed(),
                });
                tracing::debug!(listened = told.is_ok(), "caught up");
            }
            self.wait(wake_in, shutdown);
        }
        Ok(())
    }

    /// Looks at the files and takes in what is there, as far as the store does. Whether nothing was left.
    fn cycle(
        &mut self,
        store: &Store,
        shutdown: &CancellationToken,
        is_start: bool,
    ) -> Result<bool, Error> {
        self.scan();
        let directories: Vec<_> = self
            .servers
            .iter()
            .flat_map(|(server, _)| server.directories())
            .collect();
        self.doorbell.watch(&directories);
        let mut is_done = true;
        loop {
            self.heartbeat.fetch_add(1, Ordering::Relaxed);
            let Round { busy, done } = self.round(store, is_start)?;
            is_done &= done;
            self.tell();
            if !busy || shutdown.is_cancelled() {
                return Ok(is_done);
            }
        }
    }

    fn accounting(&self) -> Accounting {
        let mut accounting = Accounting::default();
        for (server, _) in &self.servers {
            accounting.merge(&server.accounting());
        }
        accounting
    }

    /// A turn of every server that may have one.
    fn round(&mut self, store: &Store, is_start: bool) -> Result<Round, Error> {
        let mut round = Round {
            busy: false,
            done: true,
        };
        for (server, trouble) in &mut self.servers {
            let now = Instant::now();
            if self.store_trouble.retry_in(now).is_some() || trouble.retry_in(now).is_some() {
                round.done = false;
                continue;
            }
            let step = match server.turn(store, Timestamp::now()) {
                Ok(step) => step,
                Err(error) => {
                    round.done = false;
                    let of_store = error.of_store();
                    if of_store.is_none() && is_start && matches!(error, Error::Layout(_)) {
                        return Err(error);
                    }
                    let text = error.to_string();
                    let now = Instant::now();
                    if of_store.is_some_and(store::Error::is_passing) {
                        if self.store_trouble.met(text, now) {
                            tracing::error!(error = %error, "the store takes nothing in; the logs wait, trying again");
                        }
                    } else if trouble.met(text, now) {
                        tracing::error!(server = %server.name(), error = %error, "the log can't be taken in; trying again");
                    }
                    continue;
                }
            };
            let (is_busy, is_committed) = match step {
                Step::Busy { committed } => (true, committed),
                Step::CaughtUp | Step::Standby => (false, false),
            };
            round.busy |= is_busy;
            if is_committed {
                self.last_commit
                    .send_replace(Some(tokio::time::Instant::now()));
            }
            let is_well = is_committed || step == Step::CaughtUp && server.wake_in().is_none();
            if is_well {
                let now = Instant::now();
                if let Some(lasted) = self.store_trouble.over(now) {
                    tracing::info!(
                        lasted_s = lasted.as_secs_f64(),
                        behind_bytes = server.behind_bytes(),
                        "the store takes the logs in again"
                    );
                }
                if let Some(lasted) = trouble.over(now) {
                    tracing::info!(server = %server.name(), lasted_s = lasted.as_secs_f64(), "the log is taken in again");
                }
            }
        }
        Ok(round)
    }

    /// When the loop has to come back although nothing rang.
    fn wake_in(&self) -> Option<Duration> {
        self.servers
            .iter()
            .filter_map(|(server, _)| server.wake_in())
            .min()
    }

    /// Until something may have changed. While the store takes nothing in, what rings waits for the tick.
    fn wait(&self, wake_in: Option<Duration>, shutdown: &CancellationToken) {
        let Some(retry_in) = self.store_trouble.retry_in(Instant::now()) else {
            let timeout = wake_in.unwrap_or(self.poll_interval);
            self.doorbell.wait(timeout.min(self.poll_interval));
            return;
        };
        let until = Instant::now() + retry_in.min(self.poll_interval);
        while !shutdown.is_cancelled()
            && let Some(left) = until.checked_duration_since(Instant::now())
            && !left.is_zero()
        {
            self.doorbell.wait(left);
        }
    }

    /// Tells the service manager what is going on, and the log how far behind it is.
    fn tell(&mut self) {
        let standby = || {
            self.servers
                .iter()
                .filter(|(server, _)| server.is_standby())
        };
        let waiting = standby().count();
        let first = standby().next().map(|(server, _)| server.name());
        let following = self.servers.len() - waiting;
        let troubled = self
            .servers
            .iter()
            .find_map(|(server, trouble)| Some((server.name(), trouble.what()?)));
        let status = match (self.store_trouble.what(), troubled, first) {
            (Some(what), ..) => format!("The store takes nothing in, trying again: {what}"),
            (None, Some((name, what)), _) => format!("Trouble with server {name:?}: {what}"),
            (None, None, Some(name)) => format!(
                "Following {following} servers; {waiting} wait for another plantail, {name:?} among them"
            ),
            (None, None, None) => format!("Following {following} servers"),
        };
        if status != self.status {
            systemd::status(&status);
            self.status = status;
        }
        if self.lag_said.elapsed() >= LAG_EVERY {
            self.lag_said = Instant::now();
            for (server, _) in &self.servers {
                let behind_bytes = server.behind_bytes();
                if behind_bytes > 0 {
                    tracing::info!(server = %server.name(), behind_bytes, "log bytes wait to be taken in");
                }
            }
        }
    }
}

/// What a turn of every server came to.
struct Round {
    /// More may be there.
    busy: bool,
    /// Nobody has more to take in, or has trouble in doing so.
    done: bool,
}
