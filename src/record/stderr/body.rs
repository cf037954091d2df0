//! How the text of a record goes on: a plan in JSON or XML tells its own end, everything else doesn't.
//!
//! The lines of a record's message come in, one after the other; whether the next can be another one of it goes out.

use super::super::head::verbose_sql_state;

/// What is known of the text of a record that is still coming.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    /// A statement, an error: any line can follow.
    Text,
    /// `duration: … ms  plan:` has come; the next line tells the format.
    Plan,
    Json,
    Xml,
    /// What followed `plan:` begins no plan.
    NoPlan,
    /// A plan as text or YAML, behind which any line can follow.
    OtherPlan,
    /// A plan whose last line has come.
    Whole,
}

impl Body {
    /// The body of a record whose first line is `text`.
    pub(super) fn begun_by(text: &[u8]) -> Self {
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        if begins_plan_message(text) && text.ends_with(b"plan:") {
            Self::Plan
        } else {
            Self::Text
        }
    }

    /// Takes the next line.
    pub(super) fn take(&mut self, line: &[u8]) {
        *self = match (*self, line) {
            (Self::Plan, b"{") => Self::Json,
            (Self::Plan, line) if line.starts_with(b"<explain") => Self::Xml,
            (Self::Plan, line) if line.starts_with(b"Query Text: ") => Self::OtherPlan,
            (Self::Plan, _) => Self::NoPlan,
            (Self::Json, b"}") | (Self::Xml, b"</explain>") => Self::Whole,
            (body, _) => body,
        };
    }

    pub(super) fn is_plan(self) -> bool {
        self != Self::Text
    }

    /// Whether the plan's last line is still to come.
    pub(super) fn is_unfinished(self) -> bool {
        matches!(self, Self::Plan | Self::NoPlan | Self::Json | Self::Xml)
    }
}

/// Whether `text` is the beginning of `duration: N ms  plan:` or all of it, nothing of which a client writes.
pub(super) fn begins_plan_message(text: &[u8]) -> bool {
    rest_of_plan_message(text).is_some_and(<[u8]>::is_empty)
}

/// What stands after as much of `duration: N ms  plan:` as there is.
fn rest_of_plan_message(text: &[u8]) -> Option<&[u8]> {
    let text = verbose_sql_state(text).map_or(text, |(_, text)| text);
    let Some(number) = text.strip_prefix(b"duration: ") else {
        return b"duration: ".starts_with(text).then_some(&[]);
    };
    let digits = number
        .iter()
        .take_while(|byte| byte.is_ascii_digit() || **byte == b'.')
        .count();
    let after = number.get(digits..)?;
    match after.strip_prefix(b" ms  plan:") {
        Some(rest) => Some(rest),
        None => b" ms  plan:".starts_with(after).then_some(&[]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_tell_their_end() {
        let check = |lines: &[&str], expected| {
            let mut body = Body::begun_by(lines[0].as_bytes());
            lines[1..]
                .iter()
                .for_each(|line| body.take(line.as_bytes()));
            assert_eq!(body, expected, "{lines:?}");
        };
        let plan = "duration: 12.5 ms  plan:";
        check(&["duration: 12.5 ms"], Body::Text);
        check(&["duration: 12.5 ms  statement: {", "}"], Body::Text);
        check(&["duration: 12.5 ms  plan: x"], Body::Text);
        check(&[plan], Body::Plan);
        check(&["00000: duration: 12.5 ms  plan:", "{"], Body::Json);
        check(&[plan, "{", "  }"], Body::Json);
        check(&[plan, "{", "}"], Body::Whole);
        check(&[plan, "<explain xmlns=\"x\">", "}"], Body::Xml);
        check(&[plan, "<explain xmlns=\"x\">", "</explain>"], Body::Whole);
        check(&[plan, "x", "}"], Body::NoPlan);
        check(&[plan, "Query Text: x", "}"], Body::OtherPlan);
    }

    #[test]
    fn beginnings_of_a_plan_message() {
        for text in [
            "",
            "dura",
            "duration: ",
            "duration: 1.",
            "duration: 1.5 ms",
            "duration: 1.5 ms  plan:",
        ] {
            assert!(begins_plan_message(text.as_bytes()), "{text}");
        }
        for text in [
            "x",
            "duration: x",
            "duration: 1.5 ms  s",
            "duration: 1.5 ms  plan: ",
        ] {
            assert!(!begins_plan_message(text.as_bytes()), "{text}");
        }
    }
}
