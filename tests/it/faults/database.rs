use std::sync::{
    Arc, Mutex, PoisonError, Weak,
    atomic::{AtomicU32, Ordering},
};

use tokio_postgres::{Client, NoTls};

use super::run::{GapRow, GenerationRow, Row, Stored};
use crate::postgres::Postgres;

/// A server that logs nothing of what it is sent and has room for several stores.
pub(crate) const SETTINGS: &str =
    "max_connections = 200\nlog_min_duration_statement = -1\nauto_explain.log_min_duration = -1\n";

/// The server of every row that does nothing to it; lives as long as some test needs it. `None`, with a message, where PostgreSQL isn't installed.
pub(crate) fn shared() -> Option<Arc<Postgres>> {
    static SERVER: Mutex<Weak<Postgres>> = Mutex::new(Weak::new());
    let mut shared = SERVER.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(server) = shared.upgrade() {
        return Some(server);
    }
    let server = Arc::new(Postgres::start(SETTINGS)?);
    *shared = Arc::downgrade(&server);
    Some(server)
}

/// A database of its own.
pub(crate) struct Database {
    pub(crate) server: Arc<Postgres>,
    name: String,
}

impl Database {
    pub(crate) fn new(server: Arc<Postgres>) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("store_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        server.psql(&[&format!("CREATE DATABASE {name}")]);
        Self { server, name }
    }

    /// One that is there already.
    pub(crate) fn named(server: Arc<Postgres>, name: &str) -> Self {
        let name = name.to_owned();
        Self { server, name }
    }

    /// Address of it for a role, on the socket.
    pub(crate) fn url(&self, user: &str) -> String {
        let socket = self.server.socket();
        format!(
            "postgres://{user}@/{}?host={}",
            self.name,
            socket.parent().unwrap().display()
        )
    }

    /// Address of it for the superuser on that port of this machine.
    pub(crate) fn url_at(&self, port: u16) -> String {
        format!(
            "postgres://postgres@127.0.0.1:{port}/{}?sslmode=disable",
            self.name
        )
    }

    /// Ends sessions of the daemons in it; gives how many.
    pub(crate) fn terminate(&self, which: &str) -> usize {
        let ended = self.server.psql(&[&format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
              WHERE datname = '{}' AND application_name = 'plantail' AND {which}",
            self.name
        )]);
        ended.lines().filter(|line| *line == "t").count()
    }

    /// Ends the session that holds the claim on a server's logs.
    pub(crate) fn terminate_claim(&self) -> usize {
        self.terminate("pid IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted)")
    }
}

/// Asks the store at that address something; `None` where it can't be asked now.
fn ask<T>(
    url: &str,
    ask: impl AsyncFnOnce(&Client) -> Result<T, tokio_postgres::Error>,
) -> Option<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await.ok()?;
        let driver = tokio::spawn(connection);
        let answer = ask(&client).await.ok();
        drop(client);
        let _ = driver.await;
        answer
    })
}

pub(crate) fn count_rows(url: &str) -> Option<usize> {
    let count = ask(url, async |client| {
        let row = client
            .query_one("SELECT count(*) FROM executions", &[])
            .await?;
        Ok(row.get::<_, i64>(0))
    });
    Some(usize::try_from(count?).unwrap())
}

/// What the store holds, one snapshot.
pub(super) fn rows(url: &str) -> Option<Stored> {
    let unsigned = |value: i64| u64::try_from(value).unwrap();
    ask(url, async |client| {
        client
            .batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            .await?;
        let mut found = Stored::default();
        let rows = client
            .query(
                "SELECT duration_ms, process_id, statement, generation_id, offset_bytes FROM executions",
                &[],
            )
            .await?;
        found.rows = rows
            .iter()
            .map(|row| Row {
                number: (row.get::<_, f64>(0) * 1000.0).round() as u64,
                process_id: row.get(1),
                statement: row.get(2),
                generation: row.get(3),
                offset_bytes: unsigned(row.get(4)),
            })
            .collect();
        let rows = client
            .query(
                "SELECT g.id, g.path, g.head_len_bytes, g.head_hash, c.offset_bytes, g.state \
                   FROM generations g JOIN checkpoints c ON c.server_id = g.server_id AND c.generation_id = g.id",
                &[],
            )
            .await?;
        found.generations = rows
            .iter()
            .map(|row| GenerationRow {
                id: row.get(0),
                path: row.get(1),
                head_len: unsigned(row.get(2)),
                head_hash: u128::from_be_bytes(row.get::<_, &[u8]>(3).try_into().unwrap()),
                offset_bytes: unsigned(row.get(4)),
                state: row.get(5),
            })
            .collect();
        let rows = client
            .query(
                "SELECT generation_id, from_bytes, to_bytes, reason FROM gaps",
                &[],
            )
            .await?;
        found.gaps = rows
            .iter()
            .map(|row| GapRow {
                generation: row.get(0),
                from_bytes: unsigned(row.get(1)),
                to_bytes: row.get::<_, Option<i64>>(2).map(unsigned),
                reason: row.get(3),
            })
            .collect();
        let rows = client
            .query(
                "SELECT counter, CAST(sum(count) AS BIGINT) FROM ingest_counts GROUP BY counter",
                &[],
            )
            .await?;
        for row in rows {
            let count = unsigned(row.get(1));
            match row.get(0) {
                "bytes" => found.bytes = count,
                "unparsed" => found.unparsed = count,
                "torn" => found.torn = count,
                _ => {}
            }
        }
        Ok(found)
    })
}
