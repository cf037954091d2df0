//! `plantail query`: one GraphQL document against the store, no server needed.

use clap::Args;
use serde_json::Value;

use super::{Error, output};
use crate::{api, config::Settings, model::visible::visible_json, store::Store};

/// Run a GraphQL document against the store, no server needed
#[derive(Debug, Args)]
pub(super) struct Query {
    /// The document, e.g. '{ queries(limit: 5) { normalizedSql totalExecutions } }'
    document: String,
    /// Variables as a JSON object
    #[arg(long, value_name = "JSON", default_value = "{}")]
    variables: String,
}

pub(super) fn run(query: &Query, settings: &Settings) -> Result<(), Error> {
    let variables: Value = serde_json::from_str(&query.variables)
        .ok()
        .filter(Value::is_object)
        .ok_or_else(|| {
            Error::Usage(format!(
                "--variables {:?} is not a JSON object",
                query.variables
            ))
        })?;
    let store = Store::open_existing(&settings.daemon.store)?;
    let answer = api::execute(
        &store,
        &query.document,
        &variables,
        None,
        &settings.daemon.api.summary,
    );
    output::line(&visible_json(&format!("{answer:#}")))?;
    if answer.get("errors").is_some() {
        return Err(Error::Failed(
            "the document could not be answered whole; see errors".to_owned(),
        ));
    }
    Ok(())
}
