//! The answer of a chat completions endpoint: the text of its one choice, or why there is none to use.

use serde::Deserialize;

use super::Rejection;

/// The fields of a chat completion that matter; servers add others.
#[derive(Deserialize)]
struct Completion {
    choices: Vec<Choice>,
}

#[derive(Deserialize)]
struct Choice {
    message: Message,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Message {
    content: Option<String>,
    refusal: Option<String>,
}

#[derive(Deserialize)]
struct Failure {
    error: FailureDetail,
}

#[derive(Deserialize)]
struct FailureDetail {
    code: Option<serde_json::Value>,
}

/// The text that the model wrote.
pub(super) fn text(body: &[u8]) -> Result<String, Rejection> {
    let completion: Completion =
        serde_json::from_slice(body).map_err(|_| Rejection::NotACompletion)?;
    let mut choices = completion.choices.into_iter();
    let (Some(choice), None) = (choices.next(), choices.next()) else {
        return Err(Rejection::NotACompletion);
    };
    if choice.message.refusal.is_some() {
        return Err(Rejection::Refused);
    }
    match choice.finish_reason.as_deref() {
        Some("stop") | None => {}
        Some("length") => return Err(Rejection::Truncated),
        Some("content_filter") => return Err(Rejection::Filtered),
        Some(_) => return Err(Rejection::NotACompletion),
    }
    choice.message.content.ok_or(Rejection::NotACompletion)
}

/// The code of an error response (`insufficient_quota`), if it is a word.
pub(super) fn error_code(body: &[u8]) -> Option<String> {
    let failure: Failure = serde_json::from_slice(body).ok()?;
    let code = failure.error.code?.as_str()?.to_owned();
    let word = code.len() <= 64 && code.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    word.then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_finished_answer_of_one_choice_is_used() {
        for (choices, expected) in [
            (
                r#"{"message":{"content":"{}"},"finish_reason":"stop"}"#,
                Ok("{}".to_owned()),
            ),
            (r#"{"message":{"content":"{}"}}"#, Ok("{}".to_owned())),
            (
                r#"{"message":{"content":null,"refusal":"no"},"finish_reason":"stop"}"#,
                Err(Rejection::Refused),
            ),
            (
                r#"{"message":{"content":"{"},"finish_reason":"length"}"#,
                Err(Rejection::Truncated),
            ),
            (
                r#"{"message":{"content":"{}"},"finish_reason":"content_filter"}"#,
                Err(Rejection::Filtered),
            ),
            (
                r#"{"message":{"content":null},"finish_reason":"tool_calls"}"#,
                Err(Rejection::NotACompletion),
            ),
            (
                r#"{"message":{"content":"{}"}},{"message":{"content":"{}"}}"#,
                Err(Rejection::NotACompletion),
            ),
            ("", Err(Rejection::NotACompletion)),
        ] {
            let body =
                format!(r#"{{"id":"x","choices":[{choices}],"usage":{{"total_tokens":1}}}}"#);
            assert_eq!(text(body.as_bytes()), expected, "{choices}");
        }
    }

    #[test]
    fn error_codes_are_words() {
        for (body, expected) in [
            (
                r#"{"error":{"code":"insufficient_quota"}}"#,
                Some("insufficient_quota"),
            ),
            (r#"{"error":{"code":"Bad key sk-123"}}"#, None),
            (r#"{"error":{"code":400}}"#, None),
            ("<html>", None),
        ] {
            assert_eq!(error_code(body.as_bytes()).as_deref(), expected);
        }
    }
}
