//! HTTP over the API: the routes, who may ask, and how a GraphQL request travels (GraphQL over HTTP). Takes requests whose head has been read,
//! gives responses; never holds a connection and knows nothing of GraphQL's content.

use std::{net::IpAddr, sync::Arc};

use futures::{Stream, StreamExt, pin_mut};
use juniper::Variables;
use serde_json::{Map, Value};
use tokio::{sync::Semaphore, task::spawn_blocking, time::timeout};
use warp::{
    Buf, Filter,
    filters::BoxedFilter,
    http::{HeaderMap, Method, Response, StatusCode, header},
};

use super::{
    Config, LastCommit,
    error::{Code, body, internal_body},
    execute::{Answer, answer},
    negotiate::{self, MediaType},
};
use crate::store::Store;

/// What every request needs.
pub(super) struct State {
    pub store: Store,
    pub config: Config,
    pub last_commit: LastCommit,
    /// Documents executed at once: as many as the store has readers, so that an abandoned one can't pile up threads.
    pub executions: Arc<Semaphore>,
}

/// Every route. One handler looks at method and path itself: chained filters would try the next route after a refused body.
pub(super) fn routes(state: Arc<State>) -> BoxedFilter<(Response<String>,)> {
    warp::method()
        .and(warp::path::full())
        .and(warp::header::headers_cloned())
        .and(warp::body::stream())
        .then(move |method, path: warp::path::FullPath, headers, body| {
            let state = Arc::clone(&state);
            async move {
                let limit = state.config.request_timeout;
                let response = respond(&state, &method, path.as_str(), &headers, body);
                timeout(limit, response).await.unwrap_or_else(|_| {
                    refuse(
                        StatusCode::SERVICE_UNAVAILABLE,
                        Code::TimedOut,
                        "the request took too long",
                    )
                })
            }
        })
        .boxed()
}

async fn respond(
    state: &Arc<State>,
    method: &Method,
    path: &str,
    headers: &HeaderMap,
    body: impl Stream<Item = Result<impl Buf, warp::Error>>,
) -> Response<String> {
    if !is_local(headers) {
        return refuse(
            StatusCode::FORBIDDEN,
            Code::Forbidden,
            "Host and Origin have to be names of this machine's loopback interface",
        );
    }
    match (path, method) {
        ("/graphql", &Method::POST) => graphql(state, headers, body).await,
        ("/graphql", _) => not_allowed("POST"),
        ("/healthz", &Method::GET | &Method::HEAD) => json_response(
            StatusCode::OK,
            MediaType::Json,
            &serde_json::json!({ "status": "ok" }),
        ),
        ("/readyz", &Method::GET | &Method::HEAD) => ready(state).await,
        ("/healthz" | "/readyz", _) => not_allowed("GET, HEAD"),
        _ => refuse(
            StatusCode::NOT_FOUND,
            Code::BadRequest,
            "there is nothing here; the API is at /graphql",
        ),
    }
}

/// Whether the request was meant for this machine: a web page can make a browser send requests here under a name of its own that resolves to
/// 127.0.0.1 (DNS rebinding), and `Host` or `Origin` then show that name.
fn is_local(headers: &HeaderMap) -> bool {
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .is_some_and(is_loopback_name);
    let origin = headers.get(header::ORIGIN).is_none_or(|origin| {
        origin.to_str().is_ok_and(|origin| {
            origin.split_once("://").is_some_and(|(scheme, authority)| {
                matches!(scheme, "http" | "https") && is_loopback_name(authority)
            })
        })
    });
    host && origin
}

/// `host [ ":" port ]` (RFC 9110, section 7.2), the host being `localhost` or a loopback address.
fn is_loopback_name(authority: &str) -> bool {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((host, port)) => (
                host,
                port.strip_prefix(':').or(port.is_empty().then_some("")),
            ),
            None => return false,
        },
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, Some("")),
        },
    };
    port.is_some_and(|port| port.bytes().all(|digit| digit.is_ascii_digit()))
        && (host.eq_ignore_ascii_case("localhost")
            || host
                .parse()
                .is_ok_and(|address: IpAddr| address.is_loopback()))
}

async fn graphql(
    state: &Arc<State>,
    headers: &HeaderMap,
    request_body: impl Stream<Item = Result<impl Buf, warp::Error>>,
) -> Response<String> {
    let Some(media_type) = negotiate::accepted(headers) else {
        return refuse(
            StatusCode::NOT_ACCEPTABLE,
            Code::BadRequest,
            "answers are application/graphql-response+json or application/json",
        );
    };
    if !negotiate::is_json(headers) {
        return refuse(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Code::BadRequest,
            "the request's Content-Type has to be application/json in UTF-8",
        );
    }
    let bytes = match read_body(request_body, state.config.max_body_bytes).await {
        Ok(bytes) => bytes,
        Err(refused) => return refused,
    };
    let request = match GraphqlRequest::read(&bytes) {
        Ok(request) => request,
        Err(message) => {
            return json_response(
                StatusCode::BAD_REQUEST,
                media_type,
                &body(Code::BadRequest, message),
            );
        }
    };
    let permit = Arc::clone(&state.executions)
        .acquire_owned()
        .await
        .expect("the semaphore is never closed");
    let state = Arc::clone(state);
    let answered = spawn_blocking(move || {
        let _permit = permit;
        answer(
            &state.store,
            &request.document,
            &request.variables,
            request.operation_name.as_deref(),
            &state.config.summary,
        )
    })
    .await;
    match answered {
        Ok(Answer::Executed(value)) => json_response(StatusCode::OK, media_type, &value),
        Ok(Answer::Refused(value)) => {
            let status = match media_type {
                MediaType::GraphqlResponse => StatusCode::BAD_REQUEST,
                MediaType::Json => StatusCode::OK,
            };
            json_response(status, media_type, &value)
        }
        Ok(Answer::Failed(value)) => {
            json_response(StatusCode::INTERNAL_SERVER_ERROR, media_type, &value)
        }
        Err(panic) => json_response(
            StatusCode::INTERNAL_SERVER_ERROR,
            media_type,
            &internal_body(&panic),
        ),
    }
}

