//! From the text of a URL to a [`PostgresUrl`], or to what is wrong with it.
//!
//! Text comes in, as libpq defines connection URIs (manual, section "Connection Strings" of libpq). User and host must be given: a service
//! has no login whose name could stand for them. No error shows the password, nor any part of the text that might be one.

use std::{path::PathBuf, str::FromStr, time::Duration};

use super::url::{
    APPLICATION_NAME, CONNECT_TIMEOUT, ClientCertificate, Endpoint, Host, Password, PostgresUrl,
    Roots, SSL_MODES, SslMode,
};

/// Where no port is given.
const PORT: u16 = 5432;

/// What is wrong with a URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    #[error("the store URL does not begin with postgres:// or postgresql://")]
    Scheme,
    #[error(
        "the store URL has an @ after its first / or ?: write / ? # and @ in a password as %2F %3F %23 and %40"
    )]
    Reserved,
    #[error(
        "the store URL has % without two hexadecimal digits after it in its {part}: write % as %25"
    )]
    Encoding { part: &'static str },
    #[error("the store URL has a zero byte in its {part}, which PostgreSQL does not accept")]
    Zero { part: &'static str },
    #[error(
        "the store URL names no host: write postgres://USER@HOST/DATABASE, or ?host=/var/run/postgresql for a local socket"
    )]
    NoHost,
    #[error("the store URL names no user: write postgres://USER@HOST/DATABASE")]
    NoUser,
    #[error("a host of the store URL begins with [ and has no ] after it, as in [::1]:5432")]
    Bracket,
    #[error("a port of the store URL is not a number from 1 to 65535")]
    Port,
    #[error("the store URL has {ports} ports for {hosts} hosts: give one for all or one for each")]
    Ports { ports: usize, hosts: usize },
    #[error("the store URL has a parameter without = and a value")]
    NoValue,
    #[error("the store URL has the parameter {name} twice")]
    Twice { name: &'static str },
    #[error("the store URL has a parameter that plantail does not know; it knows {}", PARAMETERS.join(", "))]
    Unknown,
    #[error("{name}={value} of the store URL is none of {expected}")]
    Value {
        name: &'static str,
        value: String,
        expected: &'static str,
    },
    #[error(
        "sslmode=verify-ca of the store URL needs sslrootcert=FILE, the certificate of the authority that signed the server's: any server \
             has a certificate from an authority that this machine trusts. Without such a file use sslmode=verify-full"
    )]
    WeakRoots,
    #[error("sslcert and sslkey of the store URL belong together, and one is missing")]
    HalfCertificate,
}

const PARAMETERS: [&str; 14] = [
    "application_name",
    "connect_timeout",
    "dbname",
    "host",
    "options",
    "passfile",
    "password",
    "port",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "target_session_attrs",
    "user",
];

/// The values of the query's parameters, in the order of [`PARAMETERS`].
struct Parameters([Option<String>; PARAMETERS.len()]);

impl Parameters {
    fn parse(query: &str) -> Result<Self, UrlError> {
        let mut found = Self(Default::default());
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            let (name, value) = parameter.split_once('=').ok_or(UrlError::NoValue)?;
            let (known, place) = PARAMETERS
                .iter()
                .zip(&mut found.0)
                .find(|(known, _)| **known == name)
                .ok_or(UrlError::Unknown)?;
            if place.replace(decode(known, value)?).is_some() {
                return Err(UrlError::Twice { name: known });
            }
        }
        Ok(found)
    }

    fn take(&mut self, name: &str) -> Option<String> {
        let mut places = PARAMETERS.iter().zip(&mut self.0);
        places.find(|(known, _)| **known == name)?.1.take()
    }
}

impl FromStr for PostgresUrl {
    type Err = UrlError;

