//! `plantail serve`: the API alone, for a store that others fill.

use clap::Args;

use super::{Error, signals};
use crate::{api, config::Settings, store::Store};

/// Serve the API alone, for a store that another plantail fills
#[derive(Debug, Args)]
pub(super) struct Serve {
    /// Address that the API listens on [default: 127.0.0.1:8088]
    #[arg(long, value_name = "ADDRESS")]
    pub(super) listen: Option<String>,
}

pub(super) async fn run(settings: Settings) -> Result<(), Error> {
    let config = settings.daemon.store;
    // A store in PostgreSQL is waited for, which a thread that runs tasks must not do.
    let opened = tokio::task::spawn_blocking(move || Store::open_existing(&config)).await;
    let store = opened.expect("opening doesn't panic")?;
    let listener = api::bind(&settings.daemon.api).await?;
    tracing::info!(
        "GraphQL is served at http://{}/graphql",
        listener.local_addr()?
    );
    let (_, last_commit) = tokio::sync::watch::channel(None);
    api::serve(
        listener,
        settings.daemon.api,
        store,
        last_commit,
        signals::shutdown()?,
    )
    .await;
    Ok(())
}
