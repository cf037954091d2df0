//! Deletes what is past its time while the daemon runs: a bounded slice every hour, between the batches of the logs.

use std::{
    ops::ControlFlow,
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

use crate::store::{self, PRUNED_AT_ONCE, Pruned, Retention, Store};

/// How often, and how long after the start for the first time: catching up comes before tidying up.
const EVERY: Duration = Duration::from_secs(3600);
const FIRST_AFTER: Duration = Duration::from_secs(60);

/// How long one slice may take. What is left waits for the next.
const SLICE: Duration = Duration::from_secs(60);

/// Until `shutdown`. The store failing is logged; the next slice tries again.
pub(super) async fn run(store: Store, retention: Retention, shutdown: CancellationToken) {
    let mut wait = FIRST_AFTER;
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
        wait = EVERY;
        let (store, stopping) = (store.clone(), shutdown.clone());
        let slice = tokio::task::spawn_blocking(move || slice(&store, &retention, &stopping));
        match slice.await.expect("the store doesn't panic") {
            Ok(Deleted {
                rows: 0,
                partitions: 0,
            }) => {}
            Ok(Deleted { rows, partitions }) => {
                tracing::info!(
                    rows,
                    partitions,
                    "deleted what is older than store.retention"
                );
            }
            Err(error) => {
                tracing::warn!(error = %error, "what is older than store.retention can't be deleted; trying again in an hour");
            }
        }
    }
}

/// What a slice came to: rows that went one by one, and partitions of a PostgreSQL store that went whole.
#[derive(Default)]
struct Deleted {
    rows: u64,
    partitions: u64,
}

/// Deletes for a while.
fn slice(
    store: &Store,
    retention: &Retention,
    shutdown: &CancellationToken,
) -> Result<Deleted, store::Error> {
    let began = Instant::now();
    let mut step_began = began;
    let mut deleted = Deleted::default();
    store.prune(retention, PRUNED_AT_ONCE, |pruned| {
        match pruned {
            Pruned::Rows { rows, .. } => deleted.rows += rows,
            Pruned::Partition { .. } => deleted.partitions += 1,
        }
        // As long a pause as the step took: the logs have at least half of the store's time.
        std::thread::sleep(step_began.elapsed());
        step_began = Instant::now();
        match shutdown.is_cancelled() || began.elapsed() > SLICE {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    })?;
    Ok(deleted)
}
