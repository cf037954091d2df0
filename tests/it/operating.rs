use std::{fs, path::Path};

use diesel::{Connection, SqliteConnection, connection::SimpleConnection};
use serde_json::Value;

use crate::plantail::Home;

/// A log of one statement with its plan for each hour of some days, the newest last.
fn log_text(days: std::ops::Range<u32>) -> String {
    let mut log = String::new();
    for hour in days.start * 24..days.end * 24 {
        let (month, day) = match hour / 24 {
            day @ 0..30 => (9, day + 1),
            day => (10, day - 29),
        };
        let at = format!(
            "2026-{month:02}-{day:02} {:02}:00:00.000 UTC [77]",
            hour % 24
        );
        let table = hour % 5;
        log.push_str(&format!(
            "{at} LOG:  duration: 1250.500 ms  plan:\n\t{{\n\t  \"Query Text\": \"select a from t{table} where b = {hour}\",\n\t  \
             \"Plan\": {{\n\t    \"Node Type\": \"Seq Scan\",\n\t    \"Relation Name\": \"t{table}\",\n\t    \"Actual Rows\": 1,\n\t    \
             \"Actual Loops\": 1,\n\t    \"Filter\": \"(b = {hour})\",\n\t    \"Rows Removed by Filter\": 99999\n\t  }}\n\t}}\n\
             {at} LOG:  duration: 1300.000 ms  statement: select a from t{table} where b = {hour}\n"
        ));
    }
    log
}

fn write_log(home: &Home, text: &str) -> String {
    let path = home.path("pg.log");
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Everything of the store that must not depend on how it came about.
fn content(home: &Home) -> Value {
    home.query(
        "{ servers { name } queriesConnection(first: 100, orderBy: FIRST_SEEN) { nodes { id normalizedSql totalExecutions totalTimeMs maxTimeMs } }
           executions(first: 1000) { nodes { startedAt durationMs planCount } }
           ingestHealth { recordsTotal unparsed torn executions executionsWithPlan durationEvents { count sumMs } planEvents { count } } }",
    )
}

fn total_executions(home: &Home) -> u64 {
    let queries = home.query("{ queries(limit: 100) { totalExecutions } }");
    let queries = queries["queries"].as_array().unwrap().iter();
    queries
        .map(|query| {
            query["totalExecutions"].as_str().map_or_else(
                || query["totalExecutions"].as_u64().unwrap(),
                |n| n.parse().unwrap(),
            )
        })
        .sum()
}

fn executions(home: &Home) -> usize {
    let all = home.query("{ executions(first: 1000) { nodes { durationMs } } }");
    all["executions"]["nodes"].as_array().unwrap().len()
}

/// Changes the store behind its back.
fn tamper(home: &Home, sql: &str) {
    let path = home.path("store.db");
    let mut store = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
    store.batch_execute(sql).unwrap();
}

