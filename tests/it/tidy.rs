use std::{
    fs,
    path::{Path, PathBuf},
};

/// Floor of each module: a module imports only from floors below its own.
const FLOORS: &[(&str, u8)] = &[
    ("model", 0),
    ("telemetry", 0),
    ("failpoint", 0),
    ("tail", 1),
    ("record", 1),
    ("statement", 1),
    ("plan", 1),
    ("execution", 2),
    ("store", 3),
    ("analysis", 4),
    ("advice", 5),
    ("digest", 5),
    ("api", 6),
    ("daemon", 7),
    ("config", 8),
    ("cli", 9),
];

/// Crates that only one place may use.
const CONFINED: &[(&str, &[&str])] = &[
    ("diesel", &["src/store/"]),
    ("sketches_ddsketch", &["src/store/sketch.rs"]),
    ("juniper", &["src/api/"]),
    ("warp", &["src/api/"]),
    ("reqwest", &["src/advice/client.rs"]),
    ("notify", &["src/tail/"]),
    ("figment", &["src/config/"]),
    (
        "nom",
        &[
            "src/record/",
            "src/statement/",
            "src/plan/",
            "src/analysis/",
        ],
    ),
    ("clap", &["src/cli/", "src/telemetry.rs", "src/main.rs"]),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file below `folder` that is built into the program, with its path from the project's root.
fn sources(folder: &str) -> Vec<(String, String)> {
    let mut files = Vec::new();
    let mut folders: Vec<PathBuf> = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path
                    .strip_prefix(root())
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .to_owned();
                files.push((name, fs::read_to_string(path).unwrap()));
            }
        }
    }
    files.retain(|(name, _)| !is_test(name));
    files.sort();
    files
}

/// Files that hold nothing but tests and what only tests use.
fn is_test(name: &str) -> bool {
    let file = name.rsplit('/').next().unwrap();
    let test_only = [
        "fixture.rs",
        "sample.rs",
        "real_logs.rs",
        "test_plans.rs",
        "test_cases.rs",
        "torn_logs.rs",
    ];
    name.contains("/tests/")
        || file.ends_with("_tests.rs")
        || file == "tests.rs"
        || test_only.contains(&file)
}

fn floor(module: &str) -> Option<u8> {
    FLOORS
        .iter()
        .find(|(name, _)| *name == module)
        .map(|(_, floor)| *floor)
}

/// The module of `src/` that a file belongs to.
fn module_of(file: &str) -> &str {
    file.strip_prefix("src/")
        .unwrap()
        .split(['/', '.'])
        .next()
        .unwrap()
}

/// Modules that the text names by `crate::`, in paths and in grouped imports.
fn imported(text: &str) -> Vec<String> {
    let mut modules = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            None => modules.push(leading_word(rest)),
            Some(group) => {
                let mut depth = 0;
                let mut start = true;
                for (at, c) in group.char_indices() {
                    match c {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => start = true,
                        c if start && c.is_alphabetic() => {
                            modules.push(leading_word(&group[at..]));
                            start = false;
                        }
                        _ => {}
                    }
                }
            }
        }
    }
    modules
}

fn leading_word(text: &str) -> String {
    text.chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect()
}

/// Code without comments and without the tests at its end: what is built into the program.
fn program(text: &str) -> String {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let code = code
        .split("#[cfg(test)]\npub(super) mod tests {")
        .next()
        .unwrap();
    code.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .fold(String::new(), |all, line| all + line + "\n")
}

#[test]
fn imports_go_down_only() {
    let mut wrong = Vec::new();
    for (file, text) in sources("src") {
        let module = module_of(&file);
        let Some(own) = floor(module) else {
            assert!(
                ["lib", "main"].contains(&module),
                "{file} has no floor: give it one here and in the README"
            );
            continue;
        };
        for used in imported(&program(&text)) {
            let below = used == module || floor(&used).is_some_and(|floor| floor < own);
            if !below {
                wrong.push(format!("{file} imports crate::{used}"));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert_eq!(
        imported("use crate::{\n  model::{a, b},\n  store,\n};\ncrate::tail::x()"),
        ["model", "store", "tail"]
    );
}

#[test]
fn each_library_stays_where_it_belongs() {
    let mut wrong = Vec::new();
    for (file, text) in sources("src") {
        let code = program(&text);
        for (library, places) in CONFINED {
            let uses = code
                .match_indices(&format!("{library}::"))
                .any(|(at, _)| !code[..at].ends_with(['_', ':']));
            if uses && !places.iter().any(|place| file.starts_with(place)) {
                wrong.push(format!("{file} uses {library}"));
            }
        }
        if file.starts_with("src/model/") && (code.contains("Serialize") || code.contains("async "))
        {
            wrong.push(format!("{file}: the model is plain values"));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn every_file_says_what_it_is_and_can_be_read_in_one_sitting() {
    for (file, text) in sources("src") {
        assert!(
            text.starts_with("//!"),
            "{file} begins with //! and what it is"
        );
        let lines = program(&text).lines().count();
        assert!(
            lines <= 450,
            "{file} has {lines} lines: split it by concept"
        );
        for word in ["utils", "helpers", "common", "manager", "misc"] {
            assert!(!file.contains(word), "{file}: name the concept");
        }
    }
}

#[test]
fn the_readme_names_places_that_exist() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let map = readme
        .split("## How it is built")
        .nth(1)
        .unwrap()
        .split("\n## ")
        .next()
        .unwrap();
    let mut named = 0;
    for quoted in map
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|quoted| quoted.ends_with('/') || quoted.ends_with(".rs"))
    {
        let path = if quoted.starts_with("src/") {
            quoted.to_owned()
        } else {
            format!("src/{quoted}")
        };
        assert!(
            root().join(&path).exists() || root().join(quoted).exists(),
            "{quoted}"
        );
        named += 1;
    }
    assert!(named > 10, "the map names the stages");
    for (module, _) in FLOORS {
        assert!(map.contains(module), "{module} is missing in the map");
    }
}
