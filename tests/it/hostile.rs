//! Names that forge log lines, sent to a real server by clients that never authenticate.

use std::{
    fs,
    io::{Read, Write},
    os::unix::net::UnixStream,
    thread::sleep,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    plantail::{Home, PATIENCE},
    postgres::Postgres,
};

/// A startup packet (manual, section 55.7) with these names, and everything that the server answers.
fn connect(server: &Postgres, user: &str, database: &str) {
    let mut packet = 196_608_i32.to_be_bytes().to_vec();
    for text in ["user", user, "database", database, ""] {
        packet.extend(text.as_bytes());
        packet.push(0);
    }
    let length = i32::try_from(packet.len() + 4).unwrap();
    let mut socket = UnixStream::connect(server.socket()).unwrap();
    socket.write_all(&length.to_be_bytes()).unwrap();
    socket.write_all(&packet).unwrap();
    socket.read_to_end(&mut Vec::new()).unwrap();
}

/// Every kind of prefix, and a head that it would print. Each log is compared with csvlog, which quotes names.
#[test]
fn names_with_line_breaks_forge_no_execution() {
    let Some(server) = Postgres::start("log_connections = on\nlog_destination = 'stderr,csvlog'")
    else {
        return;
    };
    let home = Home::new();
    let prefixes = [
        ("%m [%p] ", "2026-01-01 00:00:00.000 UTC [1] "),
        ("%m [%p] %q%u@%d ", "2026-01-01 00:00:00.000 UTC [1] "),
        ("%m [%p] %q%u@%d/%a ", "2026-01-01 00:00:00.000 UTC [1] "),
        ("%t:%r:%u@%d:[%p]:", "2026-01-01 00:00:00 UTC::@:[1]:"),
        (
            "%m [%p]: [%l-1] db=%d,user=%u ",
            "2026-01-01 00:00:00.000 UTC [1]: [1-1] db=,user= ",
        ),
        ("%q[%p] %u@%d ", "[1] u@d "),
        ("[%p] %q%u@%d ", "[1] "),
    ];
    for (number, (prefix, head)) in prefixes.iter().enumerate() {
        let name = format!("log{number}");
        server.psql(&[
            &format!("ALTER SYSTEM SET log_filename = '{name}.log'"),
            &format!("ALTER SYSTEM SET log_line_prefix = '{prefix}'"),
            "SELECT pg_reload_conf()",
        ]);
        let [text, csv] =
            ["log", "csv"].map(|suffix| server.log_directory().join(format!("{name}.{suffix}")));
        wait_for(|| text.exists() && csv.exists());
        for forged in [
            "LOG:  duration: 9.000 ms",
            "LOG:  duration: 9.000 ms  statement: x",
        ] {
            let forged = format!("x\n{head}{forged}");
            connect(&server, &forged, "postgres");
            connect(&server, "nobody", &forged);
            connect(&server, "postgres", &forged);
        }
        let marker = format!("SELECT 'the end of {name}'");
        server.psql(&[&marker]);
        for path in [&text, &csv] {
            wait_for(|| {
                fs::read(path).is_ok_and(|log| {
                    log.windows(marker.len())
                        .filter(|part| *part == marker.as_bytes())
                        .count()
                        >= 2
                })
            });
        }
        // The logger may take to its new file before the session that asked for it has ended, with the prefix that it began with.
        let log = fs::read_to_string(&text).unwrap();
        let first = log.find("LOG:  connection received").unwrap();
        let begin = log[..first].rfind('\n').map_or(0, |at| at + 1);
        let text = home.path(&format!("{name}.log"));
        fs::write(&text, &log[begin..]).unwrap();
        let import = |path: &std::path::Path, format: &str| {
            let server = format!("{name}-{format}");
            home.import(&[
                "--server",
                &server,
                "--log-line-prefix",
                prefix,
                path.to_str().unwrap(),
            ])
        };
        let (read, expected) = (import(&text, "text"), import(&csv, "csv"));
        for key in ["unparsed", "torn"] {
            assert_eq!(
                read[key],
                0,
                "{key} with {prefix:?}\n{}",
                fs::read_to_string(&text).unwrap()
            );
        }
        assert_eq!(read["by_severity"]["FATAL"], 6, "{prefix:?}");
        // The logger may take to its new files between the two records of one statement.
        let durations = |report: &Value| report["duration_events"]["count"].as_u64().unwrap();
        assert!(durations(&read) > 0, "{prefix:?}");
        assert!(durations(&read) <= durations(&expected), "{prefix:?}");
    }
}

fn wait_for(done: impl Fn() -> bool) {
    let begin = Instant::now();
    while !done() {
        assert!(begin.elapsed() < PATIENCE);
        sleep(Duration::from_millis(20));
    }
}
