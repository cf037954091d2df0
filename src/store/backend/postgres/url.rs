//! The address of a store in PostgreSQL: `postgres://USER[:PASSWORD]@HOST[:PORT][,…][/DATABASE][?PARAMETER=VALUE&…]`.
//!
//! What is in a [`PostgresUrl`] has been checked by `url_parser`: at least one host, ports that are ports, files named where a mode needs
//! them. Here is what that means for a connection, and how it is shown: never with the password.

use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use secrecy::{ExposeSecret, SecretString};

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Host {
    Tcp(String),
    /// Directory of a Unix-domain socket.
    Socket(PathBuf),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub(super) host: Host,
    pub(super) port: u16,
}

impl Endpoint {
    /// Whether the bytes stay on this machine.
    fn is_local(&self) -> bool {
        match &self.host {
            Host::Socket(_) => true,
            Host::Tcp(name) => {
                name == "localhost"
                    || name
                        .parse::<std::net::IpAddr>()
                        .is_ok_and(|address| address.is_loopback())
            }
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Tcp(name) if name.contains(':') => write!(f, "[{name}]:{}", self.port),
            Host::Tcp(name) => write!(f, "{name}:{}", self.port),
            Host::Socket(folder) => write!(f, "{}/.s.PGSQL.{}", folder.display(), self.port),
        }
    }
}

/// `sslmode`, as libpq documents it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SslMode {
    /// No encryption.
    Disable,
    /// Encryption where the server offers it; no certificate is checked.
    Prefer,
    /// Encryption; no certificate is checked.
    Require,
    /// The server's certificate must come from the authority of `sslrootcert`.
    VerifyCa,
    /// The same, and it must be for the host of the URL.
    VerifyFull,
}

pub(super) const SSL_MODES: [(SslMode, &str); 5] = [
    (SslMode::Disable, "disable"),
    (SslMode::Prefer, "prefer"),
    (SslMode::Require, "require"),
    (SslMode::VerifyCa, "verify-ca"),
    (SslMode::VerifyFull, "verify-full"),
];

/// `sslrootcert`: who may have signed the server's certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Roots {
    /// The authorities that this machine trusts.
    System,
    /// Those in a PEM file.
    File(PathBuf),
}

/// A password that is shown nowhere.
#[derive(Debug, Clone)]
pub(super) struct Password(pub(super) SecretString);

impl PartialEq for Password {
    fn eq(&self, other: &Self) -> bool {
        self.0.expose_secret() == other.0.expose_secret()
    }
}

impl Eq for Password {}

/// `sslcert` and `sslkey`: PEM files by which the client shows who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ClientCertificate {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

/// Address of a store in PostgreSQL, checked. Its `Display` is a URL without the password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresUrl {
    /// Tried in this order; at least one.
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) user: String,
    pub(super) password: Option<Password>,
    pub(super) passfile: Option<PathBuf>,
    pub(super) database: String,
    pub(super) ssl_mode: Option<SslMode>,
    pub(super) roots: Option<Roots>,
    pub(super) client_certificate: Option<ClientCertificate>,
    pub(super) application_name: String,
    /// For one server, from the look-up of its name to the end of authentication.
    pub(super) connect_timeout: Duration,
    pub(super) options: Option<String>,
    /// `target_session_attrs=read-write`: servers that don't accept writes are passed over.
    pub(super) read_write: Option<bool>,
}

pub(super) const APPLICATION_NAME: &str = "plantail";
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

impl PostgresUrl {
    /// Without `sslmode` in the URL: nothing but a checked certificate will do for another machine, and on this one what libpq does.
    pub(super) fn ssl_mode(&self, endpoint: &Endpoint) -> SslMode {
        match (self.ssl_mode, &endpoint.host) {
            (_, Host::Socket(_)) => SslMode::Disable,
            // As in libpq, for whoever names an authority wants it to be asked.
            (Some(SslMode::Require), _) if self.roots.is_some() => SslMode::VerifyCa,
            (Some(mode), _) => mode,
            (None, _) if self.roots.is_some() || !endpoint.is_local() => SslMode::VerifyFull,
            (None, _) => SslMode::Prefer,
        }
    }

    pub(super) fn roots(&self) -> &Roots {
        self.roots.as_ref().unwrap_or(&Roots::System)
    }

    /// Whether a server must accept writes to be taken. Of several servers one usually is the primary and the others are standbys.
    pub(super) fn wants_primary(&self, writes: bool) -> bool {
        self.read_write
            .unwrap_or(writes && self.endpoints.len() > 1)
    }
}

/// Percent-encodes whatever has a meaning in a URL.
struct Encoded<'a>(&'a str);

