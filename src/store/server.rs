//! The monitored servers, and what is kept of each between two starts.
//!
//! A server comes in by its name before anything else of it does; its prefix, its pairing state and the span of its stored log times go out.
//! What the pairing state says is not known here.

use diesel::{
    prelude::*,
    sql_types::{BigInt, Nullable},
};
use jiff::Timestamp;

use super::{
    Error, Reader, Store,
    backend::{Connection, each},
    claim::ClaimNumber,
    column::{optional_time, text},
    schema::servers,
    sql::{Sql, Value},
};
use crate::model::position::{Server, ServerId};

/// What a server's next start needs to know.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServerState {
    /// As given or detected, once.
    pub log_line_prefix: Option<String>,
    /// The pairing state after the last batch, as that batch carried it.
    pub pairing: Option<Vec<u8>>,
    /// Log times of the first and the newest stored record.
    pub first_seen: Option<Timestamp>,
    pub last_seen: Option<Timestamp>,
}

/// A server with the log times of its first and newest stored record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerRow {
    pub server: Server,
    pub first_seen: Option<Timestamp>,
    pub last_seen: Option<Timestamp>,
}

impl Store {
    /// The state of a server; the empty one for a server that isn't stored.
    pub fn server_state(&self, id: ServerId) -> Result<ServerState, Error> {
        type Row = (Option<String>, Option<Vec<u8>>, Option<i64>, Option<i64>);
        let state = servers::table.find(id.0).select((
            servers::log_line_prefix,
            servers::pairing,
            servers::first_seen,
            servers::last_seen,
        ));
        let mut connection = self.connections.reader()?;
        let row: Option<Row> = each!(&mut *connection, c => state.first(c).optional())?;
        let (log_line_prefix, pairing, first_seen, last_seen) = row.unwrap_or_default();
        Ok(ServerState {
            log_line_prefix,
            pairing,
            first_seen: optional_time("servers.first_seen", first_seen)?,
            last_seen: optional_time("servers.last_seen", last_seen)?,
        })
    }

    /// Keeps the prefix that was given or detected for the server.
    pub fn set_log_line_prefix(&self, id: ServerId, prefix: &str) -> Result<(), Error> {
        let kept = diesel::update(servers::table.find(id.0))
            .set(servers::log_line_prefix.eq(text(prefix)));
        each!(&mut *self.connections.writer()?, c => kept.execute(c))?;
        Ok(())
    }
}

impl Reader<'_> {
    /// Every server, by name.
    pub fn servers(&mut self) -> Result<Vec<ServerRow>, Error> {
        type Row = (i64, String, Option<i64>, Option<i64>);
        let all = servers::table
            .select((
                servers::id,
                servers::name,
                servers::first_seen,
                servers::last_seen,
            ))
            .order((servers::name, servers::id));
        let rows: Vec<Row> = each!(self.connection, c => all.load(c))?;
        rows.into_iter()
            .map(|(id, name, first_seen, last_seen)| {
                Ok(ServerRow {
                    server: Server {
                        id: ServerId(id),
                        name,
                    },
                    first_seen: optional_time("servers.first_seen", first_seen)?,
                    last_seen: optional_time("servers.last_seen", last_seen)?,
                })
            })
            .collect()
    }
}

/// Widens the span of stored log times and replaces the pairing state, and keeps others from doing the same until the end of the transaction.
/// Gives the log times of the server's first and newest record, where they are known.
///
/// # Errors
///
/// [`Error::ClaimLost`] where a later claim has been made.
pub(super) fn advance(
    connection: &mut Connection,
    id: ServerId,
    claim: ClaimNumber,
    oldest: Option<Timestamp>,
    newest: Option<Timestamp>,
    pairing: &[u8],
) -> Result<(Option<Timestamp>, Option<Timestamp>), Error> {
    let us = |time: Option<Timestamp>| Value::from(time.map(Timestamp::as_microsecond));
    let (oldest, newest) = (us(oldest), us(newest));
    let widened: Option<Span> = Sql::new(
        "UPDATE servers \
         SET pairing = ?, \
             first_seen = CASE WHEN first_seen <= coalesce(?, first_seen) THEN first_seen ELSE ? END, \
             last_seen = CASE WHEN last_seen >= coalesce(?, last_seen) THEN last_seen ELSE ? END \
         WHERE id = ? AND ingest_claim = ? \
         RETURNING first_seen, last_seen",
        [
            pairing.into(),
            oldest.clone(),
            oldest,
            newest.clone(),
            newest,
            id.0.into(),
            claim.0.into(),
        ],
    )
    .first(connection)?;
    let span = widened.ok_or(Error::ClaimLost)?;
    Ok((
        optional_time("servers.first_seen", span.first_seen)?,
        optional_time("servers.last_seen", span.last_seen)?,
    ))
}

#[derive(QueryableByName)]
struct Span {
    #[diesel(sql_type = Nullable<BigInt>)]
    first_seen: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    last_seen: Option<i64>,
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;
    use crate::store::fixture::{Fixture, at, batch};

    #[test]
    fn a_servers_span_widens_and_its_prefix_stays() {
        for fixture in Fixture::each() {
            let (store, id) = (&fixture.store, fixture.server);
            assert_eq!(store.server_state(id).unwrap(), ServerState::default());
            store.set_log_line_prefix(id, "%m [%p] ").unwrap();
            let spans = [
                (None, None),
                (Some(10), Some(20)),
                (Some(5), Some(7)),
                (None, Some(30)),
            ];
            for (number, (oldest, newest)) in (0..).zip(spans) {
                let mut batch = batch(id, number, number + 1);
                batch.oldest = oldest.map(at);
                batch.newest = newest.map(at);
                fixture.ingest(&batch).unwrap();
            }
            store.ensure_server(&Server::named("shop")).unwrap();
            assert_eq!(
                store.server_state(id).unwrap(),
                ServerState {
                    log_line_prefix: Some("%m [%p] ".to_owned()),
                    pairing: Some(Vec::new()),
                    first_seen: Some(at(5)),
                    last_seen: Some(at(30)),
                }
            );
            let rows = store.read(|reader| reader.servers()).unwrap();
            assert_eq!(
                rows,
                [ServerRow {
                    server: Server::named("shop"),
                    first_seen: Some(at(5)),
                    last_seen: Some(at(30)),
                }]
            );
        }
    }
}
