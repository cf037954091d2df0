//! Names that are no names: people put keys, addresses and card numbers into quoted identifiers, and those would leave the house with the plan.

/// How keys and tokens of common services begin.
const KEY_PREFIXES: [&str; 9] = [
    "AKIA",
    "ASIA",
    "AIza",
    "eyJ",
    "ghp_",
    "gho_",
    "sk-",
    "xox",
    "-----BEGIN",
];

/// Whether `name` looks like an address, a key, a token or a long number rather than like the name of a table or column.
pub(super) fn looks_secret(name: &str) -> bool {
    let key = KEY_PREFIXES.iter().any(|prefix| {
        name.split(|c: char| c.is_whitespace() || ['=', ':', '\'', '"'].contains(&c))
            .any(|word| word.starts_with(prefix) && word.len() >= prefix.len() + 8)
    });
    let longest = |belongs: fn(char) -> bool| {
        name.split(|c| !belongs(c))
            .max_by_key(|run| run.len())
            .unwrap_or_default()
    };
    let digits = name.chars().filter(char::is_ascii_digit).count();
    // A date and time in a partition's name has 14 digits, with words around it.
    let number = digits >= 12
        && name
            .chars()
            .all(|c| c.is_ascii_digit() || [' ', '-'].contains(&c));
    let run = longest(|c| c.is_ascii_alphanumeric());
    let count = |of: fn(&char) -> bool| run.chars().filter(of).count();
    let random = run.len() >= 20
        && count(char::is_ascii_uppercase) >= 3
        && count(char::is_ascii_lowercase) >= 3
        && count(char::is_ascii_digit) >= 3;
    name.contains('@') || key || number || random
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_told_from_names() {
        for (name, expected) in [
            ("orders", false),
            ("orders_2024_01_31_235959", false),
            ("CustomerAccountAddresses", false),
            ("idx_0f3a9c1b7d2e4f5a6b7c", false),
            ("task-list", false),
            ("ann@example.org", true),
            ("4111 1111 1111 1111", true),
            ("AKIAIOSFODNN7EXAMPLE", true),
            ("eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9", true),
            ("key=sk-proj1234567890", true),
            ("wJalrXUtnFEMI7K7MDENG2bPxRfiCY", true),
        ] {
            assert_eq!(looks_secret(name), expected, "{name}");
        }
    }
}
