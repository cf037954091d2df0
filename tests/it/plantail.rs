use std::{
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

/// How long a test waits for something that happens within a second on an idle machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A directory of its own with a store in it.
pub(crate) struct Home {
    dir: tempfile::TempDir,
    /// Configuration file of its commands.
    config: Option<PathBuf>,
    /// Address of a store that isn't in it.
    store: Option<String>,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            config: None,
            store: None,
        }
    }

    /// One in a given folder, e.g. on a file system of its own.
    pub(crate) fn inside(folder: &Path) -> Self {
        Self {
            dir: tempfile::tempdir_in(folder).unwrap(),
            config: None,
            store: None,
        }
    }

    /// The same with a configuration of that text.
    pub(crate) fn configured(text: &str) -> Self {
        let mut home = Self::new();
        home.set_config(text);
        home
    }

    pub(crate) fn set_config(&mut self, text: &str) {
        let path = self.path("plantail.toml");
        std::fs::write(&path, text).unwrap();
        self.config = Some(path);
    }

    /// Its store is elsewhere.
    pub(crate) fn set_store(&mut self, url: &str) {
        self.store = Some(url.to_owned());
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn store_url(&self) -> String {
        match &self.store {
            Some(url) => url.clone(),
            None => format!("sqlite://{}", self.path("store.db").display()),
        }
    }

    /// A `plantail` command that uses this home's store and nothing of the environment's configuration.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_plantail"));
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            if name.starts_with("PLANTAIL_") || name == "STATE_DIRECTORY" {
                command.env_remove(name.as_ref());
            }
        }
        command
            .env_remove("RUST_LOG")
            .env("XDG_STATE_HOME", self.path("state"));
        command
            .args(args)
            .arg("--store")
            .arg(self.store_url())
            .args(
                self.config
                    .iter()
                    .flat_map(|path| [Path::new("--config"), path]),
            )
            .current_dir(env!("CARGO_MANIFEST_DIR"));
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.command(args).stdin(Stdio::null()).output().unwrap()
    }

    /// Runs a command that has to succeed, and gives its standard output.
    pub(crate) fn stdout(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(
            output.status.success(),
            "{args:?}: {}{}",
            String::from_utf8_lossy(&output.stderr),
            String::from_utf8_lossy(&output.stdout)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// Imports and gives the accounting.
    pub(crate) fn import(&self, args: &[&str]) -> Value {
        let mut all = vec!["import", "--report", "json"];
        all.extend(args);
        serde_json::from_str(&self.stdout(&all)).unwrap()
    }

    /// `data` of a document's answer; its errors fail the test.
    pub(crate) fn query(&self, document: &str) -> Value {
        let answer: Value = serde_json::from_str(&self.stdout(&["query", document])).unwrap();
        answer["data"].clone()
    }

    /// Starts `plantail watch` and waits until it has caught up.
    pub(crate) fn watch(&self, args: &[&str]) -> Watch {
        let mut all = vec!["watch", "--listen", "127.0.0.1:0"];
        all.extend(args);
        Watch::start(self.command(&all))
    }
}

/// A running daemon. Dropped, it is killed.
pub(crate) struct Watch {
    child: Child,
    /// Where its API listens.
    pub(crate) address: String,
    /// What it printed on standard output until it had caught up.
    pub(crate) summary: String,
    stderr: mpsc::Receiver<String>,
}

impl Watch {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = lines_of(child.stderr.take().unwrap());
        let stdout = lines_of(child.stdout.take().unwrap());
        let mut log = Vec::new();
        let address = wait_for(|| {
            log.extend(stderr.try_iter());
            let line = log.iter().find(|line| line.contains("/graphql"))?;
            let address = line.split("http://").nth(1)?.split("/graphql").next()?;
            Some(address.to_owned())
        })
        .unwrap_or_else(|| panic!("no address within {PATIENCE:?}: {log:?}"));
        let mut summary = String::new();
        wait_for(|| {
            for line in stdout.try_iter() {
                summary.push_str(&line);
                summary.push('\n');
            }
            (summary.contains("Ctrl-C ends")).then_some(())
        })
        .unwrap_or_else(|| panic!("not caught up within {PATIENCE:?}: {summary} {log:?}"));
        Self {
            child,
            address,
            summary,
            stderr,
        }
    }

    /// Answer to a document sent by HTTP POST, errors and all.
    pub(crate) fn post(&self, document: &str) -> Value {
        let body = json!({ "query": document }).to_string();
        serde_json::from_str(&http(&self.address, "POST", "/graphql", &body).1).unwrap()
    }

    pub(crate) fn query(&self, document: &str) -> Value {
        let answer = self.post(document);
        assert!(answer.get("errors").is_none(), "{answer}");
        answer["data"].clone()
    }

    pub(crate) fn log(&self) -> Vec<String> {
        self.stderr.try_iter().collect()
    }

    /// Sends SIGTERM and gives the exit code and how long the daemon took to end.
    pub(crate) fn terminate(mut self) -> (Option<i32>, Duration) {
        let began = Instant::now();
        signal(self.child.id(), "TERM");
        let status =
            wait_for(|| self.child.try_wait().unwrap()).expect("the daemon ends after SIGTERM");
        (status.code(), began.elapsed())
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // The test may have ended it already; what counts is that nothing is left running.
        if self.child.kill().is_ok() {
            self.child.wait().unwrap();
        }
    }
}

pub(crate) fn signal(process_id: u32, name: &str) {
    assert!(
        Command::new("kill")
            .arg(format!("-{name}"))
            .arg(process_id.to_string())
            .status()
            .unwrap()
            .success()
    );
}

/// Calls `condition` until it gives something, at most [`PATIENCE`] long.
pub(crate) fn wait_for<T>(mut condition: impl FnMut() -> Option<T>) -> Option<T> {
    let began = Instant::now();
    loop {
        if let Some(value) = condition() {
            return Some(value);
        }
        if began.elapsed() > PATIENCE {
            return None;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// One HTTP/1.1 request on a connection of its own: status and body.
pub(crate) fn http(address: &str, method: &str, path: &str, body: &str) -> (u16, String) {
    use std::io::Write;
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let chunked = head
        .to_ascii_lowercase()
        .contains("transfer-encoding: chunked");
    (
        status,
        if chunked {
            dechunk(body)
        } else {
            body.to_owned()
        },
    )
}

fn dechunk(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).unwrap();
        if size == 0 {
            break;
        }
        whole.push_str(&rest[..size]);
        body = &rest[size + 2..];
    }
    whole
}

fn lines_of(stream: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}

/// A case of the log corpus, or `None` with a message where the corpus is absent.
pub(crate) fn corpus_case(name: &str) -> Option<PathBuf> {
    let case = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../shared/corpus/cases")
        .join(name);
    if !case.is_dir() {
        eprintln!("skipped: {} is absent", case.display());
        return None;
    }
    Some(case)
}
