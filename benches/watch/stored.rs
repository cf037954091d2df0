//! The store as another connection sees it: which executions are there, and how far the log is committed.

use std::path::{Path, PathBuf};

use plantail::model::position::Server;
use tokio::runtime::Runtime;

use super::process::{plantail, run};

/// Name of the server whose log is read.
pub(super) const SERVER: &str = "bench";

/// Where the daemon stores.
pub(super) enum StoreAt {
    /// A file in the folder of the measurement.
    Sqlite,
    /// A database, by its URL.
    Postgres(String),
}

impl StoreAt {
    /// SQLite, and PostgreSQL where it was given.
    pub(super) fn each() -> Vec<Self> {
        let given = std::env::var("PLANTAIL_BENCH_POSTGRES").ok();
        std::iter::once(Self::Sqlite)
            .chain(given.map(Self::Postgres))
            .collect()
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgres(_) => "PostgreSQL",
        }
    }

    pub(super) fn url(&self, folder: &Path) -> String {
        match self {
            Self::Sqlite => format!("sqlite://{}", file(folder).display()),
            Self::Postgres(url) => url.clone(),
        }
    }

    /// Creates the store, without a row in it.
    pub(super) fn empty(&self, folder: &Path) -> Stored {
        let server = Server::named(SERVER).id.0;
        for extension in ["db", "db-wal", "db-shm"] {
            let _ = std::fs::remove_file(file(folder).with_extension(extension));
        }
        run(plantail(folder, self, &["migrate"]));
        match self {
            Self::Sqlite => Stored::Sqlite {
                connection: rusqlite::Connection::open(file(folder)).unwrap(),
                server,
            },
            Self::Postgres(url) => {
                let runtime = Runtime::new().unwrap();
                let connecting = tokio_postgres::connect(url, tokio_postgres::NoTls);
                let (client, connection) = runtime.block_on(connecting).unwrap();
                runtime.spawn(connection);
                let tables = "SELECT string_agg(quote_ident(tablename), ', ') FROM pg_tables \
                               WHERE schemaname = current_schema() AND tablename NOT LIKE '%migrations'";
                let tables: String = runtime
                    .block_on(client.query_one(tables, &[]))
                    .unwrap()
                    .get(0);
                let empty = format!("TRUNCATE {tables}; CHECKPOINT");
                runtime.block_on(client.batch_execute(&empty)).unwrap();
                Stored::Postgres {
                    runtime,
                    client,
                    server,
                }
            }
        }
    }
}

fn file(folder: &Path) -> PathBuf {
    folder.join("store.db")
}

/// A connection beside the daemon's.
pub(super) enum Stored {
    Sqlite {
        connection: rusqlite::Connection,
        server: i64,
    },
    Postgres {
        runtime: Runtime,
        client: tokio_postgres::Client,
        server: i64,
    },
}

impl Stored {
    /// Where the newest stored execution begins in the log, of the 400 that began last.
    pub(super) fn newest_offset_bytes(&self, since_us: i64) -> Option<i64> {
        self.number(
            "SELECT max(offset_bytes) FROM (SELECT offset_bytes FROM executions WHERE server_id = $1 AND started_at >= $2 \
              ORDER BY started_at DESC LIMIT 400) newest",
            since_us,
        )
    }

    pub(super) fn executions(&self) -> i64 {
        let count = "SELECT count(*) FROM executions WHERE server_id = $1 AND started_at >= $2";
        self.number(count, 0).unwrap()
    }

    /// Bytes of the log that are committed.
    pub(super) fn committed_bytes(&self) -> i64 {
        let sum = "SELECT CAST(sum(offset_bytes) AS BIGINT) FROM checkpoints WHERE server_id = $1 AND offset_bytes >= $2";
        self.number(sum, 0).unwrap_or(0)
    }

    fn number(&self, sql: &str, second: i64) -> Option<i64> {
        match self {
            Self::Sqlite { connection, server } => connection
                .prepare_cached(sql)
                .unwrap()
                .query_one([*server, second], |row| row.get(0))
                .unwrap(),
            Self::Postgres {
                runtime,
                client,
                server,
            } => runtime
                .block_on(client.query_one(sql, &[server, &second]))
                .unwrap()
                .get(0),
        }
    }
}
