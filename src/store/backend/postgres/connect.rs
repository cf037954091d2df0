//! One connection: server after server of the URL until one takes us, TLS, password, version, settings of the session.
//!
//! URL and purpose come in, a [`Session`] goes out that is ready for statements, or the error that says which server refused and why.

use std::{error::Error as StdError, io, sync::Arc, time::Duration};

use diesel_async::{AsyncPgConnection, SimpleAsyncConnection};
use rustls::CertificateError;
use secrecy::ExposeSecret;
use tokio::time::timeout;
use tokio_postgres::{
    Config,
    config::{SslMode as Encryption, TargetSessionAttrs},
    error::SqlState,
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{
    Access, Error, OLDEST_SERVER, PgConnection, Place, Session, passfile,
    runtime::{self, Bound},
    tls,
    url::{Endpoint, Host, PostgresUrl, SslMode},
};

/// A peer that has vanished without a word is given up 25 seconds after the last sign of it, whether we wait for its answer (keepalives) or
/// for it to take what we sent (TCP_USER_TIMEOUT).
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_RETRIES: u32 = 3;
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(25);

/// For every connection. Notices ("already exists, skipping") would go nowhere; compiling costs more than any of our statements takes.
const SHARED: &str = "SET client_min_messages = warning; SET jit = off;";
/// Batches take milliseconds. The timeouts end what hangs, so that a lost daemon's locks don't stop the next one. All of them, and [`ANSWER`], are
/// under the minute after which the service manager takes a daemon for dead that doesn't get on.
const WRITER: &str = "SET lock_timeout = '20s'; SET idle_in_transaction_session_timeout = '1min';";
/// One snapshot for all statements of a transaction, which is one document of the API.
const READER: &str = "SET default_transaction_read_only = on; SET default_transaction_isolation = 'repeatable read'; \
                      SET lock_timeout = '5s'; SET idle_in_transaction_session_timeout = '1min';";
/// How long the server lets a statement run, and how much longer its answer may take until the connection is given up.
const STATEMENT: Duration = Duration::from_secs(30);
const ANSWER: Duration = Duration::from_secs(10);

/// Connects to the first server of the URL that takes us. Waits; must not be called from a thread that runs asynchronous tasks.
///
/// # Errors
///
/// A server that cannot be reached or takes nobody now is passed over for the next, any other refusal is final.
pub(in crate::store) fn connect(url: &PostgresUrl, access: Access) -> Result<Session, Error> {
    let runtime = runtime::start().map_err(Error::Runtime)?;
    let mut errors = Vec::new();
    for endpoint in &url.endpoints {
        let tls = tls::connector(url, url.ssl_mode(endpoint))?;
        let config = config(url, endpoint, access);
        let place = Place {
            server: endpoint.to_string(),
            database: url.database.clone(),
            user: url.user.clone(),
        };
        // Each address of the server has the time of the URL; all of it together with authentication twice that.
        let limit = 2 * url.connect_timeout;
        let opened = runtime.block_on(async {
            timeout(limit, open(&place, &config, tls, access))
                .await
                .unwrap_or_else(|_| {
                    Err(Error::NoAnswer {
                        place: place.clone(),
                        seconds: limit.as_secs(),
                    })
                })
        });
        match opened {
            Ok(session) => return Ok(session),
            Err(error) if error.is_transient() => errors.push(error),
            Err(error) => return Err(error),
        }
    }
    Err(match errors.pop() {
        Some(error) if errors.is_empty() => error,
        last => Error::NoneOf(errors.into_iter().chain(last).collect()),
    })
}

fn config(url: &PostgresUrl, endpoint: &Endpoint, access: Access) -> Config {
    let mut config = Config::new();
    config
        .user(&url.user)
        .dbname(&url.database)
        .application_name(&url.application_name)
        .port(endpoint.port)
        .connect_timeout(url.connect_timeout)
        .tcp_user_timeout(TCP_USER_TIMEOUT)
        .keepalives_idle(KEEPALIVE_IDLE)
        .keepalives_interval(KEEPALIVE_INTERVAL)
        .keepalives_retries(KEEPALIVE_RETRIES)
        // The verifier of `tls` is what tells the three modes with encryption apart.
        .ssl_mode(match url.ssl_mode(endpoint) {
            SslMode::Disable => Encryption::Disable,
            SslMode::Prefer => Encryption::Prefer,
            SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => Encryption::Require,
        });
    match &endpoint.host {
        Host::Tcp(name) => config.host(name),
        Host::Socket(folder) => config.host_path(folder),
    };
    if url.wants_primary(access == Access::Write) {
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
    }
    if let Some(options) = &url.options {
        config.options(options);
    }
    if let Some(password) = passfile::password(url, endpoint, |name| std::env::var_os(name)) {
        config.password(password.expose_secret());
    }
    config
}

async fn open(
    place: &Place,
    config: &Config,
    tls: MakeRustlsConnect,
    access: Access,
) -> Result<Session, Error> {
    let (client, connection) = config
        .connect(tls)
        .await
        .map_err(|error| refusal(place, error))?;
    let version = connection.parameter("server_version").unwrap_or_default();
    // "16.3 (Debian 16.3-1)", "13beta1"
    let major: String = version.chars().take_while(char::is_ascii_digit).collect();
    if major.parse().is_ok_and(|major: u32| major < OLDEST_SERVER) {
        return Err(Error::TooOld {
            place: place.clone(),
            version: version.to_owned(),
        });
    }
    let server = place.server.clone();
    let driver = tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(
                "the connection to {server} ended: {}",
                super::reason(&error)
            );
        }
    });
    let setup = |source: Box<dyn StdError + Send + Sync>| Error::Setup {
        place: place.clone(),
        source,
    };
    // This sets the time zone to UTC and the encoding to UTF-8.
    let mut connection = AsyncPgConnection::try_from(client)
        .await
        .map_err(|error| setup(Box::new(error)))?;
    let settings = match access {
        Access::Write => WRITER,
        Access::Read => READER,
    };
    let statement_ms = STATEMENT.as_millis();
    let settings = format!("{SHARED} SET statement_timeout = {statement_ms}; {settings}");
    SimpleAsyncConnection::batch_execute(&mut connection, &settings)
        .await
        .map_err(|error| setup(Box::new(error)))?;
    let bound = Bound::new(STATEMENT + ANSWER, driver.abort_handle(), &place.server);
    Ok(Session {
        connection: runtime::bounded(Arc::clone(&bound), || PgConnection::from(connection)),
        bound,
    })
}

