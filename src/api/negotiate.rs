//! Which media type a request brings and which it wants back (GraphQL over HTTP, sections "Media Types" and "Accept"; RFC 9110, section 12.5.1).

use warp::http::{HeaderMap, header};

/// Media type of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MediaType {
    /// `application/graphql-response+json`: the status says whether the document was executed.
    GraphqlResponse,
    /// `application/json`: any well-formed GraphQL request is answered with 200.
    Json,
}

impl MediaType {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::GraphqlResponse => "application/graphql-response+json; charset=utf-8",
            Self::Json => "application/json; charset=utf-8",
        }
    }
}

/// The media type to answer in; `None` where the client accepts neither. A client that names no preference gets `application/json`.
pub(super) fn accepted(headers: &HeaderMap) -> Option<MediaType> {
    let mut values = headers.get_all(header::ACCEPT).iter().peekable();
    if values.peek().is_none() {
        return Some(MediaType::Json);
    }
    let (mut graphql, mut json, mut any) = (None, None, None);
    for range in values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
    {
        let (name, parameters) = split_parameters(range);
        let quality = parameters
            .filter_map(|(key, value)| (key.eq_ignore_ascii_case("q")).then_some(value))
            .next()
            .map_or(1.0, |q| q.parse().unwrap_or(0.0));
        let named = match name.to_ascii_lowercase().as_str() {
            "application/graphql-response+json" => &mut graphql,
            "application/json" => &mut json,
            "application/*" | "*/*" => &mut any,
            _ => continue,
        };
        *named = Some(named.map_or(quality, |other: f32| other.max(quality)));
    }
    let wanted = |quality: Option<f32>| quality.is_some_and(|q| q > 0.0);
    let json = json.or(any);
    if wanted(graphql) && graphql >= json {
        Some(MediaType::GraphqlResponse)
    } else if wanted(json) {
        Some(MediaType::Json)
    } else {
        wanted(graphql.or(any)).then_some(MediaType::GraphqlResponse)
    }
}

/// Whether the body is JSON in UTF-8, and says so: without a content type a browser could send it across sites unasked.
pub(super) fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
    else {
        return false;
    };
    let (name, mut parameters) = split_parameters(value);
    name.eq_ignore_ascii_case("application/json")
        && parameters.all(|(key, value)| {
            !key.eq_ignore_ascii_case("charset")
                || value.trim_matches('"').eq_ignore_ascii_case("utf-8")
        })
}

/// `type "/" subtype *( OWS ";" OWS name "=" value )` (RFC 9110, section 8.3.1).
fn split_parameters(media_type: &str) -> (&str, impl Iterator<Item = (&str, &str)>) {
    let mut parts = media_type.split(';').map(str::trim);
    let name = parts.next().unwrap_or_default();
    (name, parts.filter_map(|part| part.split_once('=')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_has_the_type_that_is_wanted_most() {
        use MediaType::{GraphqlResponse, Json};
        for (accept, media_type) in [
            (None, Some(Json)),
            (Some("*/*"), Some(Json)),
            (Some("application/*"), Some(Json)),
            (Some("application/json"), Some(Json)),
            (Some("application/json; charset=utf-8"), Some(Json)),
            (
                Some("application/graphql-response+json"),
                Some(GraphqlResponse),
            ),
            (
                Some(
                    "application/graphql-response+json; charset=utf-8, application/json; charset=utf-8",
                ),
                Some(GraphqlResponse),
            ),
            (
                Some("application/json, application/graphql-response+json"),
                Some(GraphqlResponse),
            ),
            (
                Some("application/json, application/graphql-response+json;q=0.9"),
                Some(Json),
            ),
            (Some("application/json;q=0, */*"), Some(GraphqlResponse)),
            (
                Some("application/graphql-response+json;q=0, application/json"),
                Some(Json),
            ),
            (Some("text/html"), None),
            (Some("text/html, */*;q=0.1"), Some(Json)),
            (Some("Application/JSON;Q=0.5"), Some(Json)),
            (Some(""), None),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(accept) = accept {
                headers.insert(header::ACCEPT, accept.parse().expect("a header"));
            }
            assert_eq!(accepted(&headers), media_type, "{accept:?}");
        }
    }

    #[test]
    fn only_json_in_utf_8_is_json() {
        for (content_type, json) in [
            (None, false),
            (Some("application/json"), true),
            (Some("application/json; charset=UTF-8"), true),
            (Some("application/json;charset=\"utf-8\""), true),
            (Some("application/json; charset=latin1"), false),
            (Some("text/plain"), false),
            (Some("application/graphql"), false),
            (Some("application/x-www-form-urlencoded"), false),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(content_type) = content_type {
                headers.insert(
                    header::CONTENT_TYPE,
                    content_type.parse().expect("a header"),
                );
            }
            assert_eq!(is_json(&headers), json, "{content_type:?}");
        }
    }
}
