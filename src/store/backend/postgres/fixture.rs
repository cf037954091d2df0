//! A real PostgreSQL for the tests of this folder: one server for all of them, one database for each.
//!
//! The server speaks TLS with a certificate of an authority made for it, wants passwords over TCP and none on its socket, and logs every
//! statement.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::{
    fs,
    path::PathBuf,
    process::Command,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU32, Ordering},
    },
};

use super::{Access, PostgresUrl, Session, connect};

#[path = "../../../../tests/it/postgres.rs"]
#[expect(
    dead_code,
    clippy::print_stderr,
    reason = "the harness of the integration tests has more than is needed here, and says why it skips"
)]
mod harness;

/// Of the role `tcp`, which logs in over TCP.
pub(super) const PASSWORD: &str = "p%ss/w@rd secret";
pub(super) const PASSWORD_ENCODED: &str = "p%25ss%2Fw%40rd%20secret";

pub(super) struct Server {
    harness: harness::Postgres,
    /// Certificates and keys: ca.crt, other-ca.crt, client.crt, client.key.
    pub(super) files: tempfile::TempDir,
    /// Loopback addresses that no other test process listens on; the server's certificate is for the first.
    pub(super) address: String,
    pub(super) unnamed_address: String,
}

/// Lives as long as some test needs it.
static SERVER: Mutex<Weak<Server>> = Mutex::new(Weak::new());

impl Server {
    /// `None`, with a message, where PostgreSQL isn't installed.
    pub(super) fn shared() -> Option<Arc<Self>> {
        let mut shared = SERVER.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = shared.upgrade() {
            return Some(server);
        }
        let server = Arc::new(Self::start()?);
        *shared = Arc::downgrade(&server);
        Some(server)
    }

    fn start() -> Option<Self> {
        let process = std::process::id();
        let loopback = |first: u32| {
            let (high, middle, low) = (process >> 16 & 0x3f, process >> 8 & 0xff, process & 0xff);
            format!("127.{}.{middle}.{low}", first + high)
        };
        let (address, unnamed_address) = (loopback(64), loopback(128));
        let harness = harness::Postgres::start(&format!(
            "listen_addresses = '{address},{unnamed_address}'\nmax_connections = 80\nlog_statement = all\nlog_min_duration_statement = -1\n\
             auto_explain.log_min_duration = -1\nlog_line_prefix = '%d '\n"
        ))?;
        let files = tempfile::tempdir().unwrap();
        harness.speak_tls(files.path(), &address);
        harness.psql(&[
            "COPY (VALUES ('local all all trust'), ('hostssl all certified 127.0.0.0/8 cert'), ('host all all 127.0.0.0/8 scram-sha-256')) \
             TO PROGRAM 'cat > pg_hba.conf'",
            &format!("CREATE ROLE tcp LOGIN PASSWORD '{PASSWORD}'"),
            "CREATE ROLE certified LOGIN",
            "SELECT pg_reload_conf()",
        ]);
        Some(Self {
            harness,
            files,
            address,
            unnamed_address,
        })
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    /// URL over TCP with that login, `USER[:PASSWORD]`, and parameters.
    pub(super) fn tcp(&self, login: &str, parameters: &str) -> PostgresUrl {
        format!("postgres://{login}@{}/postgres?{parameters}", self.address)
            .parse()
            .unwrap()
    }

    pub(super) fn psql(&self, sql: &str) -> String {
        self.harness.psql(&[sql]).trim_end().to_owned()
    }

    pub(super) fn psql_in(&self, database: &str, sql: &str) -> String {
        let connect = format!("\\c {database}");
        self.harness.psql(&[&connect, sql]).trim_end().to_owned()
    }

    fn socket_folder(&self) -> String {
        let socket = self.harness.socket();
        socket.parent().unwrap().to_str().unwrap().to_owned()
    }
}

/// A process of the server that is stopped, as all of it is on a machine whose disk hangs: its connection stays open and nothing answers. Goes on when
/// dropped.
pub(in crate::store) struct StandsStill {
    process: String,
}

impl StandsStill {
    pub(in crate::store) fn of(process: &str) -> Self {
        let process = process.to_owned();
        signal("-STOP", &process);
        Self { process }
    }
}

impl Drop for StandsStill {
    fn drop(&mut self) {
        signal("-CONT", &self.process);
    }
}

fn signal(signal: &str, process: &str) {
    let kill = Command::new("kill").args([signal, process]).status();
    assert!(kill.unwrap().success());
}

/// A database of its own.
pub(in crate::store) struct Database {
    pub(super) server: Arc<Server>,
    pub(super) name: String,
}

impl Database {
    pub(in crate::store) fn new() -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let server = Server::shared()?;
        let name = format!("store_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        server.psql(&format!("CREATE DATABASE {name}"));
        Some(Self { server, name })
    }

    /// URL of its superuser, or another role, on the socket.
    pub(in crate::store) fn url(&self, user: &str) -> PostgresUrl {
        let Self { server, name } = self;
        format!("postgres://{user}@/{name}?host={}", server.socket_folder())
            .parse()
            .unwrap()
    }

    pub(super) fn writer(&self) -> Session {
        connect(&self.url("postgres"), Access::Write).unwrap()
    }

    /// What the superuser gets from the database for one statement.
    pub(in crate::store) fn psql(&self, sql: &str) -> String {
        let connect = format!("\\c {}", self.name);
        let output = self.server.harness.psql(&[&connect, sql]);
        output.trim_end().to_owned()
    }

    /// Every statement that this database has been sent, as its server logged them, one entry for one message of the protocol.
    pub(in crate::store) fn statements_sent(&self) -> Vec<String> {
        let log =
            fs::read_to_string(self.server.harness.log_directory().join("postgresql.log")).unwrap();
        let mut sent: Vec<String> = Vec::new();
        let mut ours = false;
        for line in log.lines() {
            if let Some(more) = line.strip_prefix('\t') {
                if ours && let Some(last) = sent.last_mut() {
                    last.push('\n');
                    last.push_str(more);
                }
                continue;
            }
            ours = false;
            let Some((database, message)) = line.split_once(" LOG:  ") else {
                continue;
            };
            let text = message.strip_prefix("statement: ").or_else(|| {
                message
                    .strip_prefix("execute ")?
                    .split_once(": ")
                    .map(|(_, text)| text)
            });
            if let Some(text) = text.filter(|_| database == self.name) {
                sent.push(text.to_owned());
                ours = true;
            }
        }
        sent
    }
}
