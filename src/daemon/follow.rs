//! Follows the logs of all servers, a stretch of each in turn, until told to stop: one thread, woken by the doorbell of the file
//! system or by a tick.

use std::{
    collections::{HashMap, HashSet},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use jiff::Timestamp;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::ingest::{Config, Error, ServerConfig, ServerIngest, Turn};
use crate::{
    model::accounting::Accounting,
    store::Store,
    tail::{Doorbell, Mode, Ring},
};

/// What was there at the start has been read.
#[derive(Debug, Clone)]
pub struct CaughtUp {
    /// What this run took in, all servers together.
    pub accounting: Accounting,
    pub elapsed: Duration,
}

/// The ingest of every server and what wakes it.
pub struct Follow {
    servers: Vec<ServerIngest>,
    doorbell: Doorbell,
    poll_interval: Duration,
    heartbeat: Arc<AtomicU64>,
    last_commit: watch::Sender<Option<tokio::time::Instant>>,
    unreadable: HashSet<PathBuf>,
}

impl Follow {
    /// Opens every server's logs where the store left them.
    pub fn open(store: &Store, servers: &[ServerConfig], config: &Config) -> Result<Self, Error> {
        let servers = servers
            .iter()
            .map(|server| ServerIngest::open(store, server, Mode::Follow, config))
            .collect::<Result<Vec<_>, _>>()?;
        let doorbell = Doorbell::new(config.tail.notify);
        Ok(Self {
            servers,
            doorbell,
            poll_interval: config.tail.poll_interval,
            heartbeat: Arc::default(),
            last_commit: watch::Sender::new(None),
            unreadable: HashSet::new(),
        })
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

    /// Until `shutdown`. A log that isn't readable as configured ends it before everything has been caught up with; any other trouble, and the same later,
    /// is logged and tried again.
    pub fn run(
        mut self,
        shutdown: &CancellationToken,
        caught_up: oneshot::Sender<CaughtUp>,
    ) -> Result<(), Error> {
        let started = Instant::now();
        let mut caught_up = Some(caught_up);
        let mut troubles: HashMap<usize, String> = HashMap::new();
        while !shutdown.is_cancelled() {
            let mut busy = true;
            let mut failed = false;
            self.scan();
            let directories: Vec<_> = self
                .servers
                .iter()
                .flat_map(ServerIngest::directories)
                .collect();
            self.doorbell.watch(&directories);
            while busy && !shutdown.is_cancelled() {
                self.heartbeat.fetch_add(1, Ordering::Relaxed);
                busy = false;
                for (index, server) in self.servers.iter_mut().enumerate() {
                    match server.turn(Timestamp::now()) {
                        Ok(turn) => {
                            if turn == Turn::Committed {
                                busy = true;
                                self.last_commit
                                    .send_replace(Some(tokio::time::Instant::now()));
                            }
                            troubles.remove(&index);
                        }
                        Err(error @ Error::Layout(_)) if caught_up.is_some() => return Err(error),
                        Err(error) => {
                            failed = true;
                            trouble(&mut troubles, index, server, &error);
                        }
                    }
                }
            }
            let wake_in = self.servers.iter().filter_map(ServerIngest::wake_in).min();
            if wake_in.is_none()
                && !failed
                && !shutdown.is_cancelled()
                && let Some(caught_up) = caught_up.take()
            {
                let mut accounting = Accounting::default();
                self.servers
                    .iter()
                    .for_each(|server| accounting.merge(&server.accounting));
                let told = caught_up.send(CaughtUp {
                    accounting,
                    elapsed: started.elapsed(),
                });
                tracing::debug!(listened = told.is_ok(), "caught up");
            }
            self.doorbell.wait(
                wake_in
                    .unwrap_or(self.poll_interval)
                    .min(self.poll_interval),
            );
        }
        Ok(())
    }

    fn scan(&mut self) {
        for server in &mut self.servers {
            let unreadable = match server.scan() {
                Ok(unreadable) => unreadable,
                Err(error) => {
                    tracing::error!(server = %server.server.name, error = %error, "new files can't be noted; trying again");
                    continue;
                }
            };
            for (path, error) in unreadable {
                // A file that stays unreadable is said once.
                if self.unreadable.insert(path.clone()) {
                    tracing::warn!(server = %server.server.name, path = %path.display(), error = %error, "log can't be read; trying again");
                }
            }
        }
    }
}

/// Says a trouble once, until it changes or is over.
fn trouble(
    troubles: &mut HashMap<usize, String>,
    index: usize,
    server: &ServerIngest,
    error: &Error,
) {
    let text = error.to_string();
    if troubles.get(&index) != Some(&text) {
        tracing::error!(server = %server.server.name, error = %text, "the log can't be taken in; trying again");
        troubles.insert(index, text);
    }
}
