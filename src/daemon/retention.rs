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
            Ok(0) => {}
            Ok(rows) => tracing::info!(rows, "deleted what is older than store.retention"),
            Err(error) => {
                tracing::warn!(error = %error, "what is older than store.retention can't be deleted; trying again in an hour");
            }
        }
    }
}

/// Deletes for a while and gives the number of rows.
fn slice(
    store: &Store,
    retention: &Retention,
    shutdown: &CancellationToken,
) -> Result<u64, store::Error> {
    let began = Instant::now();
    let mut step_began = began;
    let mut rows = 0;
    store.prune(retention, PRUNED_AT_ONCE, |pruned| {
        if let Pruned::Rows { rows: gone, .. } = pruned {
            rows += gone;
        }
        // As long a pause as the step took: the logs have at least half of the store's time.
        std::thread::sleep(step_began.elapsed());
        step_began = Instant::now();
        match shutdown.is_cancelled() || began.elapsed() > SLICE {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    })?;
    Ok(rows)
}