/// The whole body, unless it is longer than the limit: then reading stops there, whatever the request said of its length.
async fn read_body(
    body: impl Stream<Item = Result<impl Buf, warp::Error>>,
    max_body_bytes: usize,
) -> Result<Vec<u8>, Response<String>> {
    pin_mut!(body);
    let mut bytes = Vec::new();
    while let Some(part) = body.next().await {
        let Ok(mut part) = part else {
            return Err(refuse(
                StatusCode::BAD_REQUEST,
                Code::BadRequest,
                "the request's body broke off",
            ));
        };
        if bytes.len() + part.remaining() > max_body_bytes {
            let message = format!("the request's body is longer than {max_body_bytes} bytes");
            return Err(refuse(
                StatusCode::PAYLOAD_TOO_LARGE,
                Code::BodyTooLarge,
                &message,
            ));
        }
        while part.has_remaining() {
            let chunk = part.chunk();
            bytes.extend_from_slice(chunk);
            let length = chunk.len();
            part.advance(length);
        }
    }
    Ok(bytes)
}

/// A GraphQL request as it stands in a POST body (GraphQL over HTTP, "Request Parameters").
struct GraphqlRequest {
    document: String,
    variables: Variables,
    operation_name: Option<String>,
}

impl GraphqlRequest {
    fn read(bytes: &[u8]) -> Result<Self, &'static str> {
        let value = serde_json::from_slice(bytes).map_err(|_| "the request's body is not JSON")?;
        let mut members: Map<String, Value> = match value {
            Value::Object(members) => members,
            Value::Array(_) => return Err("batches are not supported: send one request at a time"),
            _ => return Err("the request's body has to be a JSON object"),
        };
        let Some(Value::String(document)) = members.remove("query") else {
            return Err("`query` has to be a string with a GraphQL document");
        };
        let operation_name = match members.remove("operationName") {
            None | Some(Value::Null) => None,
            Some(Value::String(name)) => Some(name),
            Some(_) => return Err("`operationName` has to be a string or null"),
        };
        let variables = match members.remove("variables") {
            None | Some(Value::Null) => Variables::new(),
            Some(variables @ Value::Object(_)) => serde_json::from_value(variables)
                .map_err(|_| "`variables` holds a value that GraphQL can't take")?,
            Some(_) => return Err("`variables` has to be an object or null"),
        };
        match members.remove("extensions") {
            None | Some(Value::Null | Value::Object(_)) => {}
            Some(_) => return Err("`extensions` has to be an object or null"),
        }
        Ok(Self {
            document,
            variables,
            operation_name,
        })
    }
}

/// Whether the store answers, and how long ago this process last committed to it, if it writes to it at all.
async fn ready(state: &Arc<State>) -> Response<String> {
    let store = state.store.clone();
    let answered = spawn_blocking(move || store.read(|reader| reader.servers().map(|_| ()))).await;
    if !matches!(answered, Ok(Ok(()))) {
        return json_response(
            StatusCode::SERVICE_UNAVAILABLE,
            MediaType::Json,
            &serde_json::json!({ "status": "the store doesn't answer" }),
        );
    }
    let age_ms = state
        .last_commit
        .borrow()
        .map(|at| u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX));
    json_response(
        StatusCode::OK,
        MediaType::Json,
        &serde_json::json!({ "status": "ok", "last_commit_age_ms": age_ms }),
    )
}

fn not_allowed(allow: &'static str) -> Response<String> {
    let mut response = refuse(
        StatusCode::METHOD_NOT_ALLOWED,
        Code::BadRequest,
        &format!("only {allow} is answered here"),
    );
    response
        .headers_mut()
        .insert(header::ALLOW, header::HeaderValue::from_static(allow));
    response
}

fn refuse(status: StatusCode, code: Code, message: &str) -> Response<String> {
    json_response(status, MediaType::Json, &body(code, message))
}

fn json_response(status: StatusCode, media_type: MediaType, value: &Value) -> Response<String> {
    Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, media_type.as_str())
        .header(header::CACHE_CONTROL, "no-store")
        .header(header::VARY, "accept")
        .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
        .body(value.to_string())
        .expect("status and headers are constants")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_names_are_local() {
        for (authority, loopback) in [
            ("localhost", true),
            ("LocalHost:8088", true),
            ("127.0.0.1:8088", true),
            ("127.9.9.9", true),
            ("[::1]:8088", true),
            ("[::1]", true),
            ("", false),
            ("evil.example", false),
            ("evil.example:8088", false),
            ("localhost.evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("localhost:8088@evil.example", false),
            ("10.0.0.1", false),
            ("0.0.0.0:8088", false),
            ("[::1", false),
            ("[::1]evil.example", false),
        ] {
            assert_eq!(is_loopback_name(authority), loopback, "{authority}");
        }
    }
}
