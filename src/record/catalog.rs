//! What the server prints for severities and labels in every language that it is translated to, as rows of its message catalogs.
//!
//! Taken from `src/backend/po/*.po` of PostgreSQL 13 to 18 (catalog `postgres`): fifteen languages, the rest is printed in English. A
//! language whose words have changed has a row for each of them. What may be where in a line is not known here.

use encoding_rs::{
    EUC_JP, EUC_KR, Encoding, GBK, IBM866, ISO_8859_2, ISO_8859_5, ISO_8859_15, KOI8_R, KOI8_U,
    WINDOWS_1250, WINDOWS_1251, WINDOWS_1252, WINDOWS_1254,
};

/// The words of one language.
pub(super) struct Words {
    /// DEBUG, INFO, NOTICE, WARNING, ERROR, LOG, FATAL, PANIC; a colon and two blanks follow in every language.
    pub(super) severities: [&'static str; 8],
    /// DETAIL, HINT, QUERY, CONTEXT, LOCATION, STATEMENT, with the colon and the blanks after it.
    pub(super) labels: [&'static str; 6],
    /// Encodings other than UTF-8 that a database in that language may have: each session writes in that of its database.
    pub(super) encodings: &'static [&'static Encoding],
}

/// EUC_CN is within GBK, LATIN1 within WIN1252, LATIN5 within WIN1254. EUC_TW and the Georgian encodings have no table here.
const LATIN1: &[&Encoding] = &[WINDOWS_1252, ISO_8859_15];
const LATIN2: &[&Encoding] = &[ISO_8859_2, WINDOWS_1250];
const LATIN5: &[&Encoding] = &[WINDOWS_1254];
const CYRILLIC: &[&Encoding] = &[KOI8_R, KOI8_U, WINDOWS_1251, ISO_8859_5, IBM866];

/// English and its translations: de, es, fr, id, it, ja, ka, ko, pl, pt_BR (16 and 17 on), ru, sv, tr, uk, zh_CN.
pub(super) const WORDS: &[Words] = &[
    Words {
        severities: [
            "DEBUG", "INFO", "NOTICE", "WARNING", "ERROR", "LOG", "FATAL", "PANIC",
        ],
        labels: [
            "DETAIL:  ",
            "HINT:  ",
            "QUERY:  ",
            "CONTEXT:  ",
            "LOCATION:  ",
            "STATEMENT:  ",
        ],
        encodings: &[],
    },
    Words {
        severities: [
            "DEBUG", "INFO", "HINWEIS", "WARNUNG", "FEHLER", "LOG", "FATAL", "PANIK",
        ],
        labels: [
            "DETAIL:  ",
            "TIPP:  ",
            "ANFRAGE:  ",
            "ZUSAMMENHANG:  ",
            "ORT:  ",
            "ANWEISUNG:  ",
        ],
        encodings: LATIN1,
    },
    Words {
        severities: [
            "DEBUG", "INFO", "NOTICE", "WARNING", "ERROR", "LOG", "FATAL", "PANIC",
        ],
        labels: [
            "DETALLE:  ",
            "HINT:  ",
            "CONSULTA:  ",
            "CONTEXTO:  ",
            "UBICACIÓN:  ",
            "SENTENCIA:  ",
        ],
        encodings: LATIN1,
    },
    Words {
        severities: [
            "DEBUG",
            "INFO",
            "NOTICE",
            "ATTENTION",
            "ERREUR",
            "LOG",
            "FATAL",
            "PANIC",
        ],
        labels: [
            "DÉTAIL:  ",
            "ASTUCE :  ",
            "REQUÊTE :  ",
            "CONTEXTE :  ",
            "EMPLACEMENT :  ",
            "INSTRUCTION :  ",
        ],
        encodings: LATIN1,
    },
    Words {
        severities: [
            "DEBUG",
            "INFO",
            "NOTICE",
            "PERINGATAN",
            "ERROR",
            "LOG",
            "FATAL",
            "PANIK",
        ],
        labels: [
            "DETIL:  ",
            "PETUNJUK :  ",
            "QUERY :  ",
            "KONTEKS:  ",
            "LOKASI:  ",
            "PERNYATAAN:  ",
        ],
        encodings: LATIN1,
    },
    Words {
        severities: [
            "DEBUG",
            "INFO",
            "NOTIFICA",
            "ATTENZIONE",
            "ERRORE",
            "LOG",
            "FATALE",
            "PANICO",
        ],
        labels: [
            "DETTAGLI:  ",
            "SUGGERIMENTO:  ",
            "QUERY:  ",
            "CONTESTO:  ",
            "POSIZIONE:  ",
            "ISTRUZIONE:  ",
        ],
        encodings: LATIN1,
    },
    Words {
        severities: [
            "DEBUG", "INFO", "NOTICE", "WARNING", "ERROR", "LOG", "FATAL", "PANIC",
        ],
        labels: [
            "詳細:  ",
            "ヒント:  ",
            "問い合わせ:  ",
            "文脈:  ",
            "場所:  ",
            "文:  ",
        ],
        encodings: &[EUC_JP],
    },
    Words {
        severities: [
            "გამართვა",
            "ინფორმაცია",
            "გაფრთხილება",
            "გაფრთხილება",
            "შეცდომა",
            "ჟურნალი",
            "ფატალური",
            "პანიკა",
        ],
        labels: [
            "დეტალები:  ",
            "მინიშნება:  ",
            "მოთხოვნა:  ",
            "კონტექსტი:  ",
            "მდებარეობა:   ",
            "ოპერატორი:  ",
        ],
        encodings: &[],
    },
    Words {
        severities: [
            "디버그",
            "정보",
            "알림",
            "경고",
            "오류",
            "로그",
            "치명적오류",
            "손상",
        ],
        labels: [
            "상세정보:  ",
            "힌트:  ",
            "쿼리:",
            "내용:  ",
            "위치: ",
            "명령 구문:  ",
        ],
        encodings: &[EUC_KR],
    },
    Words {
        severities: [
            "DEBUG",
            "INFORMACJA",
            "UWAGA",
            "OSTRZEŻENIE",
            "BŁĄD",
            "DZIENNIK",
            "KATASTROFALNY",
            "PANIKA",
        ],
        labels: [
            "SZCZEGÓŁY:  ",
            "PODPOWIEDŹ:  ",
            "ZAPYTANIE:  ",
            "KONTEKST:  ",
            "POZYCJA:  ",
            "WYRAŻENIE:  ",
        ],
        encodings: LATIN2,
    },
    Words {
        severities: [
            "DEPURAÇÃO",
            "INFO",
            "NOTA",
            "ADVERTÊNCIA",
            "ERRO",
            "LOG",
            "FATAL",
            "PÂNICO",
        ],
        labels: [
            "DETALHE:  ",
            "DICA:  ",
            "CONSULTA:  ",
            "CONTEXTO:  ",
            "LOCAL:  ",
            "INSTRUÇÂO:  ",
        ],
        encodings: LATIN1,
    },
    Words {
        severities: [
            "DEPURAÇÃO",
            "INFO",
            "NOTA",
            "AVISO",
            "ERRO",
            "LOG",
            "FATAL",
            "PÂNICO",
        ],
        labels: [
            "DETALHE:  ",
            "DICA:  ",
            "CONSULTA:  ",
            "CONTEXTO:  ",
            "LOCAL:  ",
            "COMANDO:  ",
        ],
        encodings: LATIN1,
    },
    Words {
        severities: [
            "ОТЛАДКА",
            "ИНФОРМАЦИЯ",
            "ЗАМЕЧАНИЕ",
            "ПРЕДУПРЕЖДЕНИЕ",
            "ОШИБКА",
            "СООБЩЕНИЕ",
            "ВАЖНО",
            "ПАНИКА",
        ],
        labels: [
            "ПОДРОБНОСТИ:  ",
            "ПОДСКАЗКА:  ",
            "ЗАПРОС:  ",
            "КОНТЕКСТ:  ",
            "ПОЛОЖЕНИЕ: ",
            "ОПЕРАТОР:  ",
        ],
        encodings: CYRILLIC,
    },
    Words {
        severities: [
            "DEBUG", "INFO", "NOTIS", "VARNING", "FEL", "LOGG", "FATALT", "PANIK",
        ],
        labels: [
            "DETALJ:  ",
            "TIPS:  ",
            "FRÅGA:  ",
            "KONTEXT:  ",
            "PLATS:  ",
            "SATS:  ",
        ],
        encodings: LATIN1,
    },
    Words {
        severities: [
            "DEBUG",
            "BİLGİ",
            "NOT",
            "UYARI",
            "HATA",
            "LOG",
            "ÖLÜMCÜL (FATAL)",
            "KRİTİK",
        ],
        labels: [
            "AYRINTI:", "İPUCU:", "SORGU:", "ORTAM:", "YER: ", "KOMUT:  ",
        ],
        encodings: LATIN5,
    },
    Words {
        severities: [
            "НАЛАГОДЖЕННЯ",
            "ІНФОРМАЦІЯ",
            "ПОВІДОМЛЕННЯ",
            "ПОПЕРЕДЖЕННЯ",
            "ПОМИЛКА",
            "ЗАПИСУВАННЯ",
            "ФАТАЛЬНО",
            "ПАНІКА",
        ],
        labels: [
            "ВІДОМОСТІ:  ",
            "УКАЗІВКА:  ",
            "ЗАПИТ:  ",
            "КОНТЕКСТ:  ",
            "РОЗТАШУВАННЯ:  ",
            "ІНСТРУКЦІЯ:  ",
        ],
        encodings: CYRILLIC,
    },
    Words {
        severities: [
            "调试",
            "信息",
            "注意",
            "警告",
            "错误",
            "日志",
            "致命错误",
            "比致命错误还过分的错误",
        ],
        labels: [
            "详细信息:  ",
            "提示:  ",
            "查询:  ",
            "上下文:  ",
            "位置:  ",
            "语句:  ",
        ],
        encodings: &[GBK],
    },
];
