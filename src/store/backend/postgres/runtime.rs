//! The asynchronous runtime behind the blocking connections to PostgreSQL.
//!
//! The store is synchronous and tokio-postgres isn't. One runtime of the process, with one worker thread, moves the bytes of every
//! connection; whoever runs a statement waits for its result on its own thread. That thread may be a plain one or one for blocking work
//! of another runtime, never one that runs asynchronous tasks: waiting there would stop them, and tokio panics instead.

use std::{
    io,
    sync::{Arc, LazyLock},
};

use diesel_async::async_connection_wrapper::BlockOn;
use tokio::runtime::{Builder, Handle, Runtime};

static RUNTIME: LazyLock<Result<Runtime, Arc<io::Error>>> = LazyLock::new(|| {
    Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("store")
        .enable_all()
        .build()
        .map_err(Arc::new)
});

/// The process-wide runtime of the store's connections, started when it is first needed.
pub(in crate::store) struct StoreRuntime(&'static Handle);

/// # Errors
///
/// The operating system refused the thread or the epoll instance; it will be the same error until the process ends.
pub(super) fn start() -> Result<&'static Handle, Arc<io::Error>> {
    RUNTIME.as_ref().map(Runtime::handle).map_err(Arc::clone)
}

impl BlockOn for StoreRuntime {
    fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.0.block_on(future)
    }

    fn get_runtime() -> Self {
        Self(start().expect("a connection is made by the runtime, so it runs"))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    #[test]
    fn plain_threads_and_blocking_threads_of_another_runtime_can_wait() {
        let wait = || {
            StoreRuntime::get_runtime().block_on(async {
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