impl fmt::Display for Encoded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.bytes().try_for_each(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                write!(f, "{}", char::from(byte))
            }
            _ => write!(f, "%{byte:02X}"),
        })
    }
}

impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "postgres://{}@",
            Encoded(&self.user).to_string().replace('/', "%2F")
        )?;
        let sockets = self
            .endpoints
            .iter()
            .any(|endpoint| matches!(endpoint.host, Host::Socket(_)));
        if !sockets {
            let places: Vec<_> = self.endpoints.iter().map(Endpoint::to_string).collect();
            f.write_str(&places.join(","))?;
        }
        write!(f, "/{}", Encoded(&self.database))?;
        let mut separator = '?';
        let mut parameter = |name: &str, value: &str| {
            let written = write!(f, "{separator}{name}={}", Encoded(value));
            separator = '&';
            written
        };
        if sockets {
            let list = |of: fn(&Endpoint) -> String| {
                self.endpoints.iter().map(of).collect::<Vec<_>>().join(",")
            };
            let hosts = list(|endpoint| match &endpoint.host {
                Host::Tcp(name) => name.clone(),
                Host::Socket(folder) => folder.display().to_string(),
            });
            parameter("host", &hosts)?;
            parameter("port", &list(|endpoint| endpoint.port.to_string()))?;
        }
        if let Some(mode) = self.ssl_mode
            && let Some((_, name)) = SSL_MODES.iter().find(|(known, _)| *known == mode)
        {
            parameter("sslmode", name)?;
        }
        let file = |path: &Path| path.display().to_string();
        match &self.roots {
            Some(Roots::System) => parameter("sslrootcert", "system")?,
            Some(Roots::File(path)) => parameter("sslrootcert", &file(path))?,
            None => {}
        }
        if let Some(client) = &self.client_certificate {
            parameter("sslcert", &file(&client.certificate))?;
            parameter("sslkey", &file(&client.key))?;
        }
        if let Some(path) = &self.passfile {
            parameter("passfile", &file(path))?;
        }
        if self.application_name != APPLICATION_NAME {
            parameter("application_name", &self.application_name)?;
        }
        if self.connect_timeout != CONNECT_TIMEOUT {
            parameter(
                "connect_timeout",
                &self.connect_timeout.as_secs().to_string(),
            )?;
        }
        if let Some(options) = &self.options {
            parameter("options", options)?;
        }
        match self.read_write {
            None => Ok(()),
            Some(read_write) => parameter(
                "target_session_attrs",
                if read_write { "read-write" } else { "any" },
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::{super::url_parser::UrlError, *};

    fn shown(url: &str) -> Result<String, String> {
        let url: PostgresUrl = url.parse().map_err(|error: UrlError| error.to_string())?;
        Ok(url.to_string())
    }

    /// What a URL comes out as; that must mean the same, but for the password.
    fn check(url: &str, expected: &str) {
        assert_eq!(shown(url).as_deref(), Ok(expected), "{url}");
        let again: PostgresUrl = expected.parse().unwrap();
        let first: PostgresUrl = url.parse().unwrap();
        assert_eq!(
            again,
            PostgresUrl {
                password: None,
                ..first
            }
        );
    }

    #[test]
    fn urls_are_shown_in_full_and_without_their_password() {
        check(
            "postgres://me:secret@db/plantail",
            "postgres://me@db:5432/plantail",
        );
        check("postgresql://me@db", "postgres://me@db:5432/me");
        check(
            "postgres://a%40b:s%2Fe%3Ac@10.0.0.1:5433,[::1],db.example.:1/x%20y",
            "postgres://a%40b@10.0.0.1:5433,[::1]:5432,db.example.:1/x%20y",
        );
        check("postgres://me:a@b@db/x", "postgres://me@db:5432/x");
        check(
            "postgres:///x?user=me&password=secret&host=/var/run/postgresql",
            "postgres://me@/x?host=/var/run/postgresql&port=5432",
        );
        check(
            "postgres://me@%2Ftmp:5433/x",
            "postgres://me@/x?host=/tmp&port=5433",
        );
        check(
            "postgres://me@ignored/x?host=a,b&port=5433,5434&target_session_attrs=primary",
            "postgres://me@a:5433,b:5434/x?target_session_attrs=read-write",
        );
        check("postgres://me@a,b/x?port=7", "postgres://me@a:7,b:7/x");
        let full = "postgres://me@db:5432/x?sslmode=verify-full&sslrootcert=/etc/ca.pem&sslcert=/etc/me.pem&sslkey=/etc/me.key\
                    &passfile=/etc/pgpass&application_name=other&connect_timeout=3&options=-c%20search_path%3Dapp\
                    &target_session_attrs=any";
        check(full, full);
    }

    fn refused(url: &str, expected: &UrlError) {
        let error = url.parse::<PostgresUrl>().unwrap_err();
        assert_eq!(&error, expected, "{url}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }

    #[test]
    fn wrong_urls_are_refused_without_showing_what_may_be_a_password() {
        refused("mysql://me:secret@db/x", &UrlError::Scheme);
        refused("postgres://me:secret/1@db/x", &UrlError::Reserved);
        refused("postgres://me:secret?1@db/x", &UrlError::Reserved);
        refused("postgres://me:secret#1@db/x", &UrlError::Reserved);
        refused(
            "postgres://me:secret%@db/x",
            &UrlError::Encoding { part: "password" },
        );
        refused(
            "postgres://me:secret%é@db/x",
            &UrlError::Encoding { part: "password" },
        );
        refused(
            "postgres://me:secret%ff@db/x",
            &UrlError::Encoding { part: "password" },
        );
        refused(
            "postgres://me:secret%00@db/x",
            &UrlError::Zero { part: "password" },
        );
        refused("postgres://me:secret", &UrlError::NoUser);
        refused("postgres://x@me:secret", &UrlError::Port);
        refused("postgres://x@db:0/x", &UrlError::Port);
        refused("postgres://x@[::1/x", &UrlError::Bracket);
        refused("postgres://me:secret@/x", &UrlError::NoHost);
        refused("postgres://me@db,/x", &UrlError::NoHost);
        refused("postgres://db/x", &UrlError::NoUser);
        refused("postgres://me@db/x?secret", &UrlError::NoValue);
        refused("postgres://me@db/x?secret=1", &UrlError::Unknown);
        refused(
            "postgres://me@db/x?user=a&user=b",
            &UrlError::Twice { name: "user" },
        );
        refused(
            "postgres://me@a,b/x?port=1,2,3",
            &UrlError::Ports { ports: 3, hosts: 2 },
        );
        refused(
            "postgres://me@db/x?sslmode=verify",
            &UrlError::Value {
                name: "sslmode",
                value: "verify".to_owned(),
                expected: "disable, prefer, require, verify-ca, verify-full",
            },
        );
        refused(
            "postgres://me@db/x?connect_timeout=0",
            &UrlError::Value {
                name: "connect_timeout",
                value: "0".to_owned(),
                expected: "1 to 600 seconds",
            },
        );
        refused("postgres://me@db/x?sslmode=verify-ca", &UrlError::WeakRoots);
        refused(
            "postgres://me@db/x?sslmode=require&sslrootcert=system",
            &UrlError::WeakRoots,
        );
        refused("postgres://me@db/x?sslcert=/a", &UrlError::HalfCertificate);
    }

    #[test]
    fn debug_output_hides_the_password() {
        let url: PostgresUrl = "postgres://me:secret@db/x".parse().unwrap();
        assert!(!format!("{url:?}").contains("secret"));
    }

    fn mode(url: &str, expected: SslMode) {
        let url: PostgresUrl = url.parse().unwrap();
        assert_eq!(
            url.ssl_mode(url.endpoints.first().unwrap()),
            expected,
            "{url}"
        );
    }

    #[test]
    fn without_a_mode_other_machines_must_show_a_certificate() {
        mode("postgres://me@db/x", SslMode::VerifyFull);
        mode("postgres://me@10.0.0.1/x", SslMode::VerifyFull);
        mode("postgres://me@localhost/x", SslMode::Prefer);
        mode("postgres://me@127.0.0.2/x", SslMode::Prefer);
        mode("postgres://me@[::1]/x", SslMode::Prefer);
        mode(
            "postgres://me@localhost/x?sslrootcert=/ca",
            SslMode::VerifyFull,
        );
        mode(
            "postgres://me@/x?host=/tmp&sslmode=require",
            SslMode::Disable,
        );
        mode("postgres://me@db/x?sslmode=require", SslMode::Require);
        mode(
            "postgres://me@db/x?sslmode=require&sslrootcert=/ca",
            SslMode::VerifyCa,
        );
    }

    #[test]
    fn of_several_servers_a_writer_takes_the_one_that_accepts_writes() {
        let wants = |url: &str, writes| url.parse::<PostgresUrl>().unwrap().wants_primary(writes);
        assert!(wants("postgres://me@a,b/x", true));
        assert!(!wants("postgres://me@a,b/x", false));
        assert!(!wants("postgres://me@a/x", true));
        assert!(!wants("postgres://me@a,b/x?target_session_attrs=any", true));
        assert!(wants(
            "postgres://me@a/x?target_session_attrs=read-write",
            false
        ));
    }
}
