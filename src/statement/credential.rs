//! Statements that speak of passwords, keys and connections: their literals are kept by nobody, whatever the configuration says.
//!
//! Any text of a log record comes in. It is better to be wrong about a harmless statement than about a password, so words are looked for
//! anywhere in the text, in literals and names alike.

use super::lexer::{TokenKind, tokens};

/// What a text with a password, a key or a connection string has in it, in lower case.
const WORDS: [&str; 13] = [
    "passw",
    "pwd",
    "passphrase",
    "secret",
    "token",
    "credential",
    "api_key",
    "apikey",
    "api-key",
    "private_key",
    "private key",
    "authorization",
    "bearer",
];

/// Whether `text`, a statement or its parameters, may hold a password, a key or a connection string.
pub fn mentions_credentials(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    WORDS.iter().any(|word| lower.contains(word))
        || has_user_information(&lower)
        || is_about_connections(text)
}

/// `scheme://user:password@host` (RFC 3986, 3.2.1)
fn has_user_information(text: &str) -> bool {
    text.split("://").skip(1).any(|rest| {
        let authority = rest
            .split(['/', ' ', '\n', '?', '#'])
            .next()
            .unwrap_or_default();
        authority
            .split_once('@')
            .is_some_and(|(user, _)| user.contains(':'))
    })
}

/// Statements that create or alter roles, servers, user mappings and subscriptions, and those that run a program.
fn is_about_connections(sql: &str) -> bool {
    let mut defines = false;
    tokens(sql)
        .filter(|token| token.kind == TokenKind::Word)
        .any(|token| {
            let word = token.text.to_ascii_lowercase();
            defines |= ["alter", "create", "copy"].contains(&word.as_str());
            defines
                && [
                    "role",
                    "user",
                    "group",
                    "mapping",
                    "server",
                    "subscription",
                    "connection",
                    "program",
                ]
                .contains(&word.as_str())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_noticed_wherever_they_stand() {
        for text in [
            "ALTER ROLE a PASSWORD 'x'",
            "DO $$ BEGIN EXECUTE format('alter role %I password %L', 'a', 'x'); END $$",
            "CREATE SUBSCRIPTION s CONNECTION 'host=h' PUBLICATION p",
            "select 1; ALTER SERVER s OPTIONS (SET host 'x')",
            "CREATE USER MAPPING FOR u SERVER s OPTIONS (user 'x')",
            "COPY t FROM PROGRAM 'curl http://x'",
            "SELECT dblink('host=h user=u passwd=x', 'select 1')",
            "SELECT 'postgres://u:x@h/db'",
            "UPDATE users SET Password_Hash = 'x'",
            "$1 = 'Bearer x'",
        ] {
            assert!(mentions_credentials(text), "{text}");
        }
        for text in [
            "SELECT * FROM orders WHERE email = 'a@b.example'",
            "SELECT 'http://example.org/a:b@c', role FROM t",
            "CREATE TABLE t (a int)",
            "COPY t TO STDOUT",
        ] {
            assert!(!mentions_credentials(text), "{text}");
        }
    }
}
