//! Who takes in a server's logs: one at a time, because two would each find new files and store them as their own.
//!
//! A claim is a lock that the operating system or the database gives back when its holder is gone, and a number that every later claim
//! raises. The number is written with everything that the logs say, so that a holder that has lost its lock without knowing it stores nothing
//! any more.

use std::fs::{File, TryLockError};

use diesel::{
    prelude::*,
    sql_types::{BigInt, Bool},
};

use super::{
    Error, Store,
    backend::{Connection, each},
    column::text,
    connection::Place,
    schema::servers,
    sql::Sql,
};
use crate::model::{
    position::{Server, ServerId},
    stable_id,
};

/// The right to write what a server's logs say; given back when it is dropped, or when its process ends.
pub struct IngestClaim {
    number: ClaimNumber,
    _lock: Lock,
}

/// Which claim of a server this is; each is higher than those before. The default is that of a server that nobody has claimed yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClaimNumber(pub(super) i64);

#[expect(
    dead_code,
    reason = "a file stays locked, and a session of PostgreSQL keeps its advisory locks, as long as it is open"
)]
enum Lock {
    File(File),
    Session(Box<Connection>),
}

impl IngestClaim {
    pub fn number(&self) -> ClaimNumber {
        self.number
    }
}

#[derive(QueryableByName)]
struct Locked {
    #[diesel(sql_type = Bool)]
    locked: bool,
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    ingest_claim: i64,
}

impl Store {
    /// Makes the caller the only one that takes in the server's logs, and stores the server if it is new.
    ///
    /// # Errors
    ///
    /// [`Error::Claimed`] while another process or handle has the claim.
    pub fn claim_ingest(&self, server: &Server) -> Result<IngestClaim, Error> {
        let lock = match &self.connections.place {
            Place::Sqlite(database) => {
                let failed = |source| Error::Claim {
                    server: server.name.clone(),
                    source,
                };
                let file = database.ingest_lock(server.id).map_err(failed)?;
                match file.try_lock() {
                    Ok(()) => Some(Lock::File(file)),
                    Err(TryLockError::WouldBlock) => None,
                    Err(TryLockError::Error(source)) => return Err(failed(source)),
                }
            }
            Place::Postgres { .. } => {
                let mut session = self.connections.claimer()?;
                let key = stable_id(&[b"ingest", &server.id.0.to_be_bytes()]);
                let sql = Sql::new("SELECT pg_try_advisory_lock(?) AS locked", [key.into()]);
                let row: Option<Locked> = sql.first(&mut session)?;
                if row.is_some_and(|row| row.locked) {
                    Some(Lock::Session(Box::new(session)))
                } else {
                    self.connections.wait_on(session);
                    None
                }
            }
        };
        let lock = lock.ok_or_else(|| Error::Claimed {
            server: server.name.clone(),
        })?;
        self.ensure_server(server)?;
        let raised: Option<Number> = Sql::new(
            "UPDATE servers SET ingest_claim = ingest_claim + 1 WHERE id = ? RETURNING ingest_claim",
            [server.id.0.into()],
        )
        .first(&mut *self.connections.writer()?)?;
        let number = raised
            .expect("the server has just been stored")
            .ingest_claim;
        Ok(IngestClaim {
            number: ClaimNumber(number),
            _lock: lock,
        })
    }

    /// Stores the server if it is new. Everything else that is stored of a server needs this first.
    pub fn ensure_server(&self, server: &Server) -> Result<(), Error> {
        let row = diesel::insert_into(servers::table)
            .values((
                servers::id.eq(server.id.0),
                servers::name.eq(text(&server.name)),
            ))
            .on_conflict_do_nothing();
        each!(&mut *self.connections.writer()?, c => row.execute(c))?;
        Ok(())
    }
}

