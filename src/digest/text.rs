//! The summary as plain text for a terminal of 100 columns. Takes a digest, gives lines; names and statements from the log are made visible,
//! never acted on.

use crate::model::{
    digest::{Digest, Novelty, ServerDigest, SlowQuery},
    public_id::PublicId,
    visible::visible,
};

use super::phrase;

/// Columns that no line exceeds, except a command or an id, which has to stay in one piece for copying.
const COLUMNS: usize = 100;
/// Characters of a statement that are shown: four lines.
const STATEMENT_LIMIT: usize = 360;
/// Recommendations shown of one query.
const RECOMMENDATIONS: usize = 2;

/// The summary as text, with a newline at its end.
pub fn render(digest: &Digest) -> String {
    let mut out = String::new();
    let Some(title) = phrase::title(digest) else {
        return format!("{}\n", phrase::NO_RECORDS);
    };
    line(&mut out, "", &title);
    line(&mut out, "", &phrase::window(digest));
    for server in &digest.servers {
        out.push('\n');
        render_server(&mut out, server);
    }
    out
}

fn render_server(out: &mut String, server: &ServerDigest) {
    let name = visible(&server.server.name);
    line(out, "", &format!("{name}: {}", phrase::totals(server)));
    if let Some(unread) = phrase::unread(&server.accounting) {
        line(out, "  ", &format!("In all its logs: {unread}."));
    }
    if server.slow_queries.is_empty() {
        line(out, "  ", "No slow queries.");
    }
    let mut group: Option<Novelty> = None;
    for (index, query) in server.slow_queries.iter().enumerate() {
        out.push('\n');
        if group != Some(query.novelty) {
            line(out, "  ", phrase::heading(query.novelty));
            group = Some(query.novelty);
        }
        render_query(out, index + 1, query, server);
    }
    if server.more_slow_queries > 0 {
        out.push('\n');
        let more = phrase::counted(
            server.more_slow_queries,
            "more slow query",
            "more slow queries",
        );
        line(out, "  ", &format!("{more} not shown."));
    }
}

fn render_query(out: &mut String, number: usize, query: &SlowQuery, server: &ServerDigest) {
    let indent = "     ";
    let head = format!(
        "{}  {}",
        query.severity.as_str(),
        phrase::measures(query, server)
    );
    hanging(out, &format!("{number:>3}. "), indent, &head);
    let statement = phrase::shortened(&query.query.normalized_sql, STATEMENT_LIMIT);
    line(out, "       ", &visible(&statement));
    let database = match query.query.database_name.as_str() {
        "" => String::new(),
        name => format!(" Database {}.", visible(name)),
    };
    line(out, indent, &format!("{}{database}", phrase::why(query)));
    for finding in &query.findings {
        hanging(
            out,
            "     Finding: ",
            "              ",
            &visible(&finding.message),
        );
    }
    if query.findings.is_empty() {
        line(out, indent, phrase::NO_FINDING);
    }
    for recommendation in query.recommendations.iter().take(RECOMMENDATIONS) {
        let advice = visible(&phrase::advice(recommendation));
        hanging(out, "     Advice:  ", "              ", &advice);
        if let Some(command) = &recommendation.command {
            out.push_str(&format!("              {}\n", visible(command)));
        }
        if let Some(disproof) = &recommendation.disproof {
            hanging(out, "     Wrong if: ", "              ", &visible(disproof));
        }
    }
    let id = PublicId::Query(query.query.server_id, query.query.id);
    out.push_str(&format!("     Query:   {id}\n"));
}

/// Writes `text` in lines of at most [`COLUMNS`] characters, each after `indent`.
fn line(out: &mut String, indent: &str, text: &str) {
    hanging(out, indent, indent, text);
}

/// The same with another beginning of the first line, as long as `indent`. A word longer than a line is broken.
fn hanging(out: &mut String, first: &str, indent: &str, text: &str) {
    let width = COLUMNS.saturating_sub(indent.chars().count()).max(1);
    out.push_str(first);
    let mut used = 0;
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let mut rest = word;
        let mut length = word.chars().count();
        if used > 0 && used + 1 + length <= width {
            out.push(' ');
            used += 1;
        } else if used > 0 {
            out.push('\n');
            out.push_str(indent);
            used = 0;
        }
        while length > width {
            let cut = rest
                .char_indices()
                .nth(width)
                .map_or(rest.len(), |(at, _)| at);
            let (piece, tail) = rest.split_at(cut);
            out.push_str(piece);
            out.push('\n');
            out.push_str(indent);
            rest = tail;
            length -= width;
        }
        out.push_str(rest);
        used += length;
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::sample;

    #[test]
    fn a_morning_summary() {
        insta::assert_snapshot!(render(&sample::digest()));
    }

    #[test]
    fn an_empty_store_says_so() {
        let empty = Digest {
            as_of: None,
            since: None,
            ..sample::digest()
        };
        assert_eq!(render(&empty), "The store holds no log records.\n");
    }

    #[test]
    fn nothing_from_the_log_acts_on_the_terminal() {
        let text = render(&sample::hostile());
        assert!(
            text.chars()
                .all(|c| c == '\n' || !c.is_control() && c != '\u{202e}'),
            "{text:?}"
        );
        assert!(text.contains("\\u{1b}[31m"), "{text}");
        assert!(text.contains("\\u{202e}"), "{text}");
    }

    #[test]
    fn lines_break_at_words_and_long_words_anywhere() {
        let mut out = String::new();
        let long = "x".repeat(120);
        hanging(
            &mut out,
            "  1. ",
            "     ",
            &format!("{} {long} tail", "word ".repeat(25)),
        );
        for line in out.lines() {
            assert!(line.chars().count() <= COLUMNS, "{line}");
        }
        assert_eq!(out.replace("\n     ", "").matches('x').count(), 120);
        assert!(out.contains(" tail\n"));
    }
}