/// The report of `verify`, and whether it ended with exit code 1.
fn verify(home: &Home, path: &str) -> (Value, bool) {
    let output = home.run(&["verify", path, "--server", "shop", "--format", "json"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let report: Value = serde_json::from_str(&text)
        .unwrap_or_else(|_| panic!("{text}{}", String::from_utf8_lossy(&output.stderr)));
    let code = output.status.code().unwrap();
    assert_eq!(code == 1, report["differs"].as_bool().unwrap(), "{report}");
    (report["servers"][0].clone(), code == 1)
}

#[test]
fn pruned_executions_are_gone_and_their_sums_are_not() {
    let home = Home::new();
    let path = write_log(&home, &log_text(0..40));
    home.import(&[&path, "--server", "shop"]);
    assert_eq!((executions(&home), total_executions(&home)), (960, 960));

    let dry = home.stdout(&["prune", "--dry-run"]);
    assert!(dry.contains("shop  executions         240"), "{dry}");
    assert!(dry.contains("2026-08-31 23:59  2026-09-10 22:59"), "{dry}");
    assert_eq!(executions(&home), 960);

    let pruned = home.stdout(&["prune"]);
    assert!(pruned.contains("shop  executions         240"), "{pruned}");
    assert_eq!((executions(&home), total_executions(&home)), (720, 960));
    assert_eq!(
        home.stdout(&["prune"]),
        "Nothing is older than store.retention says.\n"
    );
    // What was deleted is not read again, and not missed.
    let again = home.import(&[&path, "--server", "shop"]);
    assert_eq!(again["executions"], 0);
    let (report, differs) = verify(&home, &path);
    assert!(!differs, "{report}");
    let generation = &report["generations"][0];
    assert_eq!(generation["removed"], 240, "{report}");
    assert_eq!(generation["executions"]["log"], 720, "{report}");
}

#[test]
fn spans_of_retention_are_configured() {
    let home = Home::configured(
        "[store.retention]\nexecutions_days = 10\nplans_days = 5\nstatistics_days = 20\n",
    );
    let path = write_log(&home, &log_text(0..40));
    home.import(&[&path, "--server", "shop"]);
    let pruned = home.stdout(&["prune"]);
    for (table, rows) in [("plans", 840), ("executions", 720), ("query_stats", 480)] {
        assert!(
            pruned.contains(&format!("shop  {table:<11}  {rows:>9}")),
            "{pruned}"
        );
    }
    let home = Home::configured("[store.retention]\nplans_days = 0\n");
    let output = home.run(&["prune"]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("store.retention.plans_days = \"0\": 1 to 36500 days"),
        "{said}"
    );
}

/// A backup is taken while the daemon reads; a day later the store is lost and the backup put in its place.
#[test]
fn a_restored_backup_goes_on_and_everything_is_there_once() {
    let whole = log_text(0..40);
    let undisturbed = Home::new();
    let path = write_log(&undisturbed, &whole);
    undisturbed.import(&[&path, "--server", "shop"]);
    let expected = content(&undisturbed);

    let home = Home::new();
    let (yesterday, today) = (log_text(0..25), log_text(25..40));
    let path = write_log(&home, &yesterday);
    let watch = home.watch(&["--server", "shop", &path]);
    let backup = home.path("backup.db");
    let said = home.stdout(&["backup", backup.to_str().unwrap()]);
    assert!(said.contains("checked and whole"), "{said}");
    append(Path::new(&path), &today);
    crate::plantail::wait_for(|| (executions(&home) == 960).then_some(())).unwrap();
    let (report, differs) = verify(&home, &path);
    assert!(!differs, "{report}");
    drop(watch);

    for suffix in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(home.path(&format!("store.db{suffix}")));
    }
    fs::copy(&backup, home.path("store.db")).unwrap();
    assert_eq!(executions(&home), 600);
    home.import(&[&path, "--server", "shop"]);
    assert_eq!(content(&home), expected);
    let (report, differs) = verify(&home, &path);
    assert!(!differs, "{report}");

    let again = home.run(&["backup", backup.to_str().unwrap()]);
    assert_eq!(again.status.code(), Some(1));
    let said = String::from_utf8(again.stderr).unwrap();
    assert!(said.contains("is there already"), "{said}");
}

fn append(path: &Path, text: &str) {
    use std::io::Write;
    let mut file = fs::OpenOptions::new().append(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

#[test]
fn verify_names_what_differs() {
    let home = Home::new();
    let text = log_text(0..20);
    let path = write_log(&home, &text);
    home.import(&[&path, "--server", "shop"]);
    let (report, differs) = verify(&home, &path);
    assert!(!differs, "{report}");
    assert_eq!(report["generations"][0]["executions"]["store"], 480);
    assert_eq!(report["counts"]["records"]["store"], 960);

    // What came since isn't the store's yet.
    append(Path::new(&path), &log_text(20..21));
    let (report, differs) = verify(&home, &path);
    assert!(!differs, "{report}");
    assert_eq!(report["generations"][0]["executions"]["log"], 480);

    tamper(
        &home,
        "DELETE FROM executions WHERE offset_bytes = 0;
         UPDATE executions SET duration_ms = 1 WHERE id = (SELECT max(id) FROM executions);
         UPDATE executions SET id = id + 1 WHERE id = (SELECT min(id) FROM executions);
         UPDATE ingest_counts SET count = count + 1 WHERE counter = 'records_total';",
    );
    let (report, differs) = verify(&home, &path);
    assert!(differs);
    let generation = &report["generations"][0];
    assert_eq!(generation["missing"], 2, "{report}");
    assert_eq!(generation["surplus"], 1, "{report}");
    assert_eq!(generation["different"], 1, "{report}");
    assert_ne!(
        generation["checksum"]["log"],
        generation["checksum"]["store"]
    );
    assert_eq!(report["counts"]["records"]["store"], 961, "{report}");
    let told = home.run(&["verify", &path, "--server", "shop"]);
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(told.starts_with("DIFFERS  shop  "), "{told}");
    assert!(
        told.contains("; 2 missing in the store; 1 not in the log; 1 different"),
        "{told}"
    );
    assert!(
        told.contains("records: 960 in the log, 961 in the store"),
        "{told}"
    );
    assert!(!home.path(".plantail-verify").exists());
}

#[test]
fn verify_sees_that_a_log_was_edited() {
    let home = Home::new();
    let text = log_text(0..20);
    let path = write_log(&home, &text);
    home.import(&[&path, "--server", "shop"]);
    let edited = text.replacen(
        "2026-09-20 23:00:00.000 UTC [77] LOG:  duration: 1300",
        "2026-09-20 23:00:00.000 UTC [77] LOG:  duration: 1400",
        1,
    );
    assert_ne!(edited, text);
    fs::write(&path, edited).unwrap();
    let (report, differs) = verify(&home, &path);
    assert!(differs, "{report}");
    let generation = &report["generations"][0];
    assert_eq!(generation["is_stored"], false, "{report}");
    assert!(generation["replaces"].is_string(), "{report}");
}

#[test]
fn verify_compares_gaps() {
    let home = Home::new();
    let plain = write_log(&home, &log_text(0..40));
    let status = std::process::Command::new("gzip").arg(&plain).status();
    assert!(status.unwrap().success());
    let path = format!("{plain}.gz");
    // The archive ends early.
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    home.import(&[&path, "--server", "shop"]);
    let health = home.query("{ ingestHealth { gaps } }");
    assert_eq!(health["ingestHealth"]["gaps"], "1", "{health}");
    let (report, differs) = verify(&home, &path);
    assert!(!differs, "{report}");
    tamper(&home, "UPDATE gaps SET reason = 'hole'");
    let (report, differs) = verify(&home, &path);
    assert!(differs, "{report}");
    let gaps = &report["generations"][0]["gaps"];
    let one = Value::from(1);
    assert_eq!(
        (&gaps["missing"], &gaps["surplus"]),
        (&one, &one),
        "{report}"
    );
    tamper(&home, "DELETE FROM gaps");
    let told = home.run(&["verify", &path, "--server", "shop"]);
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(told.contains("; 1 gaps missing in the store"), "{told}");
}

/// Lines of the jsonlog, one statement each.
fn json_log(statements: std::ops::Range<u32>) -> String {
    let line = |number| {
        format!(
            "{{\"timestamp\":\"2026-09-21 08:00:00.{number:03} UTC\",\"pid\":9,\"error_severity\":\"LOG\",\
             \"message\":\"duration: 3.000 ms  statement: select {number}\"}}\n"
        )
    };
    statements.map(line).collect()
}

/// log_destination was stderr, and then jsonlog: of each the store has read what the other didn't say.
#[test]
fn verify_reads_every_format_that_was_read() {
    let home = Home::new();
    let folder = home.path("log");
    fs::create_dir(&folder).unwrap();
    let logs = folder.to_str().unwrap();
    fs::write(folder.join("postgresql.log"), log_text(0..20)).unwrap();
    home.import(&[logs, "--server", "shop"]);
    fs::write(folder.join("postgresql.json"), json_log(0..50)).unwrap();
    home.import(&[logs, "--server", "shop"]);
    assert_eq!(executions(&home), 530);
    let (report, differs) = verify(&home, logs);
    assert!(!differs, "{report}");
    let in_log: Vec<&Value> = report["generations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|generation| &generation["executions"]["log"])
        .collect();
    assert_eq!(in_log, [50, 480]);
    tamper(
        &home,
        "DELETE FROM executions WHERE (generation_id, offset_bytes) IN
           (SELECT generation_id, min(offset_bytes) FROM executions WHERE offset_bytes > 0 GROUP BY generation_id)",
    );
    let (report, differs) = verify(&home, logs);
    assert!(differs, "{report}");
    for generation in report["generations"].as_array().unwrap() {
        assert_eq!(generation["missing"], 1, "{report}");
    }
    // A position that only followed the format that was read holds nothing to compare.
    tamper(
        &home,
        "DELETE FROM executions WHERE generation_id = (SELECT id FROM generations WHERE path LIKE '%.log')",
    );
    let told = home.run(&["verify", logs, "--server", "shop"]);
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(
        told.contains("not compared: the server's log was read in another format"),
        "{told}"
    );
}

/// A power cut takes the end of the log away, and the server goes on writing: a generation of its own goes on where the old one still holds.
#[test]
fn verify_knows_what_was_read_as_an_earlier_generation() {
    let home = Home::new();
    let padding = "x".repeat(600);
    let lines = |numbers: std::ops::Range<u32>| -> String {
        let line = |number| {
            format!(
                "2026-10-25 08:00:{:02}.{:03} UTC [7] LOG:  duration: 3.000 ms  statement: select {number} as {padding}\n",
                number / 1000,
                number % 1000
            )
        };
        numbers.map(line).collect()
    };
    let path = write_log(&home, &lines(0..2000));
    let watch_until = |newest: &str| {
        let _watch = home.watch(&["--server", "shop", &path]);
        let stored = || {
            let data = home.query("{ executions(first: 1) { nodes { startedAt } } }");
            (data["executions"]["nodes"][0]["startedAt"] == newest).then_some(())
        };
        crate::plantail::wait_for(stored).unwrap();
    };
    watch_until("2026-10-25T08:00:01.996Z");
    fs::write(&path, lines(0..1800) + &lines(2000..2100)).unwrap();
    watch_until("2026-10-25T08:00:02.096Z");
    let (report, differs) = verify(&home, &path);
    assert!(!differs, "{report}");
    let generations = report["generations"].as_array().unwrap();
    assert_eq!(generations.len(), 1, "{report}");
    let compared = generations[0]["executions"]["log"].as_u64().unwrap();
    assert!((99..1899).contains(&compared), "{report}");
    tamper(
        &home,
        "DELETE FROM executions WHERE started_at = unixepoch('2026-10-25 08:00:02') * 1000000 + 47000",
    );
    let (report, differs) = verify(&home, &path);
    assert!(differs, "{report}");
    assert_eq!(report["generations"][0]["missing"], 1, "{report}");
}

#[test]
fn migrate_tells_the_schema() {
    let home = Home::new();
    let check = |home: &Home| {
        let output = home.run(&["migrate", "--check"]);
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).unwrap())
    };
    let (code, said) = check(&home);
    assert_eq!(code, Some(1));
    assert!(said.contains("has no schema yet"), "{said}");
    assert!(!home.path("store.db").exists());
    let said = home.stdout(&["migrate"]);
    assert!(said.contains(": created schema 2026"), "{said}");
    let (code, said) = check(&home);
    assert_eq!(code, Some(0));
    assert!(said.contains("is up to date"), "{said}");
    tamper(
        &home,
        "INSERT INTO __diesel_schema_migrations (version) VALUES ('20991231000000')",
    );
    for command in [&["migrate"][..], &["migrate", "--check"], &["serve"]] {
        let output = home.run(command);
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("has schema 20991231000000"), "{said}");
    }
}

#[test]
fn export_gives_every_execution_once() {
    let home = Home::new();
    let path = write_log(&home, &log_text(0..50));
    home.import(&[&path, "--server", "shop"]);
    let lines: Vec<Value> = home
        .stdout(&["export", "--server", "shop"])
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let ids: std::collections::BTreeSet<&str> = lines
        .iter()
        .map(|line| line["id"].as_str().unwrap())
        .collect();
    assert_eq!((lines.len(), ids.len()), (1200, 1200));
    let newest = &lines[0];
    assert_eq!(newest["server"], "shop");
    assert_eq!(
        newest["query"]["normalizedSql"],
        "select a from t4 where b = $1"
    );
    assert_eq!(newest["startedAt"], "2026-10-20T22:59:58.7495Z");
    assert_eq!(
        (&newest["durationMs"], &newest["planCount"]),
        (&1300.0.into(), &1.into())
    );
    let since = ["export", "--since", "2026-10-20T22:00:00Z"];
    assert_eq!(home.stdout(&since).lines().count(), 1);
}
