//! The asynchronous runtime behind the blocking connections to PostgreSQL.
//!
//! The store is synchronous and tokio-postgres isn't. One runtime of the process, with one worker thread, moves the bytes of every
//! connection; whoever runs a statement waits for its result on its own thread, for as long as the connection's [`Bound`] says. That thread may
//! be a plain one or one for blocking work of another runtime, never one that runs asynchronous tasks: waiting there would stop them, and tokio
//! panics instead.

use std::{
    io,
    pin::pin,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use diesel_async::async_connection_wrapper::BlockOn;
use tokio::{
    runtime::{Builder, Handle, Runtime},
    task::AbortHandle,
    time::timeout,
};

static RUNTIME: LazyLock<Result<Runtime, Arc<io::Error>>> = LazyLock::new(|| {
    Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("store")
        .enable_all()
        .build()
        .map_err(Arc::new)
});

/// # Errors
///
/// The operating system refused the thread or the epoll instance; it will be the same error until the process ends.
pub(super) fn start() -> Result<&'static Handle, Arc<io::Error>> {
    RUNTIME.as_ref().map(Runtime::handle).map_err(Arc::clone)
}

/// How long a server may take for an answer until its connection is given up: one that is stopped, or whose disk hangs, keeps its connections
/// alive and says nothing. The server's own statement_timeout comes first where it still counts time.
#[derive(Debug)]
pub(super) struct Bound {
    /// `u64::MAX`: for ever.
    limit_ms: AtomicU64,
    /// Moves the connection's bytes. Without it whoever waits hears that the connection is closed.
    driver: AbortHandle,
    is_given_up: AtomicBool,
    server: String,
}

impl Bound {
    pub(super) fn new(limit: Duration, driver: AbortHandle, server: &str) -> Arc<Self> {
        let bound = Self {
            limit_ms: AtomicU64::new(0),
            driver,
            is_given_up: AtomicBool::new(false),
            server: server.to_owned(),
        };
        bound.set(Some(limit));
        Arc::new(bound)
    }

    /// From the next statement on; `None` for ever.
    pub(super) fn set(&self, limit: Option<Duration>) {
        let limit_ms = limit.and_then(|limit| u64::try_from(limit.as_millis()).ok());
        self.limit_ms
            .store(limit_ms.unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(super) fn connection_has_ended(&self) -> bool {
        self.is_given_up.load(Ordering::Relaxed) || self.driver.is_finished()
    }

    async fn wait<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        let limit = Duration::from_millis(self.limit_ms.load(Ordering::Relaxed));
        if let Ok(output) = timeout(limit, &mut future).await {
            return output;
        }
        tracing::warn!(server = %self.server, waited_s = limit.as_secs_f64(), "the store's server doesn't answer: the connection is given up");
        self.is_given_up.store(true, Ordering::Relaxed);
        self.driver.abort();
        future.await
    }
}

tokio::task_local! {
    /// Of the connection that is being wrapped: [`BlockOn`] is made without an argument.
    static BOUND: Arc<Bound>;
}

/// Runs `wrap`; a [`StoreRuntime`] that is made in it waits no longer than `bound` says.
pub(super) fn bounded<T>(bound: Arc<Bound>, wrap: impl FnOnce() -> T) -> T {
    BOUND.sync_scope(bound, wrap)
}

/// The process-wide runtime of the store's connections, for one of them.
pub(in crate::store) struct StoreRuntime {
    runtime: &'static Handle,
    bound: Arc<Bound>,
}

impl BlockOn for StoreRuntime {
    fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(self.bound.wait(future))
    }

    fn get_runtime() -> Self {
        Self {
            runtime: start().expect("a connection is made by the runtime, so it runs"),
            bound: BOUND
                .try_with(Arc::clone)
                .expect("every connection is wrapped within its bound"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    #[test]
    fn plain_threads_and_blocking_threads_of_another_runtime_can_wait() {
        let wait = || {
            let runtime = start().unwrap();
            let driver = runtime.spawn(std::future::pending::<()>());
            let limit = Duration::from_secs(60);
            let bound = Bound::new(limit, driver.abort_handle(), "");
            bounded(bound, StoreRuntime::get_runtime).block_on(async {
                tokio::spawn(async { std::thread::current().name().map(str::to_owned) })
                    .await
                    .unwrap()
            })
        };
        assert_eq!(wait().as_deref(), Some("store"));
        let other = Runtime::new().unwrap();
        let waited = other.block_on(async { tokio::task::spawn_blocking(wait).await });
        assert_eq!(waited.unwrap().as_deref(), Some("store"));
    }
}
