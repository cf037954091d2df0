use std::{
    fs,
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Whether `REQUIRED_FOR_TESTS` (comma-separated) names `what`: its absence is then a failure, not a skip.
pub(crate) fn required(what: &str) -> bool {
    std::env::var("REQUIRED_FOR_TESTS").is_ok_and(|list| list.split(',').any(|item| item == what))
}

/// A PostgreSQL server of its own, run by a user other than root, stopped and removed when dropped.
pub(crate) struct Postgres {
    dir: tempfile::TempDir,
    bin: PathBuf,
    /// User that runs it, where the test itself is root.
    user: Option<String>,
    /// Where it finds locales that the system doesn't have.
    locales: Option<PathBuf>,
}

impl Postgres {
    /// Starts a server with auto_explain logging every plan, and `settings` over that. `None`, with a message, where PostgreSQL isn't installed.
    pub(crate) fn start(settings: &str) -> Option<Self> {
        Self::start_in(settings, None)
    }

    /// As [`Postgres::start`], with the locales in a directory that localedef has filled.
    pub(crate) fn start_with_locales(settings: &str, locales: &Path) -> Option<Self> {
        Self::start_in(settings, Some(locales.to_owned()))
    }

    fn start_in(settings: &str, locales: Option<PathBuf>) -> Option<Self> {
        let Some(bin) = bin_dir() else {
            assert!(
                !required("postgres"),
                "PostgreSQL's initdb is not installed"
            );
            eprintln!("skipped: PostgreSQL's initdb is not installed");
            return None;
        };
        let dir = tempfile::tempdir().unwrap();
        let user = is_root().then(|| "postgres".to_owned());
        if let Some(user) = &user {
            let id = |flag: &str| -> u32 {
                let output = Command::new("id").args([flag, user]).output().unwrap();
                String::from_utf8(output.stdout)
                    .unwrap()
                    .trim()
                    .parse()
                    .unwrap()
            };
            chown(dir.path(), Some(id("-u")), Some(id("-g"))).unwrap();
            fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        }
        let server = Self {
            dir,
            bin,
            user,
            locales,
        };
        let data = server.data();
        let initdb = server.tool(
            "initdb",
            &[
                "-D",
                data.to_str().unwrap(),
                "-U",
                "postgres",
                "-A",
                "trust",
                "-N",
            ],
        );
        assert!(initdb.success());
        let config = format!(
            "listen_addresses = ''\nunix_socket_directories = '{}'\nfsync = off\nmax_connections = 20\nshared_buffers = 16MB\n\
             logging_collector = on\nlog_directory = 'log'\nlog_filename = 'postgresql.log'\nlog_rotation_age = 0\nlog_file_mode = 0644\n\
             log_line_prefix = '%m [%p] %q%u@%d '\nlog_timezone = 'UTC'\nlog_min_duration_statement = 0\n\
             shared_preload_libraries = 'auto_explain'\nauto_explain.log_min_duration = 0\nauto_explain.log_format = json\n\
             auto_explain.log_analyze = on\nauto_explain.log_buffers = on\nauto_explain.log_nested_statements = on\n{settings}\n",
            server.dir.path().display(),
        );
        let conf = data.join("postgresql.auto.conf");
        fs::write(&conf, config).unwrap();
        assert!(server.pg_ctl(&["-l", "/dev/null", "start"]));
        Some(server)
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// The socket that it listens on.
    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.path().join(".s.PGSQL.5432")
    }

    /// Where its logs are.
    pub(crate) fn log_directory(&self) -> PathBuf {
        self.data().join("log")
    }

    /// Runs SQL by psql, one session, each -c a string of the simple protocol; gives its standard output.
    pub(crate) fn psql(&self, commands: &[&str]) -> String {
        let mut command = Command::new(self.bin.join("psql"));
        command
            .args([
                "-X", "-q", "-A", "-t", "-U", "postgres", "-d", "postgres", "-h",
            ])
            .arg(self.dir.path());
        for sql in commands {
            command.args(["-c", sql]);
        }
        let output = command.stdin(Stdio::null()).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs pgbench with `script` in the extended or prepared protocol.
    pub(crate) fn pgbench(&self, protocol: &str, script: &str, transactions: u32) {
        let transactions = transactions.to_string();
        assert!(self.pgbench_with(protocol, script, &["-t", &transactions]));
    }

    /// The same with other options; gives whether every transaction ran.
    pub(crate) fn pgbench_with(&self, protocol: &str, script: &str, options: &[&str]) -> bool {
        let file = self.dir.path().join("script.sql");
        fs::write(&file, script).unwrap();
        Command::new(self.bin.join("pgbench"))
            .args(["-n", "-U", "postgres", "-M", protocol, "-f"])
            .arg(&file)
            .args(options)
            .arg("-h")
            .arg(self.dir.path())
            .arg("postgres")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap()
            .success()
    }

    /// Stops it and starts it again.
    pub(crate) fn restart(&self) {
        assert!(self.pg_ctl(&["-m", "fast", "-l", "/dev/null", "restart"]));
    }

    /// Has it speak TLS, with a certificate for `address` by an authority made for it. The files are in `folder`: ca.crt, client.crt and client.key, and
    /// other-ca.crt, which has signed nothing.
    pub(crate) fn speak_tls(&self, folder: &Path, address: &str) {
        make_certificates(folder, address);
        // The server itself writes them, so that they are its own and nobody else's.
        for name in ["server.crt", "server.key", "ca.crt"] {
            let text = fs::read_to_string(folder.join(name)).unwrap();
            self.psql(&[&format!(
                "COPY (SELECT unnest(string_to_array('{}', E'\\n'))) TO PROGRAM 'umask 077; cat > {name}'",
                text.trim_end()
            )]);
        }
        self.psql(&[
            "ALTER SYSTEM SET ssl_ca_file = 'ca.crt'",
            "ALTER SYSTEM SET ssl = on",
            "SELECT pg_reload_conf()",
        ]);
    }

    /// Stops it as a crash does.
    pub(crate) fn stop_at_once(&self) {
        assert!(self.pg_ctl(&["-m", "immediate", "stop"]));
    }

    /// Starts it after a stop.
    pub(crate) fn start_again(&self) {
        assert!(self.pg_ctl(&["-l", "/dev/null", "start"]));
    }

    fn pg_ctl(&self, args: &[&str]) -> bool {
        let data = self.data();
        let mut all = vec!["-D", data.to_str().unwrap(), "-w", "-s"];
        all.extend(args);
        self.tool("pg_ctl", &all).success()
    }

    fn tool(&self, name: &str, args: &[&str]) -> std::process::ExitStatus {
        let path = self.bin.join(name);
        let mut command = match &self.user {
            Some(user) => {
                let mut command = Command::new("runuser");
                command.args(["-u", user, "--"]).arg(path);
                command
            }
            None => Command::new(path),
        };
        if let Some(locales) = &self.locales {
            command.env("LOCPATH", locales);
        }
        command
            .args(args)
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status()
            .unwrap()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.pg_ctl(&["-m", "immediate", "stop"]);
    }
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().unwrap();
    output.stdout.trim_ascii() == b"0"
}

/// The server programs of the newest installed release.
fn bin_dir() -> Option<PathBuf> {
    let releases = fs::read_dir("/usr/lib/postgresql").ok()?;
    let newest = releases
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .max()?;
    let bin = Path::new("/usr/lib/postgresql")
        .join(newest.to_string())
        .join("bin");
    bin.join("initdb").exists().then_some(bin)
}

/// An authority, the server's certificate for its address, a client's; and an authority that signed none of them.
fn make_certificates(folder: &Path, address: &str) {
    let openssl = |arguments: &str| {
        let output = Command::new("openssl")
            .args(arguments.split(' '))
            .current_dir(folder)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    for authority in ["ca", "other-ca"] {
        openssl(&format!(
            "req -x509 {key} -keyout {authority}.key -out {authority}.crt -days 2 -subj /CN={authority}"
        ));
    }
    for (name, subject, extensions) in [
        (
            "server",
            "db.test",
            format!("subjectAltName=IP:{address}\nbasicConstraints=CA:FALSE\n"),
        ),
        (
            "client",
            "certified",
            "basicConstraints=CA:FALSE\n".to_owned(),
        ),
    ] {
        fs::write(folder.join("extensions"), extensions).unwrap();
        openssl(&format!(
            "req {key} -keyout {name}.key -out {name}.csr -subj /CN={subject}"
        ));
        openssl(&format!(
            "x509 -req -in {name}.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out {name}.crt -days 2 -extfile extensions"
        ));
    }
}
