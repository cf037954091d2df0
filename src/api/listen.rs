//! The accept loop under the routes: how many connections, how long a client may take to send a request's head, and how serving ends. Own loop,
//! because warp's has neither a header timeout nor a cap and speaks HTTP/2.

use std::{io, sync::Arc, time::Duration};

use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use tokio::{
    net::TcpListener,
    sync::{Semaphore, watch},
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    Config, Error,
    http::{State, routes},
};
use crate::store::{READERS, Store};

/// When this process last committed log records to the store; `None` before the first commit, or where another process fills it.
pub type LastCommit = watch::Receiver<Option<Instant>>;

/// Longest head of a request, in bytes.
const MAX_HEAD_BYTES: usize = 16 * 1024;
/// Requests under way get this long to finish after the shutdown signal.
const DRAIN: Duration = Duration::from_secs(3);
/// Pause after a failed accept: the usual reason is that the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Opens the port. It answers nothing until [`serve`] takes it.
///
/// # Errors
///
/// [`Error::NotLoopback`] for an address that others could reach, and when the port can't be had.
pub async fn bind(config: &Config) -> Result<TcpListener, Error> {
    let listen = config.listen;
    if !listen.ip().is_loopback() {
        return Err(Error::NotLoopback { listen });
    }
    TcpListener::bind(listen)
        .await
        .map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => Error::PortInUse { listen, source },
            _ => Error::Bind { listen, source },
        })
}

/// Serves the API on `listener` until `shutdown`, then lets requests under way finish for a few seconds.
pub async fn serve(
    listener: TcpListener,
    config: Config,
    store: Store,
    last_commit: LastCommit,
    shutdown: CancellationToken,
) {
    let slots = Arc::new(Semaphore::new(config.max_connections));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(config.header_timeout)
        .max_buf_size(MAX_HEAD_BYTES);
    let service = TowerToHyperService::new(warp::service(routes(Arc::new(State {
        store,
        config,
        last_commit,
        executions: Arc::new(Semaphore::new(READERS)),
    }))));
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    loop {
        let next = async {
            let slot = Arc::clone(&slots)
                .acquire_owned()
                .await
                .expect("the semaphore is never closed");
            (slot, listener.accept().await)
        };
        let (slot, accepted) = tokio::select! {
            () = shutdown.cancelled() => break,
            next = next => next,
        };
        while connections.try_join_next().is_some() {}
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection to the API was not accepted");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let connection =
            graceful.watch(http.serve_connection(TokioIo::new(stream), service.clone()));
        connections.spawn(async move {
            let _slot = slot;
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to the API ended early");
            }
        });
    }
    drop(listener);
    if timeout(DRAIN, graceful.shutdown()).await.is_err() {
        tracing::warn!("API requests were cut off by the shutdown");
    }
    connections.shutdown().await;
}
