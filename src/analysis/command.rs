//! Which statements the executor plans, told from the first words of a normalized text: auto_explain logs plans of these only, and only these are
//! of any use to a model.

/// Whether `normalized_sql` is a statement that auto_explain can log a plan of. CREATE TABLE AS and EXECUTE have one too; they count as utility
/// statements here, since their text isn't the text of what is planned.
pub fn has_plan(normalized_sql: &str) -> bool {
    let text = normalized_sql.trim_start_matches(|c: char| c == '(' || c.is_whitespace());
    let end = text
        .find(|c: char| !c.is_ascii_alphabetic())
        .unwrap_or(text.len());
    let (word, _) = text.split_at(end);
    [
        "select", "insert", "update", "delete", "merge", "with", "values", "table",
    ]
    .iter()
    .any(|command| command.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planned_statements_are_told_from_utility_statements() {
        for (sql, expected) in [
            ("select $1", true),
            ("((select $1) union select $2)", true),
            ("WITH x as (select $1) table x", true),
            ("merge into t using s on t.a = s.a", true),
            ("alter role x password $1", false),
            ("selection", false),
            ("vacuum full t", false),
            ("", false),
        ] {
            assert_eq!(has_plan(sql), expected, "{sql}");
        }
    }
}
