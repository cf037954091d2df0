//! The entries of a CONTEXT that tell where a record came from, in every language.
//!
//! A CONTEXT or an entry of it comes in; the function that it names goes out, or that it is about an SQL text or a portal. What the entries
//! together mean is not known here.

use std::sync::LazyLock;

use encoding_rs::{EUC_JP, EUC_KR, Encoding};

use super::{
    catalog::{CYRILLIC, LATIN1},
    frame_catalog::FRAMES,
    template::Template,
};

/// A function that runs a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Function<'a> {
    /// In PL/pgSQL with its argument types, as regprocedure prints it; `inline_code_block` for DO.
    pub name: &'a str,
    /// The line in PL/pgSQL, the number of the statement in SQL.
    pub line: Option<u32>,
    /// The kind of statement in PL/pgSQL, in the language of the log but for SQL keywords: `RAISE`, `SQL statement`; else empty.
    pub at: &'a str,
}

/// What PL/pgSQL calls the function that DO makes of its block; PL/Python and PL/Perl have no name for it.
const INLINE_CODE_BLOCK: &str = "inline_code_block";

/// Reads an entry about a function: `PL/pgSQL function %s line %d at %s`, `SQL function "%s" statement %d`, `PL/Python function "%s"`.
pub fn function(entry: &str) -> Option<Function<'_>> {
    static TEMPLATES: LazyLock<Vec<Template>> =
        LazyLock::new(|| printed(FRAMES.iter().map(|row| (row.encodings, row.functions))));
    if entry.is_empty() {
        return None;
    }
    TEMPLATES.iter().find_map(|template| {
        let [name, line, at, ..] = template.read(entry)?;
        Some(Function {
            name: if name.is_empty() {
                INLINE_CODE_BLOCK
            } else {
                name
            },
            line: line.parse().ok(),
            at,
        })
    })
}

/// The first entry of a CONTEXT that begins with a function's: its first line, and more of them while a quoted name with line breaks goes on.
pub fn first_entry(context: &str) -> &str {
    let mut is_quoted = false;
    let end = context.char_indices().find(|(_, character)| {
        is_quoted ^= *character == '"';
        *character == '\n' && !is_quoted
    });
    let end = end.map_or(context.len(), |(at, _)| at);
    context.get(..end).unwrap_or(context)
}

static SQL_TEXTS: LazyLock<Vec<Template>> =
    LazyLock::new(|| printed(FRAMES.iter().map(|row| (row.encodings, row.texts))));

/// What follows the entry `SQL statement "%s"`, `SQL expression "%s"` or `PL/pgSQL assignment "%s"` that `context` begins with, if it is about
/// `text`. In `context` its quotes and line breaks are unmarked.
pub fn after_sql_text<'a>(context: &'a str, text: &str) -> Option<&'a str> {
    SQL_TEXTS.iter().find_map(|template| {
        let (before, after) = template.around_argument()?;
        let quoted = context.strip_prefix(before)?.trim_start();
        let rest = quoted.strip_prefix(text.trim())?;
        let rest = rest.trim_start().strip_prefix(after.trim_start())?;
        rest.strip_prefix('\n').or(rest.is_empty().then_some(rest))
    })
}

/// Whether an entry about an SQL text begins with `line`.
pub fn begins_sql_text(line: &str) -> bool {
    SQL_TEXTS
        .iter()
        .any(|template| template.begins_with_first_text(line))
}

/// Whether the entry tells the parameters of the portal that runs (log_parameter_max_length_on_error). The values may go on over lines.
pub fn is_about_portal(entry: &str) -> bool {
    static TEMPLATES: LazyLock<Vec<Template>> = LazyLock::new(|| printed(PORTAL.iter().copied()));
    TEMPLATES.iter().any(|template| template.begins(entry))
}

/// The format strings of each language in the encodings that it has.
fn printed(
    languages: impl Iterator<Item = (&'static [&'static Encoding], &'static [&'static str])>,
) -> Vec<Template> {
    languages
        .flat_map(|(encodings, formats)| {
            let printed = |format: &&str| Template::printed(format, encodings);
            formats.iter().flat_map(printed)
        })
        .collect()
}

