//! The entries of a CONTEXT in every language, as rows of PostgreSQL's message catalogs.
//!
//! Taken from `src/backend/po/*.po` and `src/pl/*/po/*.po` of PostgreSQL 13 to 18 (catalogs `postgres`, `plpgsql`, `plpython`, `plperl`), as
//! they stand there: English, then cs, de, el, es, fr, id, it, ja, ka, ko, pl, pt_BR, ro, ru, sv, tr, uk, vi, zh_CN, zh_TW; several strings
//! stand where releases differ, none where English is printed. The languages of functions are translated to more languages than the server.
//! PL/Tcl names its functions in errors only.

use encoding_rs::{EUC_JP, EUC_KR, Encoding, GBK, ISO_8859_7, WINDOWS_1258};

use super::catalog::{CYRILLIC, LATIN1, LATIN2, LATIN5};

/// The format strings of one language.
pub(super) struct Frames {
    /// `SQL statement "%s"`, `SQL expression "%s"`, `PL/pgSQL assignment "%s"`
    pub(super) texts: &'static [&'static str],
    /// `PL/pgSQL function %s line %d at %s`, `SQL function "%s" statement %d`, and of PL/Python and PL/Perl, which tell no line:
    /// `PL/Python function "%s"`, `PL/Python procedure "%s"`, `PL/Python anonymous code block`
    pub(super) functions: &'static [&'static str],
    /// Encodings other than UTF-8 that a database in that language may have.
    pub(super) encodings: &'static [&'static Encoding],
}

