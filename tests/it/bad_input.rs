use std::{fs, net::TcpListener};

use crate::plantail::Home;

/// Runs plantail, and expects that exit code and every one of these words on stderr; nothing on stdout.
fn refused(home: &Home, args: &[&str], code: i32, words: &[&str]) {
    let output = home.run(args);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {stderr}");
    for word in words {
        assert!(
            stderr.contains(word),
            "{args:?}: {word:?} is not in: {stderr}"
        );
    }
    assert!(
        output.stdout.is_empty(),
        "{args:?}: {}",
        String::from_utf8_lossy(&output.stdout)
    );
}

#[test]
fn paths_that_cannot_be_read() {
    let home = Home::new();
    for command in ["import", "watch"] {
        refused(
            &home,
            &[command, "/nonexistent/pg.log"],
            2,
            &["/nonexistent/pg.log", "check the path"],
        );
        let empty = home.path("empty");
        fs::create_dir_all(&empty).unwrap();
        refused(
            &home,
            &[command, empty.to_str().unwrap()],
            2,
            &["empty", "no log files", "log_directory"],
        );
    }
    refused(
        &home,
        &["watch"],
        2,
        &["no server is configured", "[[servers]]"],
    );
}

#[test]
fn a_wrong_prefix_is_named_before_anything_is_stored() {
    let home = Home::new();
    let log = home.path("pg.log");
    fs::write(
        &log,
        "2026-11-20 08:00:00.000 UTC [7] LOG:  duration: 1.000 ms  statement: select 1\n".repeat(3),
    )
    .unwrap();
    let log = log.to_str().unwrap();
    refused(
        &home,
        &["import", "--log-line-prefix", "%t:%r:%u@%d:[%p]:", log],
        2,
        &["%t:%r:%u@%d:[%p]:", "none of", "SHOW log_line_prefix"],
    );
    assert_eq!(
        home.query("{ queries { id } }")["queries"]
            .as_array()
            .unwrap()
            .len(),
        0
    );
    refused(
        &home,
        &["import", "--log-line-prefix", "%", log],
        2,
        &["log_line_prefix"],
    );
}

#[test]
fn a_log_without_durations_and_garbage_are_counted() {
    let home = Home::new();
    let log = home.path("pg.log");
    fs::write(
        &log,
        "2026-11-20 08:00:00.000 UTC [7] LOG:  checkpoint starting: time\n\
         what is this\n\
         2026-11-20 08:00:01.000 UTC [7] LOG:  database system is ready to accept connections\n",
    )
    .unwrap();
    let report = home.import(&[log.to_str().unwrap()]);
    assert_eq!(
        (
            &report["records_total"],
            &report["unparsed"],
            &report["executions"]
        ),
        (&2.into(), &1.into(), &0.into())
    );
}

#[test]
fn a_secret_is_in_no_message() {
    let home = Home::new();
    let output = home
        .command(&["summary"])
        .env("PLANTAIL_ADVICE__API_KEY", "4711004711")
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(
        stderr.contains("API_KEY") && stderr.contains("in quotes"),
        "{stderr}"
    );
    assert!(!stderr.contains("4711"), "{stderr}");
}

#[test]
fn configuration_errors_name_the_key() {
    let home = Home::new();
    let config = home.path("plantail.toml");
    fs::write(&config, "[store]\nurll = 'sqlite:///tmp/x'\n").unwrap();
    let config = config.to_str().unwrap();
    refused(&home, &["summary", "--config", config], 2, &["urll", "url"]);
    let twice = home.path("twice.toml");
    let server = "[[servers]]\nname = 'shop'\npaths = ['/var/log/postgresql']\n";
    fs::write(&twice, server.repeat(2)).unwrap();
    let twice = twice.to_str().unwrap();
    refused(
        &home,
        &["summary", "--config", twice],
        2,
        &["servers.name", "shop"],
    );
    refused(
        &home,
        &["summary", "--config", "/nonexistent.toml"],
        2,
        &["/nonexistent.toml"],
    );
    let output = home
        .command(&["summary"])
        .env("PLANTAIL_API__LISTEN", "nowhere")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("api.listen"),
        "{output:?}"
    );
    let output = home
        .command(&["summary"])
        .env("PLANTAIL_APPI__LISTEN", "127.0.0.1:1")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("appi"),
        "{output:?}"
    );
}