/// What a failure to connect means.
fn refusal(place: &Place, source: tokio_postgres::Error) -> Error {
    let place = place.clone();
    if let Some(code) = source.code() {
        return match *code {
            SqlState::INVALID_PASSWORD => Error::Password { place, source },
            SqlState::INVALID_AUTHORIZATION_SPECIFICATION => Error::NotAllowed { place, source },
            SqlState::INVALID_CATALOG_NAME => Error::NoDatabase { place, source },
            SqlState::CANNOT_CONNECT_NOW
            | SqlState::TOO_MANY_CONNECTIONS
            | SqlState::ADMIN_SHUTDOWN
            | SqlState::CRASH_SHUTDOWN => Error::NotNow { place, source },
            _ => Error::Refused { place, source },
        };
    }
    match tls_error(&source) {
        Some(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {
            return Error::UnknownIssuer { place, source };
        }
        Some(rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) => return Error::WrongName { place, source },
        Some(_) => return Error::Tls { place, source },
        None => {}
    }
    // tokio-postgres doesn't say which of its kinds an error is.
    let kind = source.to_string();
    match (kind.as_str(), super::reason(&source).as_str()) {
        (_, "server does not support TLS") => Error::NoTls { place, source },
        (_, "database does not allow writes") => Error::ReadOnly { place, source },
        (_, "password missing") => Error::NoPassword { place, source },
        ("error performing TLS handshake", _) => Error::Tls { place, source },
        ("authentication error", _) => Error::NotAllowed { place, source },
        _ => Error::Unreachable { place, source },
    }
}

/// The error of rustls, which travels inside of one of input and output.
fn tls_error(error: &tokio_postgres::Error) -> Option<&rustls::Error> {
    let error: &io::Error = error.source()?.downcast_ref()?;
    error.get_ref()?.downcast_ref()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use diesel::{
        Connection, QueryResult, RunQueryDsl, connection::SimpleConnection, dsl::sql,
        sql_types::Text,
    };

    use super::{
        super::{Access, PgConnection},
        Duration, PostgresUrl, StdError, connect,
    };
    use crate::store::backend::postgres::fixture::{
        Database, PASSWORD, PASSWORD_ENCODED, Server, StandsStill,
    };

    fn shown(connection: &mut PgConnection, expression: &str) -> String {
        diesel::select(sql::<Text>(&format!("({expression})::text")))
            .get_result(connection)
            .unwrap()
    }

    const IS_TLS: &str = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";

    fn tls(url: &PostgresUrl) -> bool {
        let mut session = connect(url, Access::Read).unwrap();
        shown(&mut session, IS_TLS) == "true"
    }

    /// The error's message, which must not hold the password in any form.
    fn message(url: &PostgresUrl) -> String {
        let error = connect(url, Access::Read).err().unwrap();
        let seen = format!("{error} {error:?} {url} {url:?}");
        for password in [PASSWORD, PASSWORD_ENCODED, "hunter2"] {
            assert!(!seen.contains(password), "{seen}");
        }
        error.to_string()
    }

    #[test]
    fn certificates_are_checked_as_the_mode_says() {
        let Some(server) = Server::shared() else {
            return;
        };
        let login = format!("tcp:{PASSWORD_ENCODED}");
        let file = |name| server.file(name).display().to_string();
        let url = |mode: &str| server.tcp(&login, mode);
        let address = &server.address;

        assert!(!tls(&url("sslmode=disable")));
        assert!(tls(&url("sslmode=prefer")));
        assert!(tls(&url("sslmode=require")));
        let (ca, other) = (file("ca.crt"), file("other-ca.crt"));
        for mode in ["require", "verify-ca", "verify-full"] {
            assert!(
                tls(&url(&format!("sslmode={mode}&sslrootcert={ca}"))),
                "{mode}"
            );
            assert_eq!(
                message(&url(&format!("sslmode={mode}&sslrootcert={other}"))),
                format!(
                    "the certificate of database \"postgres\" on {address}:5432 comes from an authority that is not trusted: name that authority's \
                     certificate in the store URL with sslrootcert=FILE; sslmode=require would encrypt without any check"
                )
            );
        }
        assert!(message(&url("sslmode=verify-full")).contains("an authority that is not trusted"));

        // The server listens there too, and its certificate doesn't say so.
        let unnamed = &server.unnamed_address;
        let url = |mode: &str| -> PostgresUrl {
            let url = format!("postgres://{login}@{unnamed}/postgres?sslrootcert={ca}&{mode}");
            url.parse().unwrap()
        };
        assert!(tls(&url("sslmode=verify-ca")));
        for mode in ["sslmode=verify-full", ""] {
            let message = message(&url(mode));
            assert!(
                message.starts_with(&format!(
                    "the certificate of database \"postgres\" on {unnamed}:5432 is not for that host"
                )),
                "{message}"
            );
        }
        assert_eq!(
            message(&server.tcp(&login, &format!("sslrootcert={}", file("no.crt")))),
            format!(
                "cannot use sslrootcert {}: I/O error: No such file or directory (os error 2)",
                file("no.crt")
            )
        );
    }

    #[test]
    fn a_certificate_can_stand_for_a_password() {
        let Some(server) = Server::shared() else {
            return;
        };
        let file = |name| server.file(name).display().to_string();
        let (ca, certificate, key) = (file("ca.crt"), file("client.crt"), file("client.key"));
        let verify = format!("sslmode=verify-full&sslrootcert={ca}");
        assert!(tls(&server.tcp(
            "certified",
            &format!("{verify}&sslcert={certificate}&sslkey={key}")
        )));
        assert!(
            message(&server.tcp("certified", &verify))
                .contains("does not let user \"certified\" in"),
        );
    }

    #[test]
    fn refusals_say_what_to_change() {
        let Some(server) = Server::shared() else {
            return;
        };
        let place = format!("database \"postgres\" on {}:5432", server.address);
        assert_eq!(
            message(&server.tcp("tcp:hunter2", "")),
            format!(
                "{place} does not accept the password of user \"tcp\": set the right one in the store URL, in PGPASSWORD or in a password file"
            )
        );
        assert_eq!(
            message(&server.tcp("tcp", "passfile=/does/not/exist")),
            format!(
                "{place} wants a password of user \"tcp\" and there is none: set it in the store URL, in PGPASSWORD or in a password file"
            )
        );
        let login = format!("tcp:{PASSWORD_ENCODED}");
        assert_eq!(
            message(&server.tcp(&login, "dbname=other")),
            format!(
                "there is no database \"other\" on {}:5432: create it, or name another in the store URL",
                server.address
            )
        );
        let refused = server.tcp(&login, "port=1");
        assert_eq!(
            message(&refused),
            format!(
                "cannot reach database \"postgres\" on {}:1: Connection refused (os error 111); check host and port of the store URL, \
                 the server's listen_addresses, and that it runs",
                server.address
            )
        );
        let error = connect(&refused, Access::Read).err().unwrap();
        assert!(error.is_transient());
        assert!(error.source().is_some());
        assert!(
            !connect(&server.tcp("tcp:hunter2", ""), Access::Read)
                .err()
                .unwrap()
                .is_transient()
        );
    }

    #[test]
    fn servers_are_tried_in_order() {
        let Some(server) = Server::shared() else {
            return;
        };
        let url = |hosts: &str| {
            let url = format!("postgres://tcp:{PASSWORD_ENCODED}@{hosts}/postgres");
            url.parse::<PostgresUrl>().unwrap()
        };
        let address = &server.address;
        for access in [Access::Read, Access::Write] {
            connect(&url(&format!("{address}:1,{address}")), access).unwrap();
        }
        let none = message(&url(&format!("{address}:1,{address}:2")));
        assert!(
            none.contains(&format!("{address}:1:")) && none.contains(&format!("{address}:2:")),
            "{none}"
        );
        // A refusal is an answer: the next server would only hide it.
        let refused = format!("postgres://tcp:hunter2@{address}:1,{address},{address}:2/postgres");
        let refusal = message(&refused.parse().unwrap());
        assert!(
            refusal.starts_with(&format!(
                "database \"postgres\" on {address}:5432 does not accept the password"
            )),
            "{refusal}"
        );
    }

    #[test]
    fn a_silent_server_is_given_up() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let url = format!("postgres://me@127.0.0.1:{port}/x?connect_timeout=1&sslmode=disable");
        assert_eq!(
            message(&url.parse().unwrap()),
            format!(
                "database \"x\" on 127.0.0.1:{port} has not answered within 2 seconds; connect_timeout in the store URL sets how long to wait"
            )
        );
    }

    #[test]
    fn sessions_are_set_up_for_what_they_do() {
        let Some(database) = Database::new() else {
            return;
        };
        let settings = "SELECT current_setting('TimeZone') || ' ' || current_setting('application_name') || ' ' || \
                        current_setting('default_transaction_read_only') || ' ' || current_setting('default_transaction_isolation')";
        let mut writer = database.writer();
        assert_eq!(
            shown(&mut writer, settings),
            "UTC plantail off read committed"
        );
        let mut reader = connect(&database.url("postgres"), Access::Read).unwrap();
        assert_eq!(
            shown(&mut reader, settings),
            "UTC plantail on repeatable read"
        );
        let error = reader.batch_execute("CREATE TABLE t (a int)").unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot execute CREATE TABLE in a read-only transaction"
        );
    }

    #[test]
    fn a_server_that_stands_still_is_given_up() {
        let Some(database) = Database::new() else {
            return;
        };
        let mut session = database.writer();
        assert_eq!(
            shown(&mut session, "SELECT current_setting('statement_timeout')"),
            "30s"
        );
        let process = shown(&mut session, "SELECT pg_backend_pid()");
        session.answer_within(Some(Duration::from_millis(300)));
        shown(&mut session, "SELECT 1");
        let began = std::time::Instant::now();
        let still = StandsStill::of(&process);
        let failed = session.transaction(|connection| connection.batch_execute("SELECT 1"));
        let error: diesel::result::Error = failed.unwrap_err();
        assert!(error.to_string().contains("closed"), "{error}");
        assert!(began.elapsed() < Duration::from_secs(10));
        assert!(session.is_broken());
        // The server is there for others.
        shown(&mut database.writer(), "SELECT 1");
        drop(still);
    }

    #[test]
    fn a_connection_that_cannot_be_used_again_is_known() {
        let Some(database) = Database::new() else {
            return;
        };
        let mut session = database.writer();
        assert!(!session.is_broken());
        // An error in a transaction that is rolled back harms nothing.
        let failed: QueryResult<()> =
            session.transaction(|connection| connection.batch_execute("SELECT 1/0"));
        assert!(failed.is_err());
        assert!(!session.is_broken());
        let process = shown(&mut session, "SELECT pg_backend_pid()");
        database.psql(&format!("SELECT pg_terminate_backend({process}, 5000)"));
        // The server has ended the process; our side sees it as soon as the driver has read that.
        assert!(session.batch_execute("SELECT 1").is_err());
        for _ in 0..500 {
            if session.is_broken() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("the connection has ended and counts as usable");
    }
}
