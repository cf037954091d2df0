//! A statement without its literals, comments and accidents of formatting: what makes two executions the same query.
//!
//! SQL text comes in, whole or cut, of any release or extension; normalized text goes out, as pg_stat_statements writes it where that can
//! be had from tokens: `select * from t where a = $1 and b in ($2, ...)`. It never fails, and it doesn't know what the statement means.

use super::{
    lexer::{Backslash, Token, TokenKind, tokens_with},
    output::Output,
    redact::{is_comment_or_space, open_quote},
    writer::Writer,
};

/// A statement, or a string of several, without literals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Normalized {
    /// Literals are `$n`, numbered on from the highest parameter that the text holds; lists of constants are squashed; words that aren't
    /// quoted are in lower case, tokens a blank apart; no comments, no semicolon at the end. Empty for a text without a token.
    pub text: String,
    /// Top-level statements that aren't empty.
    pub statement_count: u32,
    /// No string, quoted identifier or comment was left open. Where a quote is never closed, what is quoted and what isn't can't be told
    /// apart: everything from the first quote on is one parameter.
    pub complete: bool,
}

/// Normalizes `sql` in linear time.
///
/// A list of nothing but constants is squashed to its first element in `IN (…)`, in `ARRAY[…]` and among the rows of `VALUES`. Where
/// that takes parameters out, all are numbered anew from 1, so that a list of any length gives the same text.
pub fn normalize(sql: &str, backslash: Backslash) -> Normalized {
    let end_is_missing = false;
    written(Text {
        sql,
        backslash,
        end_is_missing,
    })
}

/// Normalizes what is left of a statement whose end is missing: a number that it ends in may be the beginning of a longer one, and is a literal
/// wherever it stands.
pub fn normalize_cut(sql: &str, backslash: Backslash) -> Normalized {
    let end_is_missing = true;
    written(Text {
        sql,
        backslash,
        end_is_missing,
    })
}

fn written(mut text: Text<'_>) -> Normalized {
    let Text { sql, backslash, .. } = text;
    let highest_parameter = text.highest_parameter();
    let numbering_after = |len| Output::numbering_after(highest_parameter, len);
    let (mut output, mut statement_count, last) = text.write(false, numbering_after(sql.len()));
    let complete = last.is_none_or(|token| token.terminated);
    let cut = open_quote(sql, backslash, last.as_ref());
    text.sql = cut.and_then(|at| sql.get(..at)).unwrap_or(sql);
    if cut.is_some() {
        (output, statement_count, _) = text.write(true, numbering_after(text.sql.len()));
    }
    if output.dropped_parameters() {
        let numbering_anew = Output::numbering_anew(text.sql.len());
        (output, statement_count, _) = text.write(cut.is_some(), numbering_anew);
    }
    Normalized {
        text: output.into_text(),
        statement_count,
        complete,
    }
}

/// SQL text and how to read it.
#[derive(Clone, Copy)]
struct Text<'a> {
    sql: &'a str,
    backslash: Backslash,
    end_is_missing: bool,
}

impl<'a> Text<'a> {
    /// Writes the text, and a literal after it if it was `cut`. Gives what was written, the number of statements in it, and the last token
    /// of the text, which tells whether anything is left open.
    fn write(self, cut: bool, output: Output) -> (Output, u32, Option<Token<'a>>) {
        let mut writer = Writer::new(output, self.end_is_missing);
        let mut last = None;
        let mut tokens = tokens_with(self.sql, self.backslash)
            .inspect(|token| last = Some(*token))
            .filter(|token| !is_comment_or_space(token))
            .peekable();
        while let Some(token) = tokens.next() {
            writer.token(&token, tokens.peek());
        }
        if cut {
            writer.open_literal();
        }
        let (output, statement_count) = writer.finish();
        (output, statement_count, last)
    }

    fn highest_parameter(self) -> u32 {
        if memchr::memchr(b'$', self.sql.as_bytes()).is_none() {
            return 0;
        }
        tokens_with(self.sql, self.backslash)
            .filter(|token| token.kind == TokenKind::Parameter)
            .map(|token| parameter_number(&token))
            .max()
            .unwrap_or(0)
    }
}

