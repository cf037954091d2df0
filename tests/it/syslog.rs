use std::{
    fs,
    os::unix::{fs::MetadataExt, net::UnixDatagram},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Instant,
};

use serde_json::Value;

use crate::{
    plantail::{Home, PATIENCE},
    postgres::{Postgres, required},
};

/// Where PostgreSQL sends what goes to syslog; nothing in its configuration says otherwise.
const DEV_LOG: &str = "/dev/log";

/// The formats in which the daemon writes, each into a file of its own.
const TEMPLATES: [(&str, &str); 3] = [
    ("traditional", "RSYSLOG_TraditionalFileFormat"),
    ("iso", "RSYSLOG_FileFormat"),
    ("rfc5424", "RSYSLOG_SyslogProtocol23Format"),
];

/// A syslog daemon, stopped and its socket removed when dropped.
struct Rsyslog(Child);

impl Rsyslog {
    /// `None`, with a message, where there is none or another daemon has the socket.
    fn start(folder: &Path) -> Option<Self> {
        let missing = |why: &str| {
            assert!(!required("rsyslog"), "{why}");
            eprintln!("skipped: {why}");
            None
        };
        if Command::new("rsyslogd")
            .arg("-v")
            .stdout(Stdio::null())
            .status()
            .is_err()
        {
            return missing("rsyslogd is not installed");
        }
        if Path::new(DEV_LOG).exists() {
            eprintln!("skipped: another syslog daemon has {DEV_LOG}");
            return None;
        }
        if !fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0) {
            return missing("only root can make /dev/log");
        }
        let mut config = format!(
            "global(workDirectory=\"{}\" maxMessageSize=\"256k\")\nmodule(load=\"imuxsock\" SysSock.RateLimit.Interval=\"0\")\n",
            folder.display()
        );
        for (name, template) in TEMPLATES {
            let file = folder.join(format!("{name}.log"));
            config.push_str(&format!(
                "action(type=\"omfile\" file=\"{}\" template=\"{template}\")\n",
                file.display()
            ));
        }
        let path = folder.join("rsyslog.conf");
        fs::write(&path, config).unwrap();
        let daemon = Command::new("rsyslogd")
            .arg("-n")
            .arg("-f")
            .arg(&path)
            .arg("-i")
            .arg(folder.join("rsyslog.pid"))
            .spawn()
            .unwrap();
        let daemon = Self(daemon);
        until(|| UnixDatagram::unbound().unwrap().connect(DEV_LOG).is_ok());
        Some(daemon)
    }
}

impl Drop for Rsyslog {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
        let _ = fs::remove_file(DEV_LOG);
    }
}

fn until(condition: impl Fn() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < PATIENCE);
        thread::sleep(std::time::Duration::from_millis(20));
    }
}

/// Statements of one line and of many, short ones and some that are longer than what one message to syslog holds, with tabs and characters of
/// several bytes.
fn statements(session: usize) -> Vec<String> {
    let words = |count: usize| "größer als ".repeat(count);
    (0..15)
        .flat_map(|number| {
            let id = session * 100 + number;
            [
                format!("select {id}"),
                format!(
                    "select\t{id},\n\t'{}' as a,\n\n  '{}' as b",
                    words(30),
                    words(90)
                ),
                format!("select '{}', {id}", "x".repeat(3000)),
                format!("do $$ begin perform count(*) from generate_series(1, {id});\nend $$"),
                format!("select {id} / 0,\n '{}'", words(100)),
            ]
        })
        .collect()
}

#[test]
fn rsyslog_files_tell_what_the_servers_log_tells() {
    let folder = tempfile::tempdir().unwrap();
    let Some(_daemon) = Rsyslog::start(folder.path()) else {
        return;
    };
    let Some(server) = Postgres::start(
        "log_destination = 'stderr,syslog'\nautovacuum = off\nlog_checkpoints = off\nauto_explain.log_verbose = on\n",
    ) else {
        return;
    };
    let stranger = UnixDatagram::unbound().unwrap();
    stranger
        .send_to(
            b"<38>Nov 20 10:00:00 sshd[1]: LOG:  duration: 1.000 ms  statement: x",
            DEV_LOG,
        )
        .unwrap();
    for settings in [
        "syslog_split_messages = on",
        "syslog_sequence_numbers = off",
        "syslog_split_messages = off",
        "syslog_sequence_numbers = on",
    ] {
        server.psql(&[
            &format!("alter system set {settings}"),
            "select pg_reload_conf()",
        ]);
        thread::scope(|scope| {
            for session in 0..6 {
                let server = &server;
                scope.spawn(move || {
                    let statements = statements(session);
                    let commands: Vec<&str> = statements.iter().map(String::as_str).collect();
                    server.psql(&commands);
                });
            }
        });
    }
    let last = "select 'the last statement'";
    server.psql(&[last]);
    let own = server.log_directory().join("postgresql.log");
    let files = TEMPLATES.map(|(name, _)| folder.path().join(format!("{name}.log")));
    for file in files.iter().chain([&own]) {
        let written = || String::from_utf8_lossy(&fs::read(file).unwrap()).into_owned();
        until(|| written().contains(&format!("statement: {last}")));
    }
    let accounting = |path: &Path| Home::new().import(&["--server", "s", path.to_str().unwrap()]);
    let expected = accounting(&own);
    assert!(
        expected["duration_events"]["count"].as_u64() > Some(1200),
        "{expected}"
    );
    for file in &files {
        let found = accounting(file);
        for key in [
            "duration_events",
            "plan_events",
            "by_sqlstate",
            "executions",
            "executions_with_plan",
            "queries",
            "torn",
            "unparsed",
        ] {
            let rounded = |value: &Value| match key {
                "duration_events" | "plan_events" => {
                    let sum_us = value["sum_ms"].as_f64().unwrap() * 1000.0;
                    (
                        sum_us.round() as u64,
                        value["count"].clone(),
                        value["by_kind"].clone(),
                    )
                }
                _ => (0, value.clone(), Value::Null),
            };
            assert_eq!(
                rounded(&found[key]),
                rounded(&expected[key]),
                "{key} of {}",
                file.display()
            );
        }
        assert_eq!(
            found["by_severity"]["ERROR"],
            expected["by_severity"]["ERROR"]
        );
        assert_eq!(
            found["servers"][0]["formats"],
            serde_json::json!(["syslog, stderr"])
        );
        assert!(found["foreign"].as_u64() > Some(0), "{found}");
    }
}
