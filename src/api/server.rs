//! `Server`: one monitored PostgreSQL cluster.

use jiff::Timestamp;
use juniper::{FieldResult, ID, graphql_object};

use super::{
    error::{Code, field_error},
    loaded::Loaded,
};
use crate::{
    model::{position::ServerId, public_id::PublicId},
    store::ServerRow,
};

/// Reads an argument or filter that names a server.
pub(super) fn server_id(id: Option<ID>) -> FieldResult<Option<ServerId>> {
    let Some(id) = id else { return Ok(None) };
    match PublicId::parse(&id) {
        Some(PublicId::Server(server)) => Ok(Some(server)),
        _ => Err(field_error(
            Code::BadUserInput,
            "`server` is not the id of a server",
        )),
    }
}

#[derive(Clone)]
pub(super) struct ServerNode(pub ServerRow);

/// One monitored PostgreSQL cluster.
#[graphql_object(name = "Server", context = Loaded)]
impl ServerNode {
    fn id(&self) -> ID {
        PublicId::Server(self.0.server.id).to_string().into()
    }

    /// The name that plantail's configuration gives it.
    fn name(&self) -> &str {
        &self.0.server.name
    }

    /// Log time of its first record.
    fn first_seen(&self) -> Option<Timestamp> {
        self.0.first_seen
    }

    /// Log time of its newest record.
    fn last_seen(&self) -> Option<Timestamp> {
        self.0.last_seen
    }
}
