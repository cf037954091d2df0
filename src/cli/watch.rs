//! `plantail watch`: the daemon.

use clap::Args;
use tokio::sync::oneshot;

use super::{Error, Logs, import, output, signals, summary};
use crate::{
    config::Settings,
    daemon::{self, CaughtUp},
    digest,
    store::Store,
};

/// Tail logs into the store, analyse, serve GraphQL, until Ctrl-C or SIGTERM
#[derive(Debug, Args)]
pub(super) struct Watch {
    #[command(flatten)]
    pub(super) logs: Logs,
    /// Don't serve the API: an agent for a store that plantail serve reads elsewhere
    #[arg(long)]
    no_api: bool,
    /// Address that the API listens on [default: 127.0.0.1:8088]
    #[arg(long, value_name = "ADDRESS")]
    pub(super) listen: Option<String>,
}

pub(super) async fn run(watch: &Watch, settings: &Settings) -> Result<(), Error> {
    let shutdown = signals::shutdown()?;
    let daemon = tokio::select! {
        daemon = daemon::build(settings.daemon.clone(), !watch.no_api) => daemon?,
        () = shutdown.cancelled() => return Ok(()),
    };
    let store = daemon.store().clone();
    if let Some(address) = daemon.listens_at() {
        tracing::info!("GraphQL is served at http://{address}/graphql");
    }
    let (caught_up, has_caught_up) = oneshot::channel();
    let running = tokio::spawn(daemon.run(shutdown, caught_up));
    if let Ok(caught_up) = has_caught_up.await {
        let settings = settings.clone();
        // A thread of its own, which nobody waits for: a terminal or pager that has stopped reading must not stop the daemon.
        std::thread::spawn(move || {
            if let Err(error) = print_summary(&caught_up, &store, &settings) {
                tracing::warn!(error = %error, "the summary can't be printed");
            }
        });
    }
    Ok(running.await.expect("the daemon doesn't panic")?)
}

fn print_summary(caught_up: &CaughtUp, store: &Store, settings: &Settings) -> Result<(), Error> {
    let digest = summary::build(store, digest::Since::DAY, settings)?;
    let read = import::sentence(&caught_up.accounting, caught_up.elapsed);
    let servers = match settings.daemon.servers.len() {
        1 => "1 server".to_owned(),
        count => format!("{count} servers"),
    };
    let summary = digest::text::render(&digest);
    Ok(output::line(&format!(
        "{read}\n\n{summary}\nTailing {servers}; Ctrl-C ends."
    ))?)
}