/// English, then per language its variants.
const PORTAL: &[(&[&Encoding], &[&str])] = &[
    (
        &[],
        &[
            "unnamed portal with parameters: %s",
            "portal \"%s\" with parameters: %s",
            "extended query with parameters: %s",
        ],
    ),
    (
        LATIN1,
        &[
            "unbenanntes Portal mit Parametern: %s",
            "Portal »%s« mit Parametern: %s",
        ],
    ),
    (
        LATIN1,
        &[
            "portal sin nombre con parámetros: %s",
            "parámetro «%s» con parámetros: %s",
            "portal «%s» con parámetros: %s",
        ],
    ),
    (
        LATIN1,
        &[
            "portail non nommé avec les paramètres : « %s »",
            "portail « %s » avec les paramètres : %s",
        ],
    ),
    (
        LATIN1,
        &[
            "portale senza nome con parametri: %s",
            "portale \"%s\" con parametri: %s",
        ],
    ),
    (
        &[EUC_JP],
        &[
            "パラメータを持つ無名ポータル: %s",
            "パラメータ指定された無名ポータル: %s",
            "パラメータを持つポータル\"%s\": %s",
            "パラメータ指定されたポータル\"%s\": %s",
            "パラメータを持つ拡張問い合わせ: %s",
        ],
    ),
    (
        &[],
        &[
            "უსახელო პორტალი პარამეტრებით: %s",
            "პორტალი \"%s\" პარამეტრებით: %s",
        ],
    ),
    (
        &[EUC_KR],
        &[
            "이름 없는 포탈의 매개 변수: %s",
            "\"%s\" 포탈의 매개 변수: %s",
        ],
    ),
    (
        LATIN1,
        &[
            "portal sem nome com parâmetros: %s",
            "portal \"%s\" com parâmetros: %s",
        ],
    ),
    (
        CYRILLIC,
        &[
            "неименованный портал с параметрами: %s",
            "портал \"%s\" с параметрами: %s",
        ],
    ),
    (
        LATIN1,
        &[
            "ej namngiven portal med parametrar: %s",
            "portal \"%s\" med parametrar: %s",
        ],
    ),
    (
        CYRILLIC,
        &[
            "портал без імені з параметрами: %s",
            "портал \"%s\" з параметрами: %s",
            "розширений запит з параметрами: %s",
        ],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions() {
        let check = |entry, expected: Option<(&str, Option<u32>, &str)>| {
            let read = function(entry).map(|read| (read.name, read.line, read.at));
            assert_eq!(read, expected, "{entry}");
        };
        check(
            "PL/pgSQL function f(integer) line 3 at RAISE",
            Some(("f(integer)", Some(3), "RAISE")),
        );
        check(
            "PL/pgSQL function \"a line 1 at RAISE b\"() line 3 at SQL statement",
            Some(("\"a line 1 at RAISE b\"()", Some(3), "SQL statement")),
        );
        check(
            "PL/pgSQL-Funktion f() Zeile 3 bei SQL-Anweisung",
            Some(("f()", Some(3), "SQL-Anweisung")),
        );
        check(
            "在RAISE的第3行的PL/pgSQL函数f()",
            Some(("f()", Some(3), "RAISE")),
        );
        check(
            "f() PL/pgSQL fonksiyonu, 3. satır, RAISE içinde",
            Some(("f()", Some(3), "RAISE")),
        );
        check(
            "PL/pgSQL\u{FFFD}\u{FFFD}f()\u{FFFD}\u{FFFD}3\u{FFFD}\u{FFFD}\u{FFFD} - RAISE",
            None,
        );
        check(
            "fun\u{FFFD}\u{FFFD}o PL/pgSQL f() linha 3 em RAISE",
            Some(("f()", Some(3), "RAISE")),
        );
        check(
            "fonction SQL « f », instruction 2",
            Some(("f", Some(2), "")),
        );
        check("SQL関数\"f\"の行番号 2", Some(("f", Some(2), "")));
        check("\"f\" PL/Perl 함수", Some(("f", None, "")));
        check("PL/Perl-funktion \"f\".", Some(("f", None, "")));
        check(
            "анонимный блок кода PL/Python",
            Some(("inline_code_block", None, "")),
        );
        check(
            "PL/pgSQL function f() line 99999999999 at RAISE",
            Some(("f()", None, "RAISE")),
        );
        check("SQL statement \"select 1\"", None);
        check("", None);
    }

    #[test]
    fn sql_texts() {
        let check = |context, text, expected| {
            assert_eq!(after_sql_text(context, text), expected, "{context}");
            let is_text = begins_sql_text(context);
            assert_eq!(is_text, !context.starts_with("PL/pgSQL f"), "{context}");
        };
        check("SQL statement \"select \"a\"\n\"", "select \"a\"", Some(""));
        check("SQL statement \"select 1\"\nx\ny", "select 1", Some("x\ny"));
        check("SQL-Ausdruck »x«\ny", "x", Some("y"));
        check("instruction SQL « x »\ny", "x", Some("y"));
        check("instruction SQL « x\n »\ny", "x", Some("y"));
        check("SQL statement \"select 1\"x", "select 1", None);
        check("SQL statement \"select 1\"\nx", "select", None);
        check("PL/pgSQL function f() line 3 at RAISE", "f()", None);
    }

    #[test]
    fn portals() {
        let check = |entry, expected| assert_eq!(is_about_portal(entry), expected, "{entry}");
        check("unnamed portal with parameters: $1 = '7'", true);
        check("portal \"p\" with parameters: $1 = 'a\nb'", true);
        let long = format!(
            "unnamed portal with parameters: $1 = '{}'",
            "x".repeat(100_000)
        );
        check(&long, true);
        check("\"p\" 포탈의 매개 변수: $1 = '7'", true);
        check("неименованный портал с параметрами: $1 = '7'", true);
        check("SQL statement \"x\"", false);
        check("", false);
    }
}
