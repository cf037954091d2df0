use std::{fs, path::Path, process::Command};

use crate::{plantail::Home, postgres::required};

fn project(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

#[test]
fn the_unit_file_is_valid_with_the_binary_in_place() {
    let unit = project("systemd/plantail.service");
    let home = Home::new();
    let installed = unit.replace("/usr/local/bin/plantail", env!("CARGO_BIN_EXE_plantail"));
    assert_ne!(unit, installed, "the unit runs /usr/local/bin/plantail");
    let path = home.path("plantail.service");
    fs::write(&path, installed).unwrap();
    let output = match Command::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .arg(&path)
        .output()
    {
        Ok(output) => output,
        Err(error) => {
            assert!(!required("systemd"), "systemd-analyze: {error}");
            eprintln!("skipped: systemd-analyze is not installed");
            return;
        }
    };
    let stderr = String::from_utf8_lossy(&output.stderr);
    let about_us: Vec<_> = stderr
        .lines()
        .filter(|line| line.contains("plantail"))
        .collect();
    assert!(output.status.success() && about_us.is_empty(), "{stderr}");
}

/// Every setting of the example is commented out with its default, so with each of them switched on the configuration is read and changes nothing
/// but what has no default. The table of settings has each of them.
#[test]
fn every_setting_of_the_example_is_one_that_exists() {
    let example = project("systemd/plantail.toml");
    let switched_on: String = example
        .lines()
        .map(|line| match line.strip_prefix("#") {
            Some(setting) if !setting.starts_with(' ') => setting,
            _ => line,
        })
        .fold(String::new(), |text, line| text + line + "\n");
    let home = Home::new();
    let config = home.path("plantail.toml");
    let key = home.path("api-key");
    fs::write(&key, "secret").unwrap();
    let switched_on = switched_on.replace("/etc/plantail/api-key", key.to_str().unwrap());
    fs::write(&config, switched_on).unwrap();
    let output = home.run(&["check", "--config", config.to_str().unwrap()]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_ne!(output.status.code(), Some(2), "{stderr}");
    let documented = project("docs/configuration.md");
    let settings: Vec<&str> = example
        .lines()
        .filter(|line| !line.starts_with("# "))
        .filter_map(|line| line.trim_start_matches('#').split_once(" = "))
        .map(|(setting, _)| setting.trim_matches('"'))
        .collect();
    assert!(settings.len() >= 30, "{settings:?}");
    for setting in settings {
        assert!(
            documented.contains(setting),
            "{setting} is missing in docs/configuration.md"
        );
    }
}
