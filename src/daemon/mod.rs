//! Builds the stages, runs them as named workers, stops them in time.
//!
//! [`build`] opens and binds everything; it fails where somebody has to mend something, and waits for a store that is locked, full or out of reach.
//! [`Daemon::run`] ends early only where a log can't be read as configured or a worker has
//! panicked. After the shutdown signal the worker that follows the logs has four seconds for its last batch, then requests have one more. The
//! caller owns the signal and hears when the logs have been caught up with.

mod advise;
mod batch;
mod follow;
mod followed;
pub mod ingest;
mod layout;
mod retention;
mod said;
mod systemd;
mod trouble;
mod verify;

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use tokio::{net::TcpListener, sync::oneshot, task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;

use self::trouble::Trouble;
pub use self::{
    advise::Advisor,
    follow::{CaughtUp, Follow},
    ingest::{ServerConfig, ServerIngest},
    layout::LogLayout,
    verify::{VerifiedCounts, VerifiedGeneration, VerifiedServer, verify},
};
use crate::{
    advice, api,
    store::{self, Store},
    tail,
};

/// How long the last batch may take after the shutdown signal, and then the requests under way.
const BATCH_WITHIN: Duration = Duration::from_secs(4);
const REQUESTS_WITHIN: Duration = Duration::from_secs(1);

/// How often the logs are looked at while the store can't be opened, and how long the next attempt to open it may take to fail.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const NEXT_ATTEMPT: Duration = Duration::from_secs(60);

/// What the daemon runs with. Each stage owns its part.
#[derive(Debug, Clone)]
pub struct Config {
    pub servers: Vec<ServerConfig>,
    pub store: store::Config,
    pub retention: store::Retention,
    pub ingest: ingest::Config,
    pub advice: advice::Config,
    pub api: api::Config,
}

/// Why the daemon can't start, or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "no server is configured and no path was given: name a log file, folder or glob \
         (plantail watch /var/log/postgresql) or add [[servers]] to the configuration"
    )]
    NoServers,
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    Ingest(#[from] ingest::Error),
    #[error(transparent)]
    Api(#[from] api::Error),
    #[error(transparent)]
    Advice(#[from] advice::Error),
    #[error("{}: no place for reading the logs a second time: {source}", path.display())]
    Scratch {
        path: std::path::PathBuf,
        source: std::io::Error,
    },
    #[error(
        "the worker {worker} has panicked; nothing is lost: start plantail again and it goes on from its last commit"
    )]
    Panicked { worker: &'static str },
}

impl Error {
    /// Whether somebody has to say something else on the command line or in the configuration.
    pub fn is_configuration(&self) -> bool {
        match self {
            Self::NoServers | Self::Advice(_) => true,
            Self::Ingest(ingest::Error::Layout(error)) => !matches!(error, layout::Error::Store(_)),
            Self::Ingest(ingest::Error::Tail(error)) => {
                !matches!(error, tail::Error::NotHandedOut { .. })
            }
            Self::Api(error) => matches!(error, api::Error::NotLoopback { .. }),
            Self::Store(_) | Self::Ingest(_) | Self::Scratch { .. } | Self::Panicked { .. } => {
                false
            }
        }
    }
}

/// Everything opened and bound, nothing running yet.
pub struct Daemon {
    store: Store,
    follow: Follow,
    listener: Option<TcpListener>,
    api: api::Config,
    advisor: Option<Advisor>,
    retention: store::Retention,
}

/// Opens the store, the logs and the port. `serve` false leaves the API out.
pub async fn build(config: Config, serve: bool) -> Result<Daemon, Error> {
    if config.servers.is_empty() {
        return Err(Error::NoServers);
    }
    let listener = if serve {
        Some(api::bind(&config.api).await?)
    } else {
        None
    };
    let follow = Follow::new(&config.servers, &config.ingest);
    let (mut follow, store) = open_store(follow, config.store).await?;
    // Away from the caller, who may want to give up while another process holds the store.
    let opened = tokio::task::spawn_blocking(move || {
        let advisor = Advisor::new(&config.advice, &store)?;
        follow.open(&store)?;
        Ok(Daemon {
            store,
            follow,
            listener,
            api: config.api,
            advisor,
            retention: config.retention,
        })
    });
    opened.await.expect("opening doesn't panic")
}

/// Opens the store, however long it takes where the trouble may pass. The logs are watched all the while.
async fn open_store(
    mut follow: Follow,
    config: store::Config,
) -> Result<(Follow, Store), store::Error> {
    let mut trouble = Trouble::default();
    loop {
        let config = config.clone();
        let is_due = trouble.retry_in(Instant::now()).is_none();
        let attempt = tokio::task::spawn_blocking(move || {
            follow.scan();
            (follow, is_due.then(|| Store::open(&config)))
        });
        let (watching, opened) = attempt.await.expect("opening doesn't panic");
        follow = watching;
        match opened {
            Some(Ok(store)) => {
                if let Some(lasted) = trouble.over(Instant::now()) {
                    tracing::info!(lasted_s = lasted.as_secs_f64(), "the store is open");
                }
                return Ok((follow, store));
            }
            Some(Err(error)) if error.is_passing() => {
                systemd::starting(&format!("Waiting for the store: {error}"), NEXT_ATTEMPT);
                if trouble.met(error.to_string(), Instant::now()) {
                    tracing::error!(error = %error, "the store can't be opened; the logs wait, trying again");
                }
            }
            Some(Err(error)) => return Err(error),
            None => {}
        }
        let pause = trouble.retry_in(Instant::now()).unwrap_or_default();
        tokio::time::sleep(pause.min(LOOK_EVERY)).await;
    }
}

impl Daemon {
    /// Where the API listens; `None` without one.
    pub fn listens_at(&self) -> Option<SocketAddr> {
        self.listener
            .as_ref()
            .and_then(|listener| listener.local_addr().ok())
    }

    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Runs until `shutdown` is cancelled. `caught_up` hears once, when everything that was there at the start has been stored.
    ///
    /// # Errors
    ///
    /// A log turns out to be unreadable as configured, or a worker panics.
    pub async fn run(
        self,
        shutdown: CancellationToken,
        caught_up: oneshot::Sender<CaughtUp>,
    ) -> Result<(), Error> {
        let heartbeat = self.follow.heartbeat();
        let bell = self.follow.bell();
        let last_commit = self.follow.last_commit();
        let (ended, mut follow_ended) = oneshot::channel();
        let follow_shutdown = shutdown.clone();
        let follow = self.follow;
        let follow_store = self.store.clone();
        std::thread::Builder::new()
            .name("follow".to_owned())
            .spawn(move || {
                let result = follow.run(&follow_store, &follow_shutdown, caught_up);
                if ended.send(result).is_err() {
                    tracing::warn!(worker = "follow", "stopped after its deadline");
                }
            })
            .expect("the operating system has room for one more thread at start");
        let mut workers = JoinSet::new();
        if let Some(listener) = self.listener {
            workers.spawn(api::serve(
                listener,
                self.api,
                self.store.clone(),
                last_commit,
                shutdown.clone(),
            ));
        }
        if let Some(advisor) = self.advisor {
            workers.spawn(advisor.run(shutdown.clone()));
        }
        workers.spawn(retention::run(self.store, self.retention, shutdown.clone()));
        workers.spawn(systemd::keep_alive(heartbeat, shutdown.clone()));
        systemd::ready();

        let early = tokio::select! {
            () = shutdown.cancelled() => None,
            result = &mut follow_ended => Some(ended_with(result)),
            () = panic_of(&mut workers) => Some(Err(Error::Panicked { worker: "api, advice, retention or watchdog" })),
        };
        systemd::stopping();
        shutdown.cancel();
        bell.ring();
        let result = match early {
            Some(result) => result,
            None => match timeout(BATCH_WITHIN, follow_ended).await {
                Ok(result) => ended_with(result),
                Err(_) => {
                    tracing::warn!(
                        worker = "follow",
                        "didn't stop in time; its last batch is not committed"
                    );
                    Ok(())
                }
            },
        };
        let drained = async { while workers.join_next().await.is_some() {} };
        if timeout(REQUESTS_WITHIN, drained).await.is_err() {
            tracing::warn!(
                workers = workers.len(),
                "requests were still running and have been dropped"
            );
        }
        result
    }
}

/// How the thread that follows the logs ended: it says nothing where it panicked.
fn ended_with(
    result: Result<Result<(), ingest::Error>, oneshot::error::RecvError>,
) -> Result<(), Error> {
    match result {
        Ok(result) => Ok(result?),
        Err(_) => Err(Error::Panicked { worker: "follow" }),
    }
}

/// Waits for a worker that panics. Those that end otherwise have nothing more to do.
async fn panic_of(workers: &mut JoinSet<()>) {
    while let Some(ended) = workers.join_next().await {
        if ended.is_err() {
            return;
        }
    }
    std::future::pending().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_worker_that_panics_is_noticed_and_one_that_ends_is_not() {
        let mut workers = JoinSet::new();
        workers.spawn(async {});
        let nothing = timeout(Duration::from_millis(20), panic_of(&mut workers)).await;
        assert!(nothing.is_err());
        workers.spawn(async { panic!("as planned") });
        panic_of(&mut workers).await;
        let (said_nothing, result) = oneshot::channel();
        drop(said_nothing);
        assert!(matches!(
            ended_with(result.await),
            Err(Error::Panicked { worker: "follow" })
        ));
    }
}
