//! The GraphQL API: what the store holds, read-only, for the tools of the house.
//!
//! Comes in: HTTP requests on a loopback address, or a document from the command line. Goes out: JSON. A document is parsed, validated and
//! planned, its cost is checked, everything that it asks for is loaded from one snapshot of the store, and only then does juniper resolve it over
//! what was loaded: no resolver can reach the store. The only place that knows juniper and warp. Knows nothing of how the store is filled.

mod analysis;
mod cost;
mod error;
mod execute;
mod execution;
mod history;
mod http;
mod incident;
mod ingest_health;
mod listen;
mod loaded;
mod loader;
mod negotiate;
mod pagination;
mod plan;
mod planner;
mod query;
mod recommendation;
mod request;
mod scalars;
mod schema;
mod server;
mod summary;
#[cfg(test)]
mod tests;

use std::{net::SocketAddr, time::Duration};

use crate::digest;

pub use execute::execute;
pub use listen::{LastCommit, bind, serve};
pub use schema::sdl;

/// Where the API listens and what one client can take of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Has to be a loopback address: the API knows no accounts.
    pub listen: SocketAddr,
    /// Connections served at once; more wait to be accepted.
    pub max_connections: usize,
    /// Longest body of a request, in bytes.
    pub max_body_bytes: usize,
    /// A client that hasn't sent its request's head by then is disconnected.
    pub header_timeout: Duration,
    /// A request that isn't answered by then gets 503.
    pub request_timeout: Duration,
    /// What counts as slow in `summary`.
    pub summary: digest::Config,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8088)),
            max_connections: 64,
            max_body_bytes: 64 * 1024,
            header_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(30),
            summary: digest::Config::default(),
        }
    }
}

/// Why the API can't be started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "api.listen = \"{listen}\" is not a loopback address; the API has no access control, so use 127.0.0.1 or [::1] and reach it \
         from elsewhere through an SSH tunnel"
    )]
    NotLoopback { listen: SocketAddr },
    #[error(
        "api.listen = \"{listen}\": the port is in use; stop the program that holds it (`ss -ltnp` shows which) or choose another port"
    )]
    PortInUse {
        listen: SocketAddr,
        #[source]
        source: std::io::Error,
    },
    #[error(
        "api.listen = \"{listen}\" cannot be bound; choose an address of this machine and a port that this user may open"
    )]
    Bind {
        listen: SocketAddr,
        #[source]
        source: std::io::Error,
    },
}
