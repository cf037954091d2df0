use std::{
    fs,
    io::Write,
    process::{Output, Stdio},
    time::Duration,
};

use serde_json::Value;

use crate::plantail::Home;

/// Runs import with standard input from a pipe into which `parts` are written, with pauses between them.
fn import(home: &Home, args: &[&str], parts: &[&[u8]]) -> Output {
    let mut command = home.command(&[&["import"], args].concat());
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    for (number, part) in parts.iter().enumerate() {
        if number > 0 {
            // So that it takes several reads: what a fast pipe would give at once.
            std::thread::sleep(Duration::from_millis(20));
        }
        stdin.write_all(part).unwrap();
    }
    drop(stdin);
    child.wait_with_output().unwrap()
}

fn report(home: &Home, args: &[&str], parts: &[&[u8]]) -> Value {
    let output = import(home, &[args, &["--report", "json"]].concat(), parts);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

fn sample() -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/sample-logs/shop-primary");
    let mut logs: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|ext| ext == "log" || ext == "json")
        })
        .collect();
    logs.sort();
    fs::read(&logs[0]).unwrap()
}

#[test]
fn standard_input_is_a_log_like_any_other() {
    let home = Home::new();
    let log = sample();
    let half = log.len() / 2;
    let first = report(&home, &["-"], &[&log[..10], &log[10..half], &log[half..]]);
    assert!(first["executions"].as_u64() > Some(0), "{first}");
    assert_eq!(first["bytes"].as_u64(), Some(log.len() as u64));
    // The same again, compressed or not, and as a file of the same server.
    let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
    xz.write_all(&log).unwrap();
    let xz = xz.finish().unwrap();
    let path = home.path("the-same");
    fs::write(&path, &log).unwrap();
    for (args, content) in [
        (vec!["-"], log.as_slice()),
        (vec!["-"], xz.as_slice()),
        (
            vec!["--server", "stdin", path.to_str().unwrap()],
            b"".as_slice(),
        ),
    ] {
        let again = report(&home, &args, &[content]);
        assert_eq!(
            (again["records_total"].as_u64(), again["bytes"].as_u64()),
            (Some(0), Some(0)),
            "{args:?}"
        );
    }
    // Another server's.
    let other = report(&home, &["-", "--server", "other"], &[&xz]);
    assert_eq!(other["executions"], first["executions"]);
    let left: Vec<_> = fs::read_dir(home.path(""))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains("stdin"))
        .collect();
    assert_eq!(left, Vec::<String>::new());
}

#[test]
fn wrapped_logs_from_standard_input() {
    let home = Home::new();
    let log: String = (0..9)
        .map(|n| {
            format!("{{\"log\":\"2026-11-20 10:00:0{n}.000 UTC [7] LOG:  duration: 5.000 ms  statement: select 1\\n\",\"stream\":\"stderr\",\"time\":\"2026-11-20T10:00:00Z\"}}\n")
        })
        .collect();
    let report = report(&home, &["-"], &[log.as_bytes()]);
    assert_eq!(
        report["servers"][0]["formats"],
        serde_json::json!(["docker, stderr"])
    );
    assert_eq!(report["executions"], 9);
}

#[test]
fn what_standard_input_can_not_be() {
    let home = Home::new();
    for (args, content, code, words) in [
        (vec!["-", "x.log"], "", 2, "nothing else"),
        (
            vec!["-"],
            "what is this LOG:  x\n",
            2,
            "log_line_prefix of standard input",
        ),
        (
            vec!["-", "--input-format", "klingon"],
            "",
            2,
            "cloudnativepg",
        ),
    ] {
        let output = import(&home, &args, &[content.as_bytes()]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?} {stderr}");
        assert!(stderr.contains(words), "{args:?} {stderr}");
    }
    let watch = home.run(&["watch", "-"]);
    assert_eq!(watch.status.code(), Some(2));
}