pub(super) const FRAMES: &[Frames] = &[
    Frames {
        texts: &[
            "SQL statement \"%s\"",
            "SQL expression \"%s\"",
            "PL/pgSQL assignment \"%s\"",
        ],
        functions: &[
            "PL/pgSQL function %s line %d at %s",
            "SQL function \"%s\" statement %d",
            "PL/Python function \"%s\"",
            "PL/Python procedure \"%s\"",
            "PL/Python anonymous code block",
            "PL/Perl function \"%s\"",
            "PL/Perl anonymous code block",
        ],
        encodings: &[],
    },
    Frames {
        texts: &[],
        functions: &[
            "PL/pgSQL funkce %s řádek %d na %s",
            "PL/Python funkce \"%s\"",
            "PL/Python procedura \"%s\"",
            "PL/Python anonymní blok kódu",
            "PL/Perl funkce \"%s\"",
            "PL/Perl anonymní blok kódu",
        ],
        encodings: LATIN2,
    },
    Frames {
        texts: &[
            "SQL-Anweisung »%s«",
            "SQL-Ausdruck »%s«",
            "PL/pgSQL-Zuweisung »%s«",
        ],
        functions: &[
            "PL/pgSQL-Funktion %s Zeile %d bei %s",
            "SQL-Funktion »%s« Anweisung %d",
            "PL/Python-Funktion »%s«",
            "PL/Python-Prozedur »%s«",
            "anonymer PL/Python-Codeblock",
            "PL/Perl-Funktion »%s«",
            "anonymer PL/Perl-Codeblock",
        ],
        encodings: LATIN1,
    },
    Frames {
        texts: &[],
        functions: &[
            "συνάρτηση PL/pgSQL %s γραμμή %d στο %s",
            "συνάρτηση PL/Python «%s»",
            "διεργασία PL/Python «%s»",
            "ονώνυμο μπλοκ κώδικα PL/Python",
            "PL/Perl συνάρτηση «%s»",
            "PL/Perl ανώνυμο μπλοκ κώδικα",
        ],
        encodings: &[ISO_8859_7],
    },
    Frames {
        texts: &[
            "sentencia SQL: «%s»",
            "expresión SQL «%s»",
            "asignación PL/pgSQL «%s»",
        ],
        functions: &[
            "función PL/pgSQL %s en la línea %d en %s",
            "función SQL «%s» en la sentencia %d",
            "función PL/Python «%s»",
            "procedimiento PL/Python «%s»",
            "bloque de código anónimo de PL/Python",
            "función PL/Perl «%s»",
            "bloque de código anónimo de PL/Perl",
        ],
        encodings: LATIN1,
    },
    Frames {
        texts: &[
            "instruction SQL « %s »",
            "expression SQL « %s »",
            "affectation PL/pgSQL « %s »",
        ],
        functions: &[
            "fonction PL/pgSQL %s, ligne %d à %s",
            "fonction SQL « %s », instruction %d",
            "fonction PL/python « %s »",
            "procédure PL/python « %s »",
            "bloc de code PL/Python anonyme",
            "fonction PL/Perl « %s »",
            "bloc de code PL/Perl anonyme",
        ],
        encodings: LATIN1,
    },
    Frames {
        texts: &["pernyataan SQL « %s »"],
        functions: &["fungsi SQL « %s », pernyataan %d"],
        encodings: LATIN1,
    },
    Frames {
        texts: &[
            "istruzione SQL \"%s\"",
            "Espressione SQL \"%s\"",
            "Assegnazione PL/pgSQL \"%s\"",
        ],
        functions: &[
            "funzione PL/pgSQL %s riga %d a %s",
            "funzione SQL \"%s\" istruzione %d",
            "funzione PL/Python \"%s\"",
            "procedura PL/Python \"%s\"",
            "blocco di codice anonimo in PL/Python",
            "funzione PL/Perl \"%s\"",
            "blocco di codice anonimo PL/Perl",
        ],
        encodings: LATIN1,
    },
    Frames {
        texts: &[
            "SQL文 \"%s\"",
            "SQL式 \"%s\"",
            "SQL関数\"%s\"",
            "PL/pgSQL代入 \"%s\"",
            "PL/pgSQL代入\"%s\"",
        ],
        functions: &[
            "PL/pgSQL関数%sの%d行目 - %s",
            "SQL関数\"%s\"の行番号 %d",
            "PL/Python関数\"%s\"",
            "PL/Python 関数 \"%s\"",
            "PL/Pythonプロシージャ\"%s\"",
            "PL/Python プロシージャ \"%s\"",
            "PL/Pythonの無名コードブロック",
            "PL/Python の無名コードブロック",
            "PL/Perl関数 \"%s\"",
            "PL/Perl 関数 \"%s\"",
            "PL/Perlの無名コードブロック",
            "PL/Perl の無名コードブロック",
        ],
        encodings: &[EUC_JP],
    },
    Frames {
        texts: &[
            "SQL ოპერატორი \"%s\"",
            "SQL გამოსახულება \"%s\"",
            "PL/pgSQL მინიჭება \"%s\"",
        ],
        functions: &[
            "PL/pgSQL ფუნქცია %s ხაზზე %d %s-სთან",
            "SQL ფუნქცია \"%s\" გამოსახულება %d",
            "PL/Python -ის ფუნქცია \"%s\"",
            "PL/Python -ის პროცედურა \"%s\"",
            "PL/Python -ის ანონიმური კოდის ბლოკი",
            "PL/Perl-ის ფუნქცია \"%s\"",
            "PL/Perl ანონიმური კოდის ბლოკი",
        ],
        encodings: &[],
    },
    Frames {
        texts: &[
            "SQL 구문: \"%s\"",
            "SQL 표현식: \"%s\"",
            "PL/pgSQL 지정: \"%s\"",
        ],
        functions: &[
            "PL/pgSQL 함수 \"%s\" 의 %d번째 %s",
            "SQL 함수 \"%s\"의 문 %d",
            "\"%s\" PL/Python 함수",
            "\"%s\" PL/Python 프로시져",
            "PL/Python 익명 코드 블럭",
            "\"%s\" PL/Perl 함수",
            "PL/Perl 익명 코드 블럭",
        ],
        encodings: &[EUC_KR],
    },
    Frames {
        texts: &["wyrażenie SQL \"%s\""],
        functions: &[
            "funkcja PL/pgSQL %s, wiersz %d w %s",
            "funkcja SQL \"%s\" wyrażenie %d",
            "funkcja PL/Python \"%s\"",
            "anonimowy blok kodu PL/Python",
            "funkcja PL/Perl \"%s\"",
            "anonimowy blok kodu PL/Perl",
        ],
        encodings: LATIN2,
    },
    Frames {
        texts: &[
            "instrução SQL \"%s\"",
            "comando SQL \"%s\"",
            "expressão SQL \"%s\"",
            "atribuição PL/pgSQL \"%s\"",
        ],
        functions: &[
            "função PL/pgSQL %s linha %d em %s",
            "função SQL \"%s\" instrução %d",
            "função SQL \"%s\" comando %d",
            "função PL/Python \"%s\"",
            "procedimento PL/Python \"%s\"",
            "bloco de código PL/Python anônimo",
            "função PL/Perl \"%s\"",
            "bloco de código PL/Perl anônimo",
        ],
        encodings: LATIN1,
    },
    Frames {
        texts: &[],
        functions: &["funcție PL/Perl  \"%s\"", "bloc de cod PL/Perl anonim"],
        encodings: LATIN2,
    },
    Frames {
        texts: &[
            "SQL-оператор: \"%s\"",
            "SQL-выражение \"%s\"",
            "присваивание PL/pgSQL \"%s\"",
        ],
        functions: &[
            "функция PL/pgSQL %s, строка %d, оператор %s",
            "SQL-функция \"%s\", оператор %d",
            "функция PL/Python \"%s\"",
            "процедура PL/Python \"%s\"",
            "анонимный блок кода PL/Python",
            "функция PL/Perl \"%s\"",
            "анонимный блок кода PL/Perl",
        ],
        encodings: CYRILLIC,
    },
    Frames {
        texts: &[
            "SQL-sats: \"%s\"",
            "SQL-uttryck \"%s\"",
            "PL/pgSQL-tilldelning \"%s\"",
        ],
        functions: &[
            "PL/pgSQL-funktion %s rad %d vid %s",
            "SQL-funktion \"%s\" sats %d",
            "PL/Python-funktion \"%s\"",
            "PL/Python-procedur \"%s\"",
            "PL/Python anonymt kodblock",
            "PL/Perl-funktion \"%s\".",
            "Anonymt kodblock i PL/Perl.",
        ],
        encodings: LATIN1,
    },
    Frames {
        texts: &["SQL deyimi: \"%s\""],
        functions: &[
            "%s PL/pgSQL fonksiyonu, %d. satır, %s içinde",
            "\"%s\" SQL fonksiyonu, %d komutu",
            "\"%s\" PL/Python fonksiyonu",
            "\"%s\" PL/Python prosedürü",
            "PL/Python anonim kod bloğu",
            "\"%s\" PL/Perl fonksiyonu",
            "PL/Perl anonim kod bloğu",
        ],
        encodings: LATIN5,
    },
    Frames {
        texts: &[
            "SQL-оператор \"%s\"",
            "SQL вираз \"%s\"",
            "PL/pgSQL присвоєння \"%s\"",
        ],
        functions: &[
            "Функція PL/pgSQL %s рядок %d в %s",
            "SQL функція \"%s\" оператор %d",
            "PL/Python функція \"%s\"",
            "PL/Python процедура \"%s\"",
            "анонімні коди блоку PL/Python",
            "PL/Perl функція \"%s\"",
            "анонімний блок коду PL/Perl",
        ],
        encodings: CYRILLIC,
    },
    Frames {
        texts: &[],
        functions: &[
            "Hàm PL/pgSQL %s dòng %d tại %s",
            "Hàm PL/Python \"%s\"",
            "Thủ tục PL/Python \"%s\"",
            "Khối mã ẩn danh PL/Python",
            "Hàm PL/Perl \"%s\"",
            "Khối mã ẩn danh PL/Perl",
        ],
        encodings: &[WINDOWS_1258],
    },
    Frames {
        texts: &["SQL 语句 \"%s\""],
        functions: &[
            "在%3$s的第%2$d行的PL/pgSQL函数%1$s",
            "SQL 函数 \"%s\" 语句 %d",
            "PL/Python函数\"%s\"",
            "PL/Python 函数\"%s\"",
            "PL/Python过程\"%s\"",
            "PL/Python 过程 \"%s\"",
            "PL/Python匿名代码块",
            "PL/Python 匿名代码块",
            "PL/Perl函数\"%s\"",
            "PL/Perl匿名代码块",
        ],
        encodings: &[GBK],
    },
    Frames {
        texts: &[],
        functions: &[
            "PL/Python 函數 \"%s\"",
            "PL/Python 程序 \"%s\"",
            "PL/Python 匿名程式區塊",
            "PL/Perl 函數 \"%s\"",
            "PL/Perl 匿名程式碼區塊",
        ],
        encodings: &[],
    },
];