/// The number of a `$n`; a number beyond 65535 is no parameter's, and is written as 0.
pub(super) fn parameter_number(token: &Token<'_>) -> u32 {
    token
        .text
        .strip_prefix('$')
        .and_then(|digits| digits.parse().ok())
        .filter(|number| *number <= 65_535)
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn normalize(sql: &str) -> Normalized {
        super::normalize(sql, Backslash::Plain)
    }

    fn check(sql: &str, expected: &str) {
        assert_eq!(normalize(sql).text, expected, "{sql}");
    }

    #[test]
    fn literals() {
        check("SELECT $$dollar 'quoted' 42$$", "select $1");
        check(
            "SELECT $tag$x$tag$, 0x1F, 1_000, 1.5e10",
            "select $1, $2, $3, $4",
        );
        check(
            r"SELECT E'it\'s', U&'..', X'1F', B'1', N'n'",
            "select $1, $2, $3, $4, $5",
        );
        check("SELECT 'a'\n  'b' -- c\n 'd'", "select $1");
        check(
            "SELECT interval '1 day', date '2020-01-01'",
            "select interval $1, date $2",
        );
        check(
            "a = NULL or b IS NULL and c = TRUE",
            "a = $1 or b is null and c = $2",
        );
        check(
            "SELECT 1 LIMIT ALL OFFSET 10",
            "select $1 limit all offset $2",
        );
    }

    #[test]
    fn literals_are_numbered_after_the_parameters() {
        check(
            "SELECT 'x' WHERE a = $2 AND b = 5 AND c = $1",
            "select $3 where a = $2 and b = $4 and c = $1",
        );
        check("SELECT $99999999999, 1", "select $0, $1");
    }

    #[test]
    fn signs() {
        check("a = -5", "a = $1");
        check("a=- 5 and b>-.5", "a = $1 and b > $2");
        check("a-1", "a - $1");
        check("a -1 + b[-1] * (-1) - -2", "a - $1 + b[$2] * ($3) - $4");
        check(
            "\"a\"-1, $1-1, x(1)-1, 'a'-1",
            "\"a\" - $2, $1 - $3, x($4) - $5, $6 - $7",
        );
        check("SELECT -1 BETWEEN -2 AND +3", "select $1 between $2 and $3");
        check("-x", "- x");
    }

    #[test]
    fn spacing_and_case() {
        check(
            "Select\tA.B  ,\n count( * ) FROM \"T\" x",
            "select a.b, count(*) from \"T\" x",
        );
        check("x::TEXT||y :: int [ ]", "x::text || y::int[]");
        check(
            "a[1:2], f (x), (a,b)in(select 1)",
            "a[$1:$2], f(x), (a, b) in (select $3)",
        );
        check("VALUES(now())", "values (now())");
        check("SELECT ÄPFEL", "select Äpfel");
        check("log_2024_01 t1, T1", "log_2024_01 t1, t1");
    }

    #[test]
    fn comments() {
        check("/* trace=abc */ SELECT/*x*/1 -- tail 42", "select $1");
        check("/* a /* nested */ b */", "");
        check("", "");
    }

    #[test]
    fn lists_of_constants() {
        check("id IN (7)", "id in ($1, ...)");
        check(
            "id not in (1,2,3) and b = 4",
            "id not in ($1, ...) and b = $2",
        );
        check("id = ANY(ARRAY[1,2,3])", "id = any(array[$1, ...])");
        check("ARRAY[[1,2],[3,4]]", "array[[$1, ...], ...]");
        check(
            "id IN (cast(1 as int), cast(2 as int))",
            "id in (cast($1 as int), ...)",
        );
        check("id IN (1::int8, -2::int8, NULL)", "id in ($1::int8, ...)");
        check(
            "n IN ('1'::numeric(10,2), '2'::numeric(10,2))",
            "n in ($1::numeric(10, 2), ...)",
        );
        check(
            "d IN (date '2020-01-01', date '2020-01-02')",
            "d in (date $1, ...)",
        );
        check("(a,b) IN ((1,'x'),(2,'y'))", "(a, b) in (($1, $2), ...)");
        check("id IN (1, b, 3)", "id in ($1, b, $2)");
        check("id IN (1, f(2))", "id in ($1, f($2))");
        check("id IN (1 + 2, 3)", "id in ($1 + $2, $3)");
        check("id IN ()", "id in ()");
        check("id IN (SELECT 1)", "id in (select $1)");
        check("ARRAY[]::int[]", "array[]::int[]");
    }

    #[test]
    fn lists_of_parameters() {
        check(
            "id IN ($1, $2) AND b = $3 AND c = 5",
            "id in ($1, ...) and b = $2 and c = $3",
        );
        check(
            "id IN ($1,$2,$3) AND b = $4 AND c = 5",
            "id in ($1, ...) and b = $2 and c = $3",
        );
        check("id IN ($1,$2,$3) AND b = $2", "id in ($1, ...) and b = $2");
        check(
            "a = $2 AND id IN ($1) AND b = $2",
            "a = $2 and id in ($1, ...) and b = $2",
        );
    }

    #[test]
    fn rows_of_values() {
        check(
            "INSERT INTO t(a,b) VALUES (1,'x')",
            "insert into t(a, b) values ($1, $2)",
        );
        check(
            "INSERT INTO t VALUES (1,now()),(2,now()), (-3, now()) RETURNING a",
            "insert into t values ($1, now()), ... returning a",
        );
        check(
            "INSERT INTO t VALUES ($1,$2),($3,$4) ON CONFLICT (a) DO UPDATE SET b = $5",
            "insert into t values ($1, $2), ... on conflict (a) do update set b = $3",
        );
        check("VALUES (1,2),(NULL,DEFAULT),(5,6);", "values ($1, $2), ...");
        check(
            "SELECT * FROM (VALUES (1),(2)) v",
            "select * from (values ($1), ...) v",
        );
        check("VALUES (a,1),(b,2)", "values (a, $1), (b, $2)");
        check(
            "VALUES (ARRAY[1,2]),(ARRAY[1])",
            "values (array[$1, ...]), ...",
        );
    }

    #[test]
    fn ordinals_and_type_modifiers() {
        check(
            "SELECT 1 ORDER BY 1, 2 DESC LIMIT 3",
            "select $1 order by 1, 2 desc limit $2",
        );
        check(
            "GROUP BY 1, ROLLUP(2, (3)) HAVING a > 4",
            "group by 1, rollup (2, (3)) having a > $1",
        );
        check("ORDER BY 1 + a, f(2), 12345", "order by $1 + a, f($2), $3");
        check(
            "SELECT DISTINCT ON (1, a, (2)) b, 3 FROM t JOIN u ON (4 = b)",
            "select distinct on (1, a, (2)) b, $1 from t join u on ($2 = b)",
        );
        check(
            "SELECT 1 ORDER BY 1 UNION SELECT 2, 3",
            "select $1 order by 1 union select $2, $3",
        );
        check(
            "a::varchar(20), cast(b as numeric(10,-2))",
            "a::varchar(20), cast(b as numeric(10, - 2))",
        );
        check(
            "CREATE TABLE t (a varchar(20) default 5, b timestamp(3) with time zone)",
            "create table t(a varchar(20) default $1, b timestamp(3) with time zone)",
        );
    }

    /// As where the lines of a plan have got into a statement.
    #[test]
    fn a_quoted_text_that_is_no_name_is_a_literal() {
        check(
            r#"SELECT "a b", "Filter": "(x = 'secret')""#,
            r#"select "a b", "Filter":$1"#,
        );
        check(
            r#"SELECT "(NOT b)", "a = 7", "4711", "2024 sales""#,
            r#"select $1, $2, $3, "2024 sales""#,
        );
        let longest = "x".repeat(63);
        check(
            &format!(r#"SELECT "{longest}", "{longest}y z", u&"{longest}""#),
            &format!(r#"select "{longest}", $1, u&"{longest}""#),
        );
    }

    #[test]
    fn a_number_that_may_go_on_is_no_ordinal() {
        for (sql, expected) in [
            ("SELECT a ORDER BY 1, 471", "select a order by 1, $1"),
            ("SELECT a GROUP BY (471", "select a group by ($1"),
            ("SELECT DISTINCT ON (1, 2) a", "select distinct on (1, 2) a"),
            ("SELECT a ORDER BY 1 DESC", "select a order by 1 desc"),
        ] {
            let found = normalize_cut(sql, Backslash::Plain);
            assert_eq!(found.text, expected, "{sql}");
        }
    }

    #[test]
    fn utility_statements() {
        check("SET work_mem = '64MB'", "set work_mem = $1");
        check(
            "SET LOCAL search_path TO tenant_17, public",
            "set local search_path to $1",
        );
        check(
            "set app.secret to default; SELECT 1",
            "set app.secret to default; select $1",
        );
        check("SET x = a, b; SELECT 1", "set x = $1; select $2");
        check(
            "ALTER ROLE bob SET app.token TO abc",
            "alter role bob set app.token to $1",
        );
        check("UPDATE t SET a = b, c = 5", "update t set a = b, c = $1");
        check(
            "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
            "set transaction isolation level serializable",
        );
        check(
            "ALTER TABLE t SET (fillfactor = 70)",
            "alter table t set (fillfactor = $1)",
        );
        check("EXECUTE s1(1,'x')", "execute s1($1, $2)");
        check("DO $$ BEGIN PERFORM 'x'; END $$", "do $1");
        check(
            "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
            "create function f() returns int language sql as $1",
        );
        check(
            "COPY t FROM PROGRAM 'curl x' WITH (DELIMITER ',')",
            "copy t from program $1 with (delimiter $2)",
        );
        check("SET ROLE tenant_17", "set role $1");
        check("SET ROLE NONE", "set role none");
        check(
            "SET SESSION AUTHORIZATION bob; RESET ALL",
            "set session authorization $1; reset all",
        );
        check("SET TIME ZONE CET", "set time zone $1");
        check(
            "ALTER TABLE t ALTER c SET DEFAULT true, ALTER d SET NOT NULL",
            "alter table t alter c set default true, alter d set not null",
        );
    }

    #[test]
    fn names_that_drivers_number() {
        check("SAVEPOINT sp_123", "savepoint $1");
        check("savepoint \"s140_x1\"", "savepoint $1");
        check(
            "RELEASE SAVEPOINT s1; release s2",
            "release savepoint $1; release $2",
        );
        check("ROLLBACK TO SAVEPOINT s1", "rollback to savepoint $1");
        check(
            "ROLLBACK WORK TO s1; ROLLBACK",
            "rollback work to $1; rollback",
        );
        check("ROLLBACK PREPARED 'gid'", "rollback prepared $1");
        check("PREPARE TRANSACTION 'gid'", "prepare transaction $1");
        check(
            "PREPARE s1 (int) AS SELECT a = 5 + $1",
            "prepare $2 (int) as select a = $3 + $1",
        );
        check("DEALLOCATE pdo_stmt_00000003", "deallocate $1");
        check("DEALLOCATE PREPARE a1", "deallocate prepare $1");
        check("DEALLOCATE ALL; CLOSE ALL", "deallocate all; close all");
        check(
            "DECLARE c123 SCROLL CURSOR FOR SELECT 1",
            "declare $1 scroll cursor for select $2",
        );
        check("FETCH 100 FROM c123", "fetch $1 from $2");
        check("FETCH c", "fetch $1");
        check(
            "FETCH FORWARD -5 IN \"<unnamed portal 1>\"",
            "fetch forward $1 in $2",
        );
        check(
            "MOVE ABSOLUTE 3 c; CLOSE c",
            "move absolute $1 $2; close $3",
        );
        check(
            "SELECT a FETCH FIRST 3 ROWS ONLY",
            "select a fetch first $1 rows only",
        );
    }

    #[test]
    fn passwords() {
        check("ALTER USER a PASSWORD 'secret'", "alter user a password $1");
        check(
            "CREATE ROLE a LOGIN ENCRYPTED PASSWORD 'secret' VALID UNTIL '2027-01-01'",
            "create role a login encrypted password $1",
        );
        // What somebody types who forgets the quotes, or takes the wrong ones.
        check("alter role a password secret!", "alter role a password $1");
        check(
            "alter role a password \"secret\"; select 1",
            "alter role a password $1; select $2",
        );
        check("ALTER ROLE a PASSWORD NULL", "alter role a password $1");
        check(
            "CREATE USER MAPPING FOR u SERVER s OPTIONS (user 'x', password secret, a 'b'); SELECT 1",
            "create user mapping for u server s options (user $1, password $2, a $3); select $4",
        );
        check(
            "CREATE SUBSCRIPTION s CONNECTION 'host=h password=secret' PUBLICATION p",
            "create subscription s connection $1 publication p",
        );
        check(
            "CREATE TABLE t (password text)",
            "create table t(password text)",
        );
    }

    #[test]
    fn constants_that_are_words() {
        check(
            "INSERT INTO t VALUES (NULL, true, DEFAULT, 'x')",
            "insert into t values ($1, $2, default, $3)",
        );
        check(
            "UPDATE t SET a = NULL, b = false WHERE c IS NOT TRUE AND d <> false",
            "update t set a = $1, b = $2 where c is not true and d <> $3",
        );
        check(
            "SELECT NULL::int, CASE WHEN true THEN NULL ELSE f(false, x) END",
            "select $1::int, case when $2 then $3 else f($4, x) end",
        );
        check("a JOIN b ON true WHERE true", "a join b on true where $1");
        check(
            "CREATE TABLE t (a int NOT NULL, b bool DEFAULT true, c int NULL REFERENCES u ON DELETE SET NULL)",
            "create table t(a int not null, b bool default true, c int null references u on delete set null)",
        );
        check(
            "COPY t TO STDOUT (HEADER true, NULL 'x')",
            "copy t to stdout(header true, null $1)",
        );
        check(
            "json_object('a': NULL NULL ON NULL), g(NULL ON EMPTY)",
            "json_object($1:null null on null), g(null on empty)",
        );
        check("ORDER BY a NULLS FIRST", "order by a nulls first");
    }

    /// One row for each input that makes pgBadger, libpg_query and pg_stat_statements disagree.
    #[test]
    fn inputs_on_which_normalisers_disagree() {
        for (sql, expected) in [
            ("id IN (1,2,3)", "id in ($1, ...)"),
            ("id IN (1,2,3,4)", "id in ($1, ...)"),
            ("id IN (7)", "id in ($1, ...)"),
            ("id = 1", "id = $1"),
            ("id = ANY(ARRAY[1,2,3])", "id = any(array[$1, ...])"),
            (
                "id IN (cast(1 as int), cast(2 as int))",
                "id in (cast($1 as int), ...)",
            ),
            ("id IN (1::int, 2::int)", "id in ($1::int, ...)"),
            ("VALUES (1,2)", "values ($1, $2)"),
            ("VALUES (3,4),(5,6)", "values ($1, $2), ..."),
            ("SELECT $$dollar 'quoted' 42$$", "select $1"),
            ("SELECT $tag$x$tag$", "select $1"),
            ("SELECT 0x1F, 0o17, 0b11, 1_000", "select $1, $2, $3, $4"),
            ("SELECT 1.5e10, 1.5e+3, .5, 5.", "select $1, $2, $3, $4"),
            (r"SELECT E'it\'s', U&'..', X'1F'", "select $1, $2, $3"),
            (r"SELECT U&'d!0061ta' UESCAPE '!', 2", "select $1, $2"),
            ("a = -5", "a = $1"),
            ("a = 5", "a = $1"),
            ("a-1", "a - $1"),
            ("a != 5", "a <> $1"),
            ("SELECT a, b ORDER BY 1,2", "select a, b order by 1, 2"),
            ("SELECT a GROUP BY 1", "select a group by 1"),
            ("SELECT a::varchar(20)", "select a::varchar(20)"),
            ("a = NULL", "a = $1"),
            ("a IS NULL", "a is null"),
            ("a = true", "a = $1"),
            ("SELECT a LIMIT ALL", "select a limit all"),
            ("SELECT 1 -- tail 42", "select $1"),
            ("/* trace=abc */ SELECT 1", "select $1"),
            ("/* a /* b */ c */ SELECT 1", "select $1"),
            ("SELECT * FROM log_2024_01", "select * from log_2024_01"),
            ("SELECT * FROM t t1", "select * from t t1"),
            (
                "SELECT * FROM \"T\", T, \"a\"\"b\"",
                "select * from \"T\", t, \"a\"\"b\"",
            ),
            ("SET work_mem='64MB'", "set work_mem = $1"),
            ("SET work_mem TO '128MB'", "set work_mem to $1"),
            (
                "ALTER TABLE t ADD a int DEFAULT 5",
                "alter table t add a int default $1",
            ),
            ("EXECUTE s1(1,'x')", "execute s1($1, $2)"),
            ("PREPARE s1 AS SELECT a = 5", "prepare $1 as select a = $2"),
            (
                "DECLARE c123 CURSOR FOR SELECT a",
                "declare $1 cursor for select a",
            ),
            ("FETCH 100 FROM c123", "fetch $1 from $2"),
            ("SAVEPOINT sp_123", "savepoint $1"),
            ("SELECT 'a' 'b'", "select $1"),
            ("SELECT 'unterminated", "select $1"),
            ("NOTIFY x, 'payload'", "notify x, $1"),
            ("COMMENT ON TABLE t IS 'text'", "comment on table t is $1"),
            (
                "SECURITY LABEL ON TABLE t IS 'text'",
                "security label on table t is $1",
            ),
            (
                "SELECT * FROM dblink('password=x', 'SELECT 1') AS t(a int)",
                "select * from dblink($1, $2) as t(a int)",
            ),
            (
                "SELECT GRAPH_TABLE (g MATCH (a IS b WHERE a.n = 'x')-[IS c]->(d) COLUMNS (d.n))",
                "select graph_table(g match(a is b where a.n = $1) - [is c] -> (d) columns(d.n))",
            ),
            (
                "MERGE INTO t USING s ON t.a = s.a WHEN NOT MATCHED BY SOURCE THEN DELETE RETURNING WITH (OLD AS o) o.a, 1",
                "merge into t using s on t.a = s.a when not matched by source then delete returning with (old as o) o.a, $1",
            ),
        ] {
            check(sql, expected);
        }
    }

    #[test]
    fn statements_of_a_string() {
        for (sql, text, count) in [
            ("SELECT 1;", "select $1", 1),
            (";; SELECT 1;; BEGIN ;", "select $1; begin", 2),
            (" ; -- nothing", "", 0),
            ("SELECT 1; SELECT 2", "select $1; select $2", 2),
            (
                "CREATE RULE r AS ON INSERT TO t DO (a; b)",
                "create rule r as on insert to t do(a; b)",
                1,
            ),
            (
                "CREATE FUNCTION f() BEGIN ATOMIC SELECT CASE WHEN a THEN 1 END; SELECT 2; END; SELECT 3",
                "create function f() begin atomic select case when a then $1 end; select $2; end; select $3",
                2,
            ),
        ] {
            let complete = true;
            let text = text.to_owned();
            assert_eq!(
                normalize(sql),
                Normalized {
                    text,
                    statement_count: count,
                    complete
                },
                "{sql}"
            );
        }
    }

    #[test]
    fn open_quotes() {
        for (sql, text) in [
            (
                "SELECT a FROM t WHERE n = 'O'Brien'",
                "select a from t where n = $1",
            ),
            (r"WHERE a = 'it\'s secret'", "where a = $1"),
            ("WHERE a IN (1,2,'x','y", "where a in ($1, ..."),
            ("SELECT \"a\" FROM \"b", "select $1"),
            ("SELECT \"a\", $x$ secret", "select \"a\", $1"),
            ("SELECT 1 /* 'x", "select $1"),
            ("SET x = 'y", "set x = $1"),
        ] {
            let found = normalize(sql);
            assert_eq!(
                (found.text.as_str(), found.complete),
                (text, false),
                "{sql}"
            );
        }
    }

    #[test]
    fn hostile_nesting_takes_linear_time() {
        for piece in [
            "(",
            "IN (",
            "ARRAY[",
            ")",
            "VALUES (",
            "(1),",
            "IN (1,",
            "$1,",
            "'a',",
            "SET x=",
            ";",
            "CASE ",
            "fetch ",
            "password ",
            "'a'\n",
            "E'\\'\n",
            "NULL,",
            "- ",
        ] {
            normalize(&piece.repeat(200_000));
        }
        normalize(&format!("VALUES {}", "(IN(1,$2),'x'),".repeat(100_000)));
    }

    #[test]
    fn a_list_of_any_length_is_one_query() {
        for length in [1, 2, 10_000, 300_000] {
            let list = |element: &str| vec![element; length].join(",");
            check(
                &format!("SELECT * FROM t WHERE id IN ({}) AND a = 5", list("-17")),
                "select * from t where id in ($1, ...) and a = $2",
            );
            check(
                &format!("INSERT INTO t VALUES (0, now()), {}", list("(42, now())")),
                "insert into t values ($1, now()), ...",
            );
        }
    }

    #[test]
    fn backslashes_of_a_server_without_standard_strings() {
        let sql = r"SELECT 'it\'s', 'a' WHERE b = '\\' AND c = N'\''";
        let found = super::normalize(sql, Backslash::Escapes);
        assert_eq!(found.text, "select $1, $2 where b = $3 and c = $4");
        assert!(found.complete);
    }

    /// A literal in one of its forms, with the secret in it.
    fn literal(form: u8, secret: &str, number: u64) -> String {
        match form {
            0 => format!("'{secret}'"),
            1 => format!("E'\\'{secret}\\\\'"),
            2 => format!("$${secret}$$"),
            3 => format!("$q$'{secret}$q$"),
            4 => format!("U&'{secret}'"),
            5 => format!("/* {secret} */ 1"),
            6 => format!("1 -- {secret}\n"),
            7 => format!("{number}"),
            8 => format!("-{number}.5e3"),
            9 => format!("0x{number}"),
            10 => format!("'''{secret}'''"),
            11 => format!("e'a'\n'\\'{secret}'"),
            12 => format!("U&'{secret}!0041' UESCAPE '!'"),
            13 => format!("$é${secret}$$ $x$é$"),
            14 => format!("0b1 /* /* {secret} */ {number} */"),
            15 => format!("{number}_{number}.5e-7"),
            16 => format!("'{secret}'::varchar(3)"),
            17 => format!("X'{number}'"),
            _ => format!("'x'\n  '{secret}'"),
        }
    }

    proptest! {
        #[test]
        fn no_literal_survives(
            form in 0u8..19, number in 4_712_000u64..4_713_000, context in 0usize..20, cut in 0usize..200,
        ) {
            let secret = "s3cret";
            let sql = [
                "SELECT * FROM t WHERE a = % AND b IN (1, %, 3)",
                "INSERT INTO t VALUES (%, 'x'), (%, %)",
                "SELECT f(%)::varchar(20), \"q\", a[%] FROM t ORDER BY 1, % LIMIT %",
                "SET x = %",
                "ALTER USER u PASSWORD %",
                "x BETWEEN % AND %, interval %",
                "SELECT ARRAY[%, %]",
                "CREATE TABLE t (a numeric(10,2) DEFAULT %)",
                "GROUP BY %, (%)",
                "SELECT -%; SELECT %",
                "CASE WHEN a THEN % ELSE % END",
                "%",
                "CREATE USER MAPPING FOR u SERVER s OPTIONS (user %, password %)",
                "COPY t FROM PROGRAM % WITH (DELIMITER %)",
                "PREPARE p (int) AS SELECT % = $1; EXECUTE p (%)",
                "DECLARE c CURSOR FOR SELECT %; FETCH % FROM c",
                "VALUES (%, DEFAULT), (-%, NULL) ORDER BY % + 1",
                "a[%:%] || % AND b->>% = ANY (ARRAY[[%], [%]])",
                "COMMENT ON TABLE t IS %; NOTIFY c, %",
                "SELECT cast(% AS numeric(10,2)), f(x => %, y := %) OVER (ORDER BY %)",
            ][context]
                .replace('%', &literal(form, secret, number));
            let until = sql.char_indices().map(|(at, _)| at).nth(cut).unwrap_or(sql.len());
            let whole = normalize(&sql);
            prop_assert!(whole.complete);
            let redacted = crate::statement::redact::expression(&sql);
            let cut = normalize_cut(&sql[..until], Backslash::Plain).text;
            for text in [whole.text, cut, redacted] {
                prop_assert!(!text.contains("s3c") && !text.contains("4712"), "{} gave {}", sql, text);
            }
        }

        #[test]
        fn normalized_text_stays_as_it_is(
            sql in "((SELECT|NULL|TRUE|ON|UESCAPE|PASSWORD|ALTER ROLE|CREATE USER|FETCH|PREPARE|ROLLBACK TO|DECLARE|TO|IN|VALUES|ARRAY|ORDER BY|SET|CAST|AS|a|\"q\"|1|-|\\+|=|'x'|\\$1|::int|::numeric\\(1,2\\)|\\(|\\)|\\[|\\]|,|;|/\\*x\\*/) ?){0,40}"
        ) {
            let once = normalize(&sql).text;
            prop_assert_eq!(normalize(&once).text, once);
        }

        #[test]
        fn any_text_is_normalized(sql in ".*") {
            normalize(&sql);
        }
    }
}
