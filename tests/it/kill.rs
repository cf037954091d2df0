use std::{
    fs,
    io::Write,
    path::Path,
    time::{Duration, Instant},
};

use crate::plantail::{Home, corpus_case, signal, wait_for};

/// Everything of the store that must not depend on how often the daemon was killed.
fn content(home: &Home) -> serde_json::Value {
    rounded(home.query(
        "{ servers { name } queriesConnection(first: 1000, orderBy: FIRST_SEEN) { nodes { id normalizedSql totalExecutions totalTimeMs maxTimeMs } }
           ingestHealth { recordsTotal unparsed torn executions executionsWithPlan
             durationEvents { count sumMs } planEvents { count nested } } }",
    ))
}

/// Sums of the same numbers in another order differ in the last bits.
fn rounded(value: serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::Number(number) if number.is_f64() => {
            ((number.as_f64().unwrap() * 1000.0).round() / 1000.0).into()
        }
        Value::Array(items) => items.into_iter().map(rounded).collect(),
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, field)| (name, rounded(field)))
            .collect(),
        other => other,
    }
}

fn log_text(statements: u32) -> Vec<u8> {
    let mut log = Vec::new();
    for number in 0..statements {
        let second = number / 1000 % 60;
        let minute = number / 60_000;
        let at = format!(
            "2026-11-20 08:{minute:02}:{second:02}.{:03} UTC [{}]",
            number % 1000,
            100 + number % 7
        );
        let table = number % 13;
        write!(
            log,
            "{at} LOG:  duration: 2.500 ms  plan:\n\t{{\n\t  \"Query Text\": \"select a from t{table}\\nwhere b = {number}\",\n\t  \"Plan\": {{\n\t    \
             \"Node Type\": \"Seq Scan\",\n\t    \"Relation Name\": \"t{table}\",\n\t    \"Actual Rows\": 1,\n\t    \"Actual Loops\": 1,\n\t    \
             \"Filter\": \"(b = {number})\",\n\t    \"Rows Removed by Filter\": 99\n\t  }}\n\t}}\n\
             {at} LOG:  duration: 3.000 ms  statement: select a from t{table}\n\twhere b = {number}\n"
        )
        .unwrap();
    }
    log
}

#[test]
fn killed_while_a_log_grows_nothing_is_lost_and_nothing_comes_twice() {
    let log = log_text(6000);
    let undisturbed = Home::new();
    let whole = undisturbed.path("pg.log");
    fs::write(&whole, &log).unwrap();
    undisturbed.import(&[whole.to_str().unwrap(), "--server", "shop"]);
    let expected = content(&undisturbed);

    let home = Home::new();
    let path = home.path("pg.log");
    fs::write(&path, b"").unwrap();
    let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
    let pieces: Vec<&[u8]> = log.chunks(log.len() / 40 + 1).collect();
    for (round, pieces) in pieces.chunks(4).enumerate() {
        let mut command = home.command(&[
            "watch",
            "--no-api",
            "--server",
            "shop",
            path.to_str().unwrap(),
        ]);
        let mut child = command
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        for (number, piece) in pieces.iter().enumerate() {
            file.write_all(piece).unwrap();
            std::thread::sleep(Duration::from_millis(
                (7 * (round as u64 + 1) * (number as u64 + 3)) % 97,
            ));
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    finish(&home, &path);
    assert_eq!(content(&home), expected);
}

/// Reads what is left: the log is complete.
fn finish(home: &Home, path: &Path) {
    home.import(&[path.to_str().unwrap(), "--server", "shop"]);
    let again = home.import(&[path.to_str().unwrap(), "--server", "shop"]);
    assert_eq!(
        (&again["records_total"], &again["executions"]),
        (&0.into(), &0.into())
    );
}

#[test]
fn killed_during_an_import_of_a_real_log() {
    let Some(case) = corpus_case("v15-json-full") else {
        return;
    };
    let log = case.join("log/postgresql.log.gz");
    let undisturbed = Home::new();
    undisturbed.import(&[log.to_str().unwrap(), "--server", "shop"]);
    let expected = content(&undisturbed);

    let home = Home::new();
    for after_ms in [60, 150, 300, 500] {
        let mut child = home
            .command(&["import", "--server", "shop", log.to_str().unwrap()])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(after_ms));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    finish(&home, &log);
    assert_eq!(content(&home), expected);
}

#[test]
fn sigterm_ends_the_daemon_in_time_with_exit_code_0() {
    let home = Home::new();
    let path = home.path("pg.log");
    fs::write(&path, log_text(500)).unwrap();
    let watch = home.watch(&["--server", "shop", path.to_str().unwrap()]);
    wait_for(|| {
        (watch.query("{ queries(limit: 20) { id } }")["queries"]
            .as_array()?
            .len()
            == 13)
            .then_some(())
    })
    .unwrap();
    let (code, elapsed) = watch.terminate();
    assert_eq!(code, Some(0));
    assert!(elapsed < Duration::from_secs(5), "{elapsed:?}");
}

fn ends_after_sigterm(mut child: std::process::Child) {
    signal(child.id(), "TERM");
    let began = Instant::now();
    let status = wait_for(|| child.try_wait().unwrap()).expect("it ends");
    assert_eq!(status.code(), Some(0));
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
}

/// `plantail watch | less`, or a terminal stopped by Ctrl-S.
#[test]
fn sigterm_ends_a_daemon_whose_summary_nobody_reads() {
    let home = Home::new();
    let path = home.path("pg.log");
    let columns = "a_column, ".repeat(2000);
    let line = |table: u32| {
        format!(
            "2026-11-20 08:00:00.000 UTC [7] LOG:  duration: 5000.000 ms  statement: select {columns} from t{table}\n"
        )
    };
    fs::write(&path, (0..100).map(line).collect::<String>()).unwrap();
    let mut command = home.command(&["watch", "--no-api", path.to_str().unwrap()]);
    // One end of a socket takes some of the summary, not all of it.
    let (reader, writer) = std::os::unix::net::UnixStream::pair().unwrap();
    let mut full = &writer;
    writer.set_nonblocking(true).unwrap();
    while full.write(&[0; 4096]).is_ok() {}
    writer.set_nonblocking(false).unwrap();
    let child = command
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::from(std::os::fd::OwnedFd::from(
            writer,
        )))
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    wait_for(|| {
        let data = home
            .path("store.db")
            .exists()
            .then(|| home.query("{ queries(limit: 100) { id } }"))?;
        (data["queries"].as_array()?.len() == 100).then_some(())
    })
    .unwrap();
    ends_after_sigterm(child);
    drop(reader);
}

#[test]
fn sigterm_ends_a_daemon_that_waits_for_the_store() {
    let home = Home::new();
    let path = home.path("pg.log");
    fs::write(&path, log_text(1)).unwrap();
    let folder = fs::File::open(home.path("")).unwrap();
    folder.lock().unwrap();
    let mut command = home.command(&["watch", "--no-api", path.to_str().unwrap()]);
    let child = command
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    // Before its handler is there the signal would end it with another status.
    wait_for(|| {
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
        let caught = status
            .lines()
            .find_map(|line| line.strip_prefix("SigCgt:"))?;
        let sigterm = 1_u64 << 14;
        (u64::from_str_radix(caught.trim(), 16).unwrap() & sigterm != 0).then_some(())
    })
    .unwrap();
    ends_after_sigterm(child);
}
