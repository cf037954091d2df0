//! Where a password comes from that the store URL doesn't have: `PGPASSWORD`, then a password file, as libpq has it (manual, "The Password
//! File").
//!
//! The URL and one of its servers come in, the password goes out. The file is read at every connect, so that a password that was changed
//! is found without a restart. A file that others may read is not used, with a warning, and neither is one that cannot be read.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::Read,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use secrecy::SecretString;

use super::url::{Endpoint, Host, PostgresUrl};

/// Folders that the password file calls `localhost`: the default one of the PostgreSQL project and that of Linux distributions.
const DEFAULT_SOCKETS: [&str; 3] = ["/tmp", "/var/run/postgresql", "/run/postgresql"];

/// More is no password file.
const LONGEST_FILE_BYTES: u64 = 1 << 20;

/// The password for one server of the URL; `variable` reads the environment.
pub(super) fn password(
    url: &PostgresUrl,
    endpoint: &Endpoint,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Option<SecretString> {
    if let Some(password) = &url.password {
        return Some(password.0.clone());
    }
    let set = |name| variable(name).filter(|value| !value.is_empty());
    if let Some(password) = set("PGPASSWORD").and_then(|value| value.into_string().ok()) {
        return Some(password.into());
    }
    let path = url
        .passfile
        .clone()
        .or_else(|| set("PGPASSFILE").map(PathBuf::from))
        .or_else(|| set("HOME").map(|home| Path::new(&home).join(".pgpass")))?;
    find(&read(&path)?, url, endpoint)
}

fn read(path: &Path) -> Option<String> {
    let unusable = |reason: &str| {
        tracing::warn!("the password file {} is not used: {reason}", path.display());
        None
    };
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        // Whoever needs no password has no file.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        Err(error) => return unusable(&error.to_string()),
    };
    if !metadata.is_file() {
        return unusable("it is no plain file");
    }
    if metadata.mode() & 0o077 != 0 {
        return unusable("others than its owner may read it; chmod 600 it");
    }
    let mut text = String::new();
    let read =
        File::open(path).and_then(|file| file.take(LONGEST_FILE_BYTES).read_to_string(&mut text));
    match read {
        Ok(_) => Some(text),
        Err(error) => unusable(&error.to_string()),
    }
}

/// The password of the first line that fits: `host:port:database:user:password`, `*` for any, `\` before a `:` or `\`.
fn find(text: &str, url: &PostgresUrl, endpoint: &Endpoint) -> Option<SecretString> {
    let host = match &endpoint.host {
        Host::Tcp(name) => name.clone(),
        Host::Socket(folder) => match folder.to_str()? {
            folder if DEFAULT_SOCKETS.contains(&folder) => "localhost".to_owned(),
            folder => folder.to_owned(),
        },
    };
    let wanted = [
        host,
        endpoint.port.to_string(),
        url.database.clone(),
        url.user.clone(),
    ];
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .find_map(|line| {
            let mut rest = line;
            for value in &wanted {
                let (field, after) = field(rest)?;
                if rest.split(':').next() != Some("*") && field != *value {
                    return None;
                }
                rest = after;
            }
            let (password, _) = field(rest).unwrap_or_else(|| (unescape(rest), ""));
            Some(password.into())
        })
}

/// One field and what comes after its colon; `None` without a colon.
fn field(text: &str) -> Option<(String, &str)> {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            ':' if !escaped => {
                let (field, after) = text.split_at(at);
                return Some((unescape(field), after.strip_prefix(':').unwrap_or(after)));
            }
            c => escaped = c == '\\' && !escaped,
        }
    }
    None
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        out.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    out
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use std::os::unix::fs::PermissionsExt;

    use secrecy::ExposeSecret;

    use super::*;

    const FILE: &str = "# db:5432:plantail:me:comment\n\
        db:5432:plantail:you:1\n\
        db:5433:plantail:me:2\r\n\
        \\:\\:1:5432:*:me:a\\:b\\\\c\n\
        localhost:5432:plantail:me:socket\n\
        /srv/pg:5432:plantail:me:other socket\n\
        short:5432\n\
        db:*:*:me:3:and more\n\
        db:*:*:me:never reached\n";

    fn check(url: &str, expected: Option<&str>) {
        let url: PostgresUrl = url.parse().unwrap();
        let found = find(FILE, &url, url.endpoints.first().unwrap());
        let found = found.map(|password| password.expose_secret().to_owned());
        assert_eq!(found.as_deref(), expected);
    }

    #[test]
    fn the_first_line_that_fits_has_the_password() {
        check("postgres://me@db:5433/plantail", Some("2"));
        check("postgres://me@db/plantail", Some("3"));
        check("postgres://you@db/plantail", Some("1"));
        check("postgres://she@db/plantail", None);
        check("postgres://me@[::1]/x", Some("a:b\\c"));
        check(
            "postgres://me@/plantail?host=/var/run/postgresql",
            Some("socket"),
        );
        check("postgres://me@/plantail?host=/srv/pg", Some("other socket"));
        check("postgres://me@short/x", None);
    }

    #[test]
    fn url_then_environment_then_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(".pgpass");
        fs::write(&file, "*:*:*:*:from the file\n").unwrap();
        let mode = |mode| fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        mode(0o600);
        let found = |url: &str, variables: &[(&str, &str)]| {
            let url: PostgresUrl = url.parse().unwrap();
            let variable = |name: &str| {
                let found = variables.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| OsString::from(value))
            };
            password(&url, url.endpoints.first().unwrap(), variable)
                .map(|password| password.expose_secret().to_owned())
        };
        let home = ("HOME", folder.path().to_str().unwrap());
        let named = ("PGPASSFILE", "/does/not/exist");
        let given = ("PGPASSWORD", "given");
        assert_eq!(
            found("postgres://me:url@db", &[home, given]).as_deref(),
            Some("url")
        );
        assert_eq!(
            found("postgres://me@db", &[home, given]).as_deref(),
            Some("given")
        );
        assert_eq!(
            found("postgres://me@db", &[home]).as_deref(),
            Some("from the file")
        );
        assert_eq!(found("postgres://me@db", &[home, named]), None);
        let url = format!("postgres://me@db?passfile={}", file.display());
        assert_eq!(found(&url, &[named]).as_deref(), Some("from the file"));
        mode(0o640);
        assert_eq!(found("postgres://me@db", &[home]), None);
    }
}
