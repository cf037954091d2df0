//! auto_explain.log_format = json: one object, as PostgreSQL wrote it.

use serde::Deserialize as _;

use super::{Error, MAX_DEPTH, value::Json};

/// Reads `{ "Query Text": …, "Query Parameters": …, "Plan": {…}, "Settings": {…}, "Query Identifier": …, "Triggers": […], "JIT": {…} }`.
/// Only text and plan are always there (manual, F.3 "auto_explain").
pub(super) fn parse(body: &str) -> Result<Json<'_>, Error> {
    if nests_too_deep(body.as_bytes()) {
        return Err(Error::TooDeep);
    }
    let mut deserializer = serde_json::Deserializer::from_str(body);
    deserializer.disable_recursion_limit();
    let value = Json::deserialize(&mut deserializer).map_err(Error::Json)?;
    deserializer.end().map_err(Error::Json)?;
    Ok(value)
}

fn nests_too_deep(body: &[u8]) -> bool {
    // Most plans don't hold as many brackets as may nest, which is much cheaper to see.
    if memchr::memchr2_iter(b'{', b'[', body)
        .nth(MAX_DEPTH)
        .is_none()
    {
        return false;
    }
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    for byte in body {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = quoted,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return true;
        }
    }
    false
}