    fn from_str(url: &str) -> Result<Self, UrlError> {
        let rest = url
            .strip_prefix("postgres://")
            .or_else(|| url.strip_prefix("postgresql://"))
            .ok_or(UrlError::Scheme)?;
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if path.contains('@') {
            return Err(UrlError::Reserved);
        }
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let mut parameters = Parameters::parse(query)?;
        let (login, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (user, password) = match login.split_once(':') {
            Some((user, password)) => (user, Some(decode("password", password)?)),
            None => (login, None),
        };
        let user = parameters
            .take("user")
            .map_or_else(|| decode("user", user), Ok)?;
        if user.is_empty() {
            return Err(UrlError::NoUser);
        }
        let database = match parameters.take("dbname") {
            Some(name) => name,
            None => decode("database", path.strip_prefix('/').unwrap_or(path))?,
        };
        let roots = parameters
            .take("sslrootcert")
            .map(|file| match file.as_str() {
                "system" => Roots::System,
                _ => Roots::File(PathBuf::from(file)),
            });
        let ssl_mode = ssl_mode(parameters.take("sslmode"), roots.as_ref())?;
        Ok(Self {
            endpoints: endpoints(hosts, parameters.take("host"), parameters.take("port"))?,
            database: if database.is_empty() {
                user.clone()
            } else {
                database
            },
            user,
            password: parameters
                .take("password")
                .or(password)
                .filter(|password| !password.is_empty())
                .map(|password| Password(password.into())),
            passfile: parameters.take("passfile").map(PathBuf::from),
            ssl_mode,
            roots,
            client_certificate: match (parameters.take("sslcert"), parameters.take("sslkey")) {
                (Some(certificate), Some(key)) => Some(ClientCertificate {
                    certificate: PathBuf::from(certificate),
                    key: PathBuf::from(key),
                }),
                (None, None) => None,
                _ => return Err(UrlError::HalfCertificate),
            },
            application_name: parameters
                .take("application_name")
                .unwrap_or_else(|| APPLICATION_NAME.to_owned()),
            connect_timeout: parameters
                .take("connect_timeout")
                .map_or(Ok(CONNECT_TIMEOUT), connect_timeout)?,
            options: parameters.take("options"),
            read_write: match parameters.take("target_session_attrs").as_deref() {
                None => None,
                Some("any") => Some(false),
                Some("read-write" | "primary") => Some(true),
                Some(other) => {
                    return Err(UrlError::Value {
                        name: "target_session_attrs",
                        value: other.to_owned(),
                        expected: "any, read-write, primary",
                    });
                }
            },
        })
    }
}

fn ssl_mode(value: Option<String>, roots: Option<&Roots>) -> Result<Option<SslMode>, UrlError> {
    let mode = value
        .map(|value| {
            SSL_MODES
                .iter()
                .find(|(_, name)| *name == value)
                .map(|(mode, _)| *mode)
                .ok_or(UrlError::Value {
                    name: "sslmode",
                    value,
                    expected: "disable, prefer, require, verify-ca, verify-full",
                })
        })
        .transpose()?;
    match (mode, roots) {
        (Some(SslMode::VerifyCa), None | Some(Roots::System))
        | (Some(SslMode::Require), Some(Roots::System)) => Err(UrlError::WeakRoots),
        _ => Ok(mode),
    }
}

fn connect_timeout(value: String) -> Result<Duration, UrlError> {
    match value.parse() {
        Ok(seconds @ 1..=600) => Ok(Duration::from_secs(seconds)),
        _ => Err(UrlError::Value {
            name: "connect_timeout",
            value,
            expected: "1 to 600 seconds",
        }),
    }
}

/// Hosts and ports of the parameters go before those of the authority.
fn endpoints(
    authority: &str,
    hosts: Option<String>,
    ports: Option<String>,
) -> Result<Vec<Endpoint>, UrlError> {
    let mut written: Vec<(String, Option<u16>)> = Vec::new();
    match hosts {
        Some(hosts) => written.extend(hosts.split(',').map(|host| (host.to_owned(), None))),
        None => {
            for place in authority.split(',') {
                let (host, port) = match place.strip_prefix('[') {
                    Some(rest) => {
                        let (host, after) = rest.split_once(']').ok_or(UrlError::Bracket)?;
                        (host, after.strip_prefix(':').unwrap_or(after))
                    }
                    None => place.split_once(':').unwrap_or((place, "")),
                };
                written.push((decode("host", host)?, port_number(port)?));
            }
        }
    }
    let ports: Vec<Option<u16>> = match ports {
        Some(ports) => ports
            .split(',')
            .map(port_number)
            .collect::<Result<_, _>>()?,
        None => Vec::new(),
    };
    if ports.len() > 1 && ports.len() != written.len() {
        return Err(UrlError::Ports {
            ports: ports.len(),
            hosts: written.len(),
        });
    }
    written
        .into_iter()
        .enumerate()
        .map(|(at, (host, port))| {
            if host.is_empty() {
                return Err(UrlError::NoHost);
            }
            Ok(Endpoint {
                host: if host.starts_with('/') {
                    Host::Socket(PathBuf::from(host))
                } else {
                    Host::Tcp(host)
                },
                port: ports
                    .get(at)
                    .or(ports.first())
                    .copied()
                    .flatten()
                    .or(port)
                    .unwrap_or(PORT),
            })
        })
        .collect()
}

/// What stands in the place of a port may be a password that lost its host: it is not shown.
fn port_number(text: &str) -> Result<Option<u16>, UrlError> {
    match text.parse() {
        _ if text.is_empty() => Ok(None),
        Ok(0) | Err(_) => Err(UrlError::Port),
        Ok(port) => Ok(Some(port)),
    }
}

/// RFC 3986, section 2.1; `+` is no space, as in libpq.
fn decode(part: &'static str, text: &str) -> Result<String, UrlError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut pieces = text.split('%');
    bytes.extend_from_slice(pieces.next().unwrap_or_default().as_bytes());
    for piece in pieces {
        let (digits, rest) = piece
            .as_bytes()
            .split_at_checked(2)
            .ok_or(UrlError::Encoding { part })?;
        let digit = |at: usize| digits.get(at).and_then(|c| char::from(*c).to_digit(16));
        let (Some(high), Some(low)) = (digit(0), digit(1)) else {
            return Err(UrlError::Encoding { part });
        };
        bytes.push(u8::try_from(high * 16 + low).expect("two hexadecimal digits are a byte"));
        bytes.extend_from_slice(rest);
    }
    if bytes.contains(&0) {
        return Err(UrlError::Zero { part });
    }
    String::from_utf8(bytes).map_err(|_| UrlError::Encoding { part })
}