#[test]
fn a_port_in_use_and_a_public_address() {
    let home = Home::new();
    let log = home.path("pg.log");
    fs::write(
        &log,
        "2026-11-20 08:00:00.000 UTC [7] LOG:  checkpoint starting: time\n",
    )
    .unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    refused(
        &home,
        &["watch", "--listen", &address, log.to_str().unwrap()],
        1,
        &[&address, "in use"],
    );
    refused(
        &home,
        &["watch", "--listen", "0.0.0.0:0", log.to_str().unwrap()],
        2,
        &["0.0.0.0:0", "127.0.0.1"],
    );
}

#[test]
fn stores_that_cannot_be_used() {
    let home = Home::new();
    let log = home.path("pg.log");
    fs::write(
        &log,
        "2026-11-20 08:00:00.000 UTC [7] LOG:  checkpoint starting: time\n",
    )
    .unwrap();
    let log = log.to_str().unwrap();
    refused(&home, &["summary"], 1, &["store.db"]);
    home.import(&[log]);
    let status = std::process::Command::new(env!("CARGO_BIN_EXE_plantail"))
        .args([
            "import",
            log,
            "--store",
            "mysql://me:secret@localhost/plantail",
        ])
        .output()
        .unwrap();
    assert_eq!(status.status.code(), Some(2));
    let said = String::from_utf8_lossy(&status.stderr);
    assert!(
        said.contains("sqlite://") && !said.contains("secret"),
        "{status:?}"
    );
    fs::write(
        home.path("store.db"),
        "this is no database, but it is long enough to look like one. ".repeat(100),
    )
    .unwrap();
    refused(&home, &["summary"], 1, &["store.db"]);
}

#[test]
fn two_folders_of_one_name_are_not_one_server() {
    let home = Home::new();
    for cluster in ["15", "16"] {
        let folder = home.path(cluster).join("log");
        fs::create_dir_all(&folder).unwrap();
        let line = format!(
            "2026-11-20 08:00:00.000 UTC [7] LOG:  duration: 1.000 ms  statement: select a{cluster}\n"
        );
        fs::write(folder.join("pg.log"), line).unwrap();
    }
    let (a, b) = (home.path("15/log"), home.path("16/log"));
    let (a, b) = (a.to_str().unwrap(), b.to_str().unwrap());
    refused(&home, &["import", a, b], 2, &["\"log\"", "--server"]);
    let report = home.import(&["--server", "both", a, b]);
    assert_eq!(report["executions"], 2);
}

#[test]
fn usage_errors_exit_with_2() {
    let home = Home::new();
    refused(
        &home,
        &["summary", "--since", "yesterday"],
        2,
        &["yesterday", "24h"],
    );
    refused(
        &home,
        &["query", "{ queries { id } }", "--variables", "[1]"],
        2,
        &["--variables", "JSON object"],
    );
    refused(&home, &["frobnicate"], 2, &["frobnicate"]);
}

#[test]
fn two_that_take_in_the_same_server() {
    let home = Home::new();
    let logs = home.path("logs");
    fs::create_dir(&logs).unwrap();
    let log = logs.join("pg.log");
    fs::write(&log, "").unwrap();
    let logs = logs.to_str().unwrap();
    let watch = home.watch(&["--server", "shop", logs]);
    let import = ["import", "--server", "shop", logs];
    refused(&home, &import, 1, &["shop", "another plantail"]);
    // A second daemon waits instead, and says so.
    let waiting = home.watch(&["--server", "shop", logs]);
    assert_eq!(waiting.terminate().0, Some(0));
    home.import(&["--server", "forum", logs]);
    watch.kill();
    home.import(&["--server", "shop", logs]);
}
