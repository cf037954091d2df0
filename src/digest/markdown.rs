//! The summary as Markdown (CommonMark) for tickets, chats and mails. Takes a digest, gives a document; text from the log can't make markup,
//! links or mentions.

use crate::model::{
    digest::{Digest, Novelty, ServerDigest, SlowQuery},
    public_id::PublicId,
    visible::visible,
};

use super::phrase;

/// Characters of a statement that are shown.
const STATEMENT_LIMIT: usize = 1_000;

/// The summary as a Markdown document.
pub fn render(digest: &Digest) -> String {
    let Some(title) = phrase::title(digest) else {
        return format!("{}\n", phrase::NO_RECORDS);
    };
    let mut out = format!("# {title}\n\n{}\n", text(&phrase::window(digest)));
    for server in &digest.servers {
        render_server(&mut out, server);
    }
    out
}

fn render_server(out: &mut String, server: &ServerDigest) {
    out.push_str(&format!(
        "\n## {}\n\n{}\n",
        text(&server.server.name),
        phrase::totals(server)
    ));
    if let Some(unread) = phrase::unread(&server.accounting) {
        out.push_str(&format!("\nIn all its logs: {unread}.\n"));
    }
    if server.slow_queries.is_empty() {
        out.push_str("\nNo slow queries.\n");
    }
    let mut group: Option<Novelty> = None;
    for query in &server.slow_queries {
        if group != Some(query.novelty) {
            out.push_str(&format!("\n### {}\n", phrase::heading(query.novelty)));
            group = Some(query.novelty);
        }
        render_query(out, query, server);
    }
    if server.more_slow_queries > 0 {
        let more = phrase::counted(
            server.more_slow_queries,
            "more slow query",
            "more slow queries",
        );
        out.push_str(&format!("\n{more} not shown.\n"));
    }
}

fn render_query(out: &mut String, query: &SlowQuery, server: &ServerDigest) {
    out.push_str(&format!(
        "\n**{}** {}\n\n",
        query.severity.as_str(),
        phrase::measures(query, server)
    ));
    let statement = phrase::shortened(&query.query.normalized_sql, STATEMENT_LIMIT);
    out.push_str(&code_block("sql", &statement));
    out.push_str(&format!("\n- {}\n", text(&phrase::why(query))));
    if !query.query.database_name.is_empty() {
        out.push_str(&format!(
            "- Database: {}\n",
            text(&query.query.database_name)
        ));
    }
    for finding in &query.findings {
        out.push_str(&format!("- Finding: {}\n", text(&finding.message)));
    }
    if query.findings.is_empty() {
        out.push_str(&format!("- {}\n", phrase::NO_FINDING));
    }
    let id = PublicId::Query(query.query.server_id, query.query.id);
    out.push_str(&format!("- Query: `{id}`\n"));
    for recommendation in &query.recommendations {
        out.push_str(&format!("\n{}\n", text(&phrase::advice(recommendation))));
        if let Some(command) = &recommendation.command {
            out.push('\n');
            out.push_str(&code_block("sql", command));
        }
        if let Some(disproof) = &recommendation.disproof {
            out.push_str(&format!("\nWrong if: {}\n", text(disproof)));
        }
    }
}

/// Text from the log as it is: every character that CommonMark or GitHub's extensions give a meaning inside a line has a backslash (2.4
/// "Backslash escapes"), and addresses that would become links by themselves are broken up.
fn text(raw: &str) -> String {
    let mut shown = String::with_capacity(raw.len());
    for c in visible(raw).chars() {
        if matches!(
            c,
            '\\' | '`'
                | '*'
                | '_'
                | '['
                | ']'
                | '<'
                | '>'
                | '|'
                | '~'
                | '&'
                | '$'
                | '@'
                | '#'
                | '^'
                | '{'
                | '}'
                | '!'
        ) {
            shown.push('\\');
        }
        shown.push(c);
    }
    shown.replace("://", "\\://").replace("www.", "www\\.")
}

/// A fenced code block whose fence is longer than any run of backticks inside (4.5 "Fenced code blocks").
fn code_block(language: &str, code: &str) -> String {
    let code = visible(code);
    let longest = code.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat((longest + 1).max(3));
    format!("{fence}{language}\n{code}\n{fence}\n")
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
    fn text_from_the_log_makes_no_markup() {
        for (raw, shown) in [
            ("a|b", "a\\|b"),
            (
                "`x` *y* <script> @here #1",
                "\\`x\\` \\*y\\* \\<script\\> \\@here \\#1",
            ),
            ("http://evil www.evil", "http\\://evil www\\.evil"),
            ("[x](y)\n# z", "\\[x\\](y)\\\\u\\{a\\}\\# z"),
        ] {
            assert_eq!(text(raw), shown);
        }
        assert_eq!(
            code_block("sql", "select ```` x"),
            "`````sql\nselect ```` x\n`````\n"
        );
    }

    #[test]
    fn a_hostile_log_stays_in_its_places() {
        let document = render(&sample::hostile());
        assert!(!document.contains('\u{1b}') && !document.contains('\u{202e}'));
        let mut in_code = false;
        let outside_code: String = document
            .lines()
            .filter(|line| {
                let fence = line.starts_with("````");
                in_code ^= fence;
                !fence && !in_code
            })
            .collect();
        assert!(!outside_code.contains("<script>"), "{outside_code}");
        assert!(outside_code.contains("\\<script\\>"), "{outside_code}");
    }
}
