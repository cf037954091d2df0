//! What the service manager hears: ready, alive, stopping (sd_notify(3)). Without one nothing is sent.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use sd_notify::NotifyState;
use tokio_util::sync::CancellationToken;

/// The service has started.
pub(super) fn ready() {
    notify(&[NotifyState::Ready]);
}

/// The service hasn't started yet, because of `what`; it says so again within `within`.
pub(super) fn starting(what: &str, within: Duration) {
    let within_us = u32::try_from(within.as_micros()).unwrap_or(u32::MAX);
    notify(&[
        NotifyState::Status(&line(what)),
        NotifyState::ExtendTimeoutUsec(within_us),
    ]);
}

/// What it is doing, for `systemctl status`.
pub(super) fn status(what: &str) {
    notify(&[NotifyState::Status(&line(what))]);
}

/// The service is stopping.
pub(super) fn stopping() {
    notify(&[NotifyState::Stopping]);
}

/// Feeds the watchdog as long as the worker that follows the logs shows signs of life.
pub(super) async fn keep_alive(heartbeat: Arc<AtomicU64>, shutdown: CancellationToken) {
    let Some(limit) = sd_notify::watchdog_enabled() else {
        return;
    };
    let mut last = u64::MAX;
    loop {
        let beat = heartbeat.load(Ordering::Relaxed);
        if beat != last {
            notify(&[NotifyState::Watchdog]);
            last = beat;
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep((limit / 4).max(Duration::from_millis(100))) => {}
        }
    }
}

/// A state is one line.
fn line(what: &str) -> String {
    what.replace(char::is_control, " ")
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(error = %error, "the service manager can't be told");
    }
}
