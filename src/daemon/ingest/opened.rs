//! What the store knows of a server, read under the claim on its ingest: a start, a takeover and a lost claim all begin with it.
//!
//! A store and a server's configuration come in; goes out what the ingest of that server goes on from. Nobody else moves it while the claim is held.

use std::collections::HashMap;

use super::{Config, Error, Layouts, Retold, ServerConfig};
use crate::{
    execution::Pairing,
    model::position::{Generation, GenerationId, Server},
    store::{IngestClaim, Store},
    tail,
};

/// Where the ingest of a server stands in the store.
pub(in crate::daemon) struct Opened {
    pub(super) claim: IngestClaim,
    pub(super) layouts: Layouts,
    pub(super) pairing: Pairing,
    pub(super) known: Vec<Generation>,
    /// Those of `known` whose positions the store has lost.
    pub(super) retold: HashMap<GenerationId, Retold>,
}

impl Opened {
    /// # Errors
    ///
    /// [`store::Error::Claimed`](crate::store::Error::Claimed) while another process takes the server's logs in.
    pub(in crate::daemon) fn load(
        store: &Store,
        server: &ServerConfig,
        config: &Config,
    ) -> Result<Self, Error> {
        let identity = Server::named(&server.name);
        let claim = store.claim_ingest(&identity)?;
        let state = store.server_state(identity.id)?;
        let pairing = match &state.pairing {
            Some(saved) => {
                let open = store.read(|reader| reader.open_executions(identity.id))?;
                Pairing::restore(identity.id, saved, open).unwrap_or_else(|error| {
                    tracing::warn!(server = %identity.name, error = %error, "executions that waited for their other half stay as they are");
                    Pairing::new(identity.id)
                })
            }
            None => Pairing::new(identity.id),
        };
        let mut known = store.generations(identity.id)?;
        let mut retold = HashMap::new();
        for row in store.generations_without_position(identity.id)? {
            tracing::warn!(server = %identity.name, path = %row.file.path.display(), "the store has lost its position in this log; looking for what it has of it");
            retold.insert(row.id, Retold::of(row.id, u64::MAX));
            known.push(Generation {
                state: row.state,
                ..tail::unread(&row)
            });
        }
        Ok(Self {
            claim,
            layouts: Layouts::new(server, state.log_line_prefix)?,
            pairing: pairing.with_config(config.execution.clone()),
            known,
            retold,
        })
    }
}
