//! One GraphQL document from its text to its JSON answer: the same way for HTTP and for the command line.

use juniper::{ExecutionError, GraphQLError, ValidatedOperation, Variables};
use serde_json::{Map, Value, json};

use super::{
    cost,
    error::{Code, body, internal_body},
    loaded::Loaded,
    loader::load,
    planner::{Plan, plan},
    schema::SCHEMA,
};
use crate::{digest, store::Store};

/// The answer to a document, by how far it came.
pub(super) enum Answer {
    /// `data`, and errors of single fields.
    Executed(Value),
    /// The document or its variables were refused before anything was loaded.
    Refused(Value),
    /// The store failed.
    Failed(Value),
}

/// Runs a document over one snapshot of the store. `variables` is a JSON object or null; the answer is what GraphQL over HTTP would have as its
/// body: `data` and `errors`.
pub fn execute(
    store: &Store,
    document: &str,
    variables: &Value,
    operation_name: Option<&str>,
    summary: &digest::Config,
) -> Value {
    let variables = match variables {
        Value::Null => Variables::new(),
        Value::Object(_) => match serde_json::from_value(variables.clone()) {
            Ok(variables) => variables,
            Err(_) => {
                return body(
                    Code::BadRequest,
                    "the variables hold a value that GraphQL can't take",
                );
            }
        },
        _ => return body(Code::BadRequest, "the variables have to be a JSON object"),
    };
    match answer(store, document, &variables, operation_name, summary) {
        Answer::Executed(value) | Answer::Refused(value) | Answer::Failed(value) => value,
    }
}

/// The same with the variables read.
pub(super) fn answer(
    store: &Store,
    document: &str,
    variables: &Variables,
    operation_name: Option<&str>,
    summary: &digest::Config,
) -> Answer {
    let operation = match ValidatedOperation::new(document, operation_name, &SCHEMA) {
        Ok(operation) => operation,
        Err(error) => return Answer::Refused(refused(&error)),
    };
    let plan = match plan(document, operation_name, variables, &SCHEMA) {
        Ok(plan) => plan,
        Err(error) => return Answer::Refused(refused(&error)),
    };
    if let Err(message) = cost::check(&plan) {
        return Answer::Refused(body(Code::TooExpensive, &message));
    }
    let loaded = match load_all(store, &plan, summary) {
        Ok(loaded) => loaded,
        Err(error) => return Answer::Failed(internal_body(&error)),
    };
    match operation.execute_sync(variables, &loaded) {
        Ok((data, errors)) => {
            let mut answer = Map::new();
            answer.insert("data".to_owned(), json!(data));
            if !errors.is_empty() {
                let errors = errors.iter().map(field_error).collect();
                answer.insert("errors".to_owned(), errors);
            }
            Answer::Executed(Value::Object(answer))
        }
        Err(error) => Answer::Refused(refused(&error)),
    }
}

fn load_all(
    store: &Store,
    plan: &Plan,
    summary: &digest::Config,
) -> Result<Loaded, crate::store::Error> {
    if plan.requests.is_empty() {
        return Ok(Loaded::default());
    }
    store.read(|reader| load(reader, plan, summary))
}

/// A document that isn't executed: juniper's errors with our codes.
fn refused(error: &GraphQLError) -> Value {
    let code = match error {
        GraphQLError::ParseError(_) => Code::ParseFailed,
        _ => Code::ValidationFailed,
    };
    let mut errors = json!(error);
    for error in errors.as_array_mut().into_iter().flatten() {
        if let Some(error) = error.as_object_mut() {
            error.insert("extensions".to_owned(), json!({ "code": code.as_str() }));
        }
    }
    json!({ "errors": errors })
}

/// An error of one field. Those that juniper makes itself are about argument values.
fn field_error(error: &ExecutionError<juniper::DefaultScalarValue>) -> Value {
    let mut value = json!(error);
    if let Some(error) = value.as_object_mut() {
        error
            .entry("extensions")
            .or_insert_with(|| json!({ "code": Code::BadUserInput.as_str() }));
    }
    value
}
