//! The worker that keeps the history small: from time to time it has the store drop hours that are older than a month, of which the days stay.
//!
//! Fails with a warning and tries again later: nothing waits for it.

use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::store::{Error, Rolled, Store};

/// Hours are kept for so long, counted back from a server's newest record.
const KEEP_HOURS: Duration = Duration::from_hours(30 * 24);

/// Between two rounds, and before the first, which would compete with the catching up.
const EVERY: Duration = Duration::from_hours(1);

/// Runs until `shutdown`.
pub(super) async fn run(store: Store, shutdown: CancellationToken) {
    while shutdown.run_until_cancelled(sleep(EVERY)).await.is_some() {
        let store = store.clone();
        let round = tokio::task::spawn_blocking(move || all_servers(&store));
        match round.await.expect("a round doesn't panic") {
            Ok(Rolled { days: 0, .. }) => {}
            Ok(Rolled { days, hours }) => {
                tracing::info!(days, hours, "hours of old days were dropped; the days stay");
            }
            Err(error) => {
                tracing::warn!(%error, "the hours of old days could not be dropped; trying again later");
            }
        }
    }
}

fn all_servers(store: &Store) -> Result<Rolled, Error> {
    let mut all = Rolled::default();
    for row in store.read(|reader| reader.servers())? {
        let rolled = store.roll_up(row.server.id, KEEP_HOURS)?;
        all.days += rolled.days;
        all.hours += rolled.hours;
    }
    Ok(all)
}
