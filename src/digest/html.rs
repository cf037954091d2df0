//! The summary as one HTML page that loads nothing: for a mail or a file. Takes a digest, gives a document; text from the log can't make
//! markup.

use crate::model::{
    digest::{Digest, Novelty, ServerDigest, SlowQuery},
    public_id::PublicId,
    visible::visible,
};

use super::phrase;

const HEAD: &str = "<!DOCTYPE html>
<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Slow queries</title>
<style>
body { font: 15px/1.5 sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; color: #222; background: #fff }
pre { background: #f4f4f4; padding: .6em; white-space: pre-wrap; overflow-wrap: anywhere }
h2 { border-top: 1px solid #ccc; padding-top: 1em }
.id { color: #666; font-family: monospace }
</style></head><body>
";

/// The summary as an HTML document.
pub fn render(digest: &Digest) -> String {
    let mut out = HEAD.to_owned();
    match phrase::title(digest) {
        Some(title) => out.push_str(&format!(
            "<h1>{}</h1>\n<p>{}</p>\n",
            text(&title),
            text(&phrase::window(digest))
        )),
        None => out.push_str(&format!("<p>{}</p>\n", phrase::NO_RECORDS)),
    }
    for server in &digest.servers {
        render_server(&mut out, server);
    }
    out.push_str("</body></html>\n");
    out
}

fn render_server(out: &mut String, server: &ServerDigest) {
    out.push_str(&format!(
        "<h2>{}</h2>\n<p>{}</p>\n",
        text(&server.server.name),
        text(&phrase::totals(server))
    ));
    if let Some(unread) = phrase::unread(&server.accounting) {
        out.push_str(&format!("<p>In all its logs: {}.</p>\n", text(&unread)));
    }
    if server.slow_queries.is_empty() {
        out.push_str("<p>No slow queries.</p>\n");
    }
    let mut group: Option<Novelty> = None;
    for query in &server.slow_queries {
        if group != Some(query.novelty) {
            out.push_str(&format!("<h3>{}</h3>\n", phrase::heading(query.novelty)));
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
        out.push_str(&format!("<p>{more} not shown.</p>\n"));
    }
}

fn render_query(out: &mut String, query: &SlowQuery, server: &ServerDigest) {
    let statement = phrase::shortened(&query.query.normalized_sql, 2_000);
    out.push_str(&format!(
        "<p><strong>{}</strong> {}</p>\n<pre>{}</pre>\n<ul>\n<li>{}</li>\n",
        query.severity.as_str(),
        text(&phrase::measures(query, server)),
        text(&statement),
        text(&phrase::why(query)),
    ));
    if !query.query.database_name.is_empty() {
        out.push_str(&format!(
            "<li>Database: {}</li>\n",
            text(&query.query.database_name)
        ));
    }
    for finding in &query.findings {
        out.push_str(&format!("<li>Finding: {}</li>\n", text(&finding.message)));
    }
    if query.findings.is_empty() {
        out.push_str(&format!("<li>{}</li>\n", phrase::NO_FINDING));
    }
    let id = PublicId::Query(query.query.server_id, query.query.id);
    out.push_str(&format!(
        "<li>Query: <span class=\"id\">{id}</span></li>\n</ul>\n"
    ));
    for recommendation in &query.recommendations {
        out.push_str(&format!(
            "<p>{}</p>\n",
            text(&phrase::advice(recommendation))
        ));
        if let Some(command) = &recommendation.command {
            out.push_str(&format!("<pre>{}</pre>\n", text(command)));
        }
        if let Some(disproof) = &recommendation.disproof {
            out.push_str(&format!("<p>Wrong if: {}</p>\n", text(disproof)));
        }
    }
}

/// Text as element content or attribute value.
fn text(raw: &str) -> String {
    let mut shown = String::with_capacity(raw.len());
    for c in visible(raw).chars() {
        match c {
            '&' => shown.push_str("&amp;"),
            '<' => shown.push_str("&lt;"),
            '>' => shown.push_str("&gt;"),
            '"' => shown.push_str("&quot;"),
            '\'' => shown.push_str("&#39;"),
            _ => shown.push(c),
        }
    }
    shown
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
        let page = render(&sample::hostile());
        assert!(!page.contains("<script>"), "{page}");
        assert!(page.contains("&lt;script&gt;"), "{page}");
        assert!(!page.contains('\u{1b}') && !page.contains('\u{202e}'));
        assert_eq!(text("\"'&"), "&quot;&#39;&amp;");
    }
}