/// Makes sure, until the end of the transaction, that no later claim has been made.
pub(super) fn check(
    connection: &mut Connection,
    server: ServerId,
    claim: ClaimNumber,
) -> Result<(), Error> {
    let newest = servers::table.find(server.0).select(servers::ingest_claim);
    let newest: Option<i64> = match connection {
        Connection::Sqlite(c) => newest.first(c).optional()?,
        Connection::Postgres(c) => newest.for_update().first(&mut **c).optional()?,
    };
    if newest == Some(claim.0) {
        Ok(())
    } else {
        Err(Error::ClaimLost)
    }
}

#[cfg(test)]
impl Store {
    /// The number under which the server's logs are taken in now.
    pub(crate) fn newest_claim(&self, server: ServerId) -> ClaimNumber {
        let newest = servers::table.find(server.0).select(servers::ingest_claim);
        let reader = &mut *self.connections.reader().expect("a reader");
        ClaimNumber(each!(reader, c => newest.first(c)).expect("a stored server"))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;
    use crate::store::{
        StoreUrl,
        backend::postgres::fixture::Database,
        fixture::{Fixture, batch, execution, open},
    };

    #[test]
    fn who_waits_for_claims_tries_on_one_session() {
        let Some(database) = Database::new() else {
            return;
        };
        let url = StoreUrl::Postgres(Box::new(database.url("postgres")));
        let (one, other) = (open(&url).unwrap(), open(&url).unwrap());
        let servers = ["shop", "forum"].map(Server::named);
        let claims = servers
            .each_ref()
            .map(|server| one.claim_ingest(server).unwrap());
        let attempt = || {
            for server in &servers {
                let refused = other.claim_ingest(server).err().unwrap();
                assert!(matches!(refused, Error::Claimed { .. }), "{refused}");
            }
        };
        let sessions = || {
            database.psql(
                "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%pg_try_advisory_lock($1)%' \
                  AND application_name = 'plantail' ORDER BY pid",
            )
        };
        attempt();
        let first = sessions();
        assert_eq!(first.lines().count(), 3, "{first}");
        attempt();
        assert_eq!(sessions(), first);
        // A session that has ended is replaced.
        let holders = sessions();
        let waiting = holders.lines().find(|pid| {
            database.psql(&format!(
                "SELECT count(*) FROM pg_locks WHERE pid = {pid} AND locktype = 'advisory'"
            )) == "0"
        });
        database.psql(&format!(
            "SELECT pg_terminate_backend({}, 5000)",
            waiting.unwrap()
        ));
        let taken = (0..500).find(|_| {
            std::thread::sleep(std::time::Duration::from_millis(10));
            matches!(other.claim_ingest(&servers[0]), Err(Error::Claimed { .. }))
        });
        assert!(taken.is_some());
        // What was waited for is had by the session that waited.
        drop(claims);
        let mut had = None;
        for _ in 0..500 {
            had = other.claim_ingest(&servers[0]).ok();
            if had.is_some() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        assert!(had.is_some());
    }

    #[test]
    fn one_at_a_time_takes_in_a_servers_logs() {
        for fixture in Fixture::each() {
            let (one, other) = (&fixture.store, fixture.reopen());
            let server = Server::named("shop");
            let first = one.claim_ingest(&server).unwrap();
            let refused = other.claim_ingest(&server).err().unwrap();
            assert!(matches!(refused, Error::Claimed { .. }), "{refused}");
            other.claim_ingest(&Server::named("forum")).unwrap();

            let number = first.number();
            drop(first);
            let second = other.claim_ingest(&server).unwrap();
            let mut late = batch(server.id, 0, 10);
            late.executions = vec![execution(server.id, "select 1", 1, 1.0)];
            late.claim = number;
            let lost = one.ingest(&late, &|_| Vec::new()).err().unwrap();
            assert!(matches!(lost, Error::ClaimLost), "{lost}");
            let lost = one.note_generation(number, &late.generation).err().unwrap();
            assert!(matches!(lost, Error::ClaimLost), "{lost}");
            late.claim = second.number();
            other.ingest(&late, &|_| Vec::new()).unwrap();
            assert_eq!(fixture.count("executions"), 1);
        }
    }
}
