//! The commands. Each has its file; what they print goes through `output.rs`, what they log through tracing.

mod backup;
mod check;
mod export;
mod import;
mod migrate;
mod output;
mod probe;
mod prune;
mod query;
mod schema;
mod serve;
mod signals;
mod stdin;
mod summary;
mod verify;
mod watch;

use std::{collections::BTreeSet, path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};

use crate::{
    config::{self, Overrides},
    daemon::{ServerConfig, ingest},
    model::position,
    tail::discovery,
    telemetry::{self, LogFormat},
};

/// Why PostgreSQL queries are slow, and since when: from the server's own logs.
#[derive(Debug, Parser)]
#[command(name = "plantail", version, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Args)]
struct Global {
    /// Configuration file (TOML)
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where the history is kept: sqlite://PATH or postgres://USER@HOST/DATABASE (passwords: PGPASSWORD or a password file) [default: a file in the
    /// state directory of the service or of the user]
    #[arg(long, global = true, value_name = "URL")]
    store: Option<String>,
    /// How plantail's own log on stderr is written
    #[arg(long, global = true, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
    /// More of plantail's own log (-vv: everything)
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
}

#[derive(Debug, Subcommand)]
enum Command {
    Watch(watch::Watch),
    Import(import::Import),
    Summary(summary::Summary),
    Query(query::Query),
    Serve(serve::Serve),
    Check(check::Check),
    Migrate(migrate::Migrate),
    Prune(prune::Prune),
    Backup(backup::Backup),
    Verify(verify::Verify),
    Export(export::Export),
    Schema(schema::Schema),
}

