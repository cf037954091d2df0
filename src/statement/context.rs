//! The entries of a CONTEXT that tell where a record came from, in every language.
//!
//! A line of a CONTEXT comes in; the PL/pgSQL function that it names goes out, or that it is about a portal. The words are those of the
//! catalogs `postgres` and `plpgsql` of PostgreSQL 13 to 18 (`src/backend/po/*.po`, `src/pl/plpgsql/src/po/*.po`), as they stand there.
//! PL/pgSQL is translated to more languages than the server.

use std::sync::LazyLock;

use encoding_rs::{EUC_JP, EUC_KR, Encoding, GBK, ISO_8859_7, WINDOWS_1258};

use super::{
    catalog::{CYRILLIC, LATIN1, LATIN2, LATIN5},
    template::Template,
};

/// A line of a PL/pgSQL function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlpgsqlLine<'a> {
    /// With its argument types, as regprocedure prints it; `inline_code_block` for DO.
    pub function: &'a str,
    pub line: u32,
    /// The kind of statement, in the language of the log but for SQL keywords: `RAISE`, `SQL statement`.
    pub at: &'a str,
}

/// Reads `PL/pgSQL function %s line %d at %s`.
pub fn plpgsql_line(entry: &str) -> Option<PlpgsqlLine<'_>> {
    static TEMPLATES: LazyLock<Vec<Template>> = LazyLock::new(|| {
        let printed = PLPGSQL
            .iter()
            .map(|(encodings, format)| Template::printed(format, encodings));
        printed.flatten().collect()
    });
    TEMPLATES.iter().find_map(|template| {
        let [function, line, at, ..] = template.read(entry)?;
        let line = line.parse().ok()?;
        Some(PlpgsqlLine { function, line, at })
    })
}

/// Whether the entry tells the parameters of the portal that runs (log_parameter_max_length_on_error). The values may go on over lines.
pub fn is_about_portal(entry: &str) -> bool {
    static TEMPLATES: LazyLock<Vec<Template>> = LazyLock::new(|| {
        let mut templates = Vec::new();
        for (encodings, formats) in PORTAL {
            for format in *formats {
                templates.extend(Template::printed(format, encodings));
            }
        }
        templates
    });
    TEMPLATES.iter().any(|template| template.begins(entry))
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

/// English, cs, de, el, es, fr, it, ja, ka, ko, pl, pt_BR, ru, sv, tr, uk, vi, zh_CN.
const PLPGSQL: &[(&[&Encoding], &str)] = &[
    (&[], "PL/pgSQL function %s line %d at %s"),
    (LATIN2, "PL/pgSQL funkce %s řádek %d na %s"),
    (LATIN1, "PL/pgSQL-Funktion %s Zeile %d bei %s"),
    (&[ISO_8859_7], "συνάρτηση PL/pgSQL %s γραμμή %d στο %s"),
    (LATIN1, "función PL/pgSQL %s en la línea %d en %s"),
    (LATIN1, "fonction PL/pgSQL %s, ligne %d à %s"),
    (LATIN1, "funzione PL/pgSQL %s riga %d a %s"),
    (&[EUC_JP], "PL/pgSQL関数%sの%d行目 - %s"),
    (&[], "PL/pgSQL ფუნქცია %s ხაზზე %d %s-სთან"),
    (&[EUC_KR], "PL/pgSQL 함수 \"%s\" 의 %d번째 %s"),
    (LATIN2, "funkcja PL/pgSQL %s, wiersz %d w %s"),
    (LATIN1, "função PL/pgSQL %s linha %d em %s"),
    (CYRILLIC, "функция PL/pgSQL %s, строка %d, оператор %s"),
    (LATIN1, "PL/pgSQL-funktion %s rad %d vid %s"),
    (LATIN5, "%s PL/pgSQL fonksiyonu, %d. satır, %s içinde"),
    (CYRILLIC, "Функція PL/pgSQL %s рядок %d в %s"),
    (&[WINDOWS_1258], "Hàm PL/pgSQL %s dòng %d tại %s"),
    (&[GBK], "在%3$s的第%2$d行的PL/pgSQL函数%1$s"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions() {
        let check = |entry, expected: Option<(&str, u32, &str)>| {
            let read = plpgsql_line(entry).map(|read| (read.function, read.line, read.at));
            assert_eq!(read, expected, "{entry}");
        };
        check(
            "PL/pgSQL function f(integer) line 3 at RAISE",
            Some(("f(integer)", 3, "RAISE")),
        );
        check(
            "PL/pgSQL function \"a line 1 at RAISE b\"() line 3 at SQL statement",
            Some(("\"a line 1 at RAISE b\"()", 3, "SQL statement")),
        );
        check(
            "PL/pgSQL-Funktion f() Zeile 3 bei SQL-Anweisung",
            Some(("f()", 3, "SQL-Anweisung")),
        );
        check("在RAISE的第3行的PL/pgSQL函数f()", Some(("f()", 3, "RAISE")));
        check(
            "f() PL/pgSQL fonksiyonu, 3. satır, RAISE içinde",
            Some(("f()", 3, "RAISE")),
        );
        check(
            "PL/pgSQL\u{FFFD}\u{FFFD}f()\u{FFFD}\u{FFFD}3\u{FFFD}\u{FFFD}\u{FFFD} - RAISE",
            None,
        );
        check(
            "fun\u{FFFD}\u{FFFD}o PL/pgSQL f() linha 3 em RAISE",
            Some(("f()", 3, "RAISE")),
        );
        check("SQL statement \"select 1\"", None);
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