/// Why a command ends without having done its work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Wrong usage or configuration: exit code 2.
    #[error("{0}")]
    Usage(String),
    #[error(transparent)]
    Config(#[from] config::Error),
    #[error(transparent)]
    Daemon(#[from] crate::daemon::Error),
    #[error(transparent)]
    Store(#[from] crate::store::Error),
    #[error(transparent)]
    Api(#[from] crate::api::Error),
    #[error("nothing can be written to standard output")]
    Output(#[from] std::io::Error),
    /// The command did its work and the answer is no; it has said why.
    #[error("{0}")]
    Failed(String),
}

impl Error {
    fn exit_code(&self) -> ExitCode {
        match self.is_usage() {
            true => ExitCode::from(2),
            false => ExitCode::FAILURE,
        }
    }

    /// Whether the usage or the configuration is what is wrong.
    fn is_usage(&self) -> bool {
        match self {
            Self::Usage(_) | Self::Config(_) | Self::Api(crate::api::Error::NotLoopback { .. }) => {
                true
            }
            Self::Daemon(error) => error.is_configuration(),
            _ => false,
        }
    }
}

/// Which logs, for the commands that read them.
#[derive(Debug, Clone, Args)]
struct Logs {
    /// Log files, folders or globs; instead of the configured servers
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Name of the server that the logs are of [default: the name of their folder]
    #[arg(long, value_name = "NAME")]
    server: Option<String>,
    /// The server's log_line_prefix [default: detected]
    #[arg(long, value_name = "PREFIX", allow_hyphen_values = true)]
    log_line_prefix: Option<String>,
    /// What the logs are: stderr, csvlog, jsonlog, or what wraps one of these: syslog, journal-export, journal-json, docker, cri,
    /// cloudnativepg, cloud-logging, azure [default: detected]
    #[arg(long, value_name = "FORMAT", value_parser = input_format)]
    input_format: Option<position::LogFormat>,
    /// The server's syslog_ident, for logs that went through syslog or the journal [default: postgres]
    #[arg(long, value_name = "IDENT")]
    syslog_ident: Option<String>,
}

/// Runs a command to its end; what went wrong is said on stderr.
pub fn run(cli: &Cli) -> ExitCode {
    match execute(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::error(&error);
            error.exit_code()
        }
    }
}

fn execute(cli: &Cli) -> Result<(), Error> {
    let (logs, listen) = match &cli.command {
        Command::Watch(watch) => (Some(&watch.logs), watch.listen.clone()),
        Command::Import(import) => (Some(&import.logs), None),
        Command::Check(check) => (Some(&check.logs), None),
        Command::Verify(verify) => (Some(&verify.logs), None),
        Command::Serve(serve) => (None, serve.listen.clone()),
        Command::Schema(_) => return schema::run(),
        Command::Summary(_)
        | Command::Query(_)
        | Command::Migrate(_)
        | Command::Prune(_)
        | Command::Backup(_)
        | Command::Export(_) => (None, None),
    };
    let mut settings = config::load(&Overrides {
        config_file: cli.global.config.clone(),
        store_url: cli.global.store.clone(),
        log_format: cli.global.log_format,
        listen,
    })?;
    telemetry::init(settings.log_format, cli.global.verbose);
    if let Some(logs) = logs {
        let reads_stdin = logs.paths.iter().any(|path| stdin::is_named(path));
        if reads_stdin && (logs.paths.len() > 1 || !matches!(cli.command, Command::Import(_))) {
            return Err(Error::Usage(
                "- is standard input, which only import reads, and then nothing else: plantail import -; a file of that name is ./-".to_owned(),
            ));
        }
        settings.daemon.servers = servers(logs, std::mem::take(&mut settings.daemon.servers))?;
    }
    match &cli.command {
        Command::Watch(watch) => until_done(watch::run(watch, &settings)),
        Command::Import(import) => import::run(import, &mut settings),
        Command::Summary(summary) => summary::run(summary, &settings),
        Command::Query(query) => query::run(query, &settings),
        Command::Serve(_) => until_done(serve::run(settings)),
        Command::Check(_) => check::run(&settings),
        Command::Migrate(migrate) => migrate::run(migrate, &settings),
        Command::Prune(prune) => prune::run(prune, &settings),
        Command::Backup(backup) => backup::run(backup, &settings),
        Command::Verify(verify) => verify::run(verify, &settings),
        Command::Export(export) => export::run(export, &settings),
        Command::Schema(_) => Ok(()),
    }
}

/// The servers that the command line names, else the configured ones.
fn servers(logs: &Logs, configured: Vec<ServerConfig>) -> Result<Vec<ServerConfig>, Error> {
    if logs.paths.is_empty() {
        let given = [&logs.server, &logs.log_line_prefix, &logs.syslog_ident];
        if logs.input_format.is_none() && given.iter().all(|given| given.is_none()) {
            return Ok(configured);
        }
        return Err(Error::Usage(
            "--server, --log-line-prefix, --input-format and --syslog-ident are about the logs that PATH names; name them"
                .to_owned(),
        ));
    }
    let named = |name: String, paths: Vec<PathBuf>| ServerConfig {
        sampling: configured
            .iter()
            .find(|server| server.name == name)
            .and_then(|server| server.sampling),
        name,
        paths,
        format: logs.input_format,
        log_line_prefix: logs.log_line_prefix.clone(),
        syslog_ident: logs.syslog_ident.clone(),
        time_zone: None,
    };
    if logs.paths.iter().any(|path| stdin::is_named(path)) {
        let name = logs.server.clone().unwrap_or_else(|| "stdin".to_owned());
        return Ok(vec![named(name, logs.paths.clone())]);
    }
    let found = discovery::servers_of(&logs.paths)
        .map_err(|error| Error::Daemon(ingest::Error::from(error).into()))?;
    Ok(match &logs.server {
        Some(name) => vec![named(
            name.clone(),
            found.into_iter().flat_map(|server| server.paths).collect(),
        )],
        None => {
            if let Some(name) = repeated(found.iter().map(|server| server.name.as_str())) {
                return Err(Error::Usage(format!(
                    "two folders are called {name:?} and would be one server: read each with --server NAME, or list both in [[servers]]"
                )));
            }
            found
                .into_iter()
                .map(|server| named(server.name, server.paths))
                .collect()
        }
    })
}

fn input_format(name: &str) -> Result<position::LogFormat, String> {
    position::LogFormat::from_name(name).ok_or_else(config::one_of_formats)
}

/// The first name that comes a second time.
fn repeated<'a>(names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let mut seen = BTreeSet::new();
    names.into_iter().find(|name| !seen.insert(*name))
}

/// Runs what waits for others. What still waits for the store when it ends is left behind, not waited for.
///
/// Two threads for requests: the log has a thread of its own.
fn until_done(command: impl Future<Output = Result<(), Error>>) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let result = runtime.block_on(command);
    runtime.shutdown_background();
    result
}
