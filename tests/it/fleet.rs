use std::{
    fs,
    process::{Child, Command, Stdio},
    sync::Arc,
};

use crate::{
    faults::database,
    plantail::{Home, wait_for},
    postgres::Postgres,
};

/// The blocks of SQL that docs/postgresql-store.md has for roles: for any database, and for the new one.
fn roles() -> Vec<&'static str> {
    let document = include_str!("../../docs/postgresql-store.md");
    let (_, rest) = document
        .split_once("\n## Database and roles\n")
        .expect("the section");
    let section = rest.split("\n## ").next().unwrap();
    let blocks = section.split("```sql\n").skip(1);
    blocks
        .map(|text| text.split("\n```").next().unwrap())
        .collect()
}

/// A process in the background. Dropped, it is killed.
struct Background(Child);

impl Background {
    /// Its messages go to a file of its home.
    fn start(mut command: Command, home: &Home) -> Self {
        let log = fs::File::create(home.path("log")).unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        Self(child.unwrap())
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A home with a server of that name whose log has so many statements.
fn agent(name: &str, statements: usize) -> Home {
    let mut home = Home::new();
    let log = home.path("postgresql.log");
    let text: String = (0..statements)
        .map(|number| {
            format!(
                "2026-11-20 08:00:{:02}.000 UTC [7] app@{name} LOG:  duration: 3.000 ms  statement: select {number} from orders\n",
                number % 60
            )
        })
        .collect();
    fs::write(&log, text).unwrap();
    home.set_config(&format!(
        "[[servers]]\nname = \"{name}\"\npaths = [\"{}\"]\n",
        log.display()
    ));
    home
}

#[test]
fn agents_write_into_one_database_and_a_reader_serves_it() {
    let Some(server) = database::shared() else {
        return;
    };
    let blocks = roles();
    let [in_any_database, in_the_new_one] = blocks.as_slice() else {
        panic!("{} blocks of SQL", blocks.len());
    };
    for (database, block) in [("postgres", in_any_database), ("plantail", in_the_new_one)] {
        let connect = format!("\\c {database}");
        for statement in block.split(";\n") {
            server.psql(&[&connect, statement]);
        }
    }
    let store = database::Database::named(Arc::clone(&server), "plantail");

    let mut reader = Home::new();
    reader.set_store(&store.url("plantail_reader"));
    for command in [
        &["summary"][..],
        &["query", "{ servers { name } }"],
        &["serve"],
    ] {
        let output = reader.run(command);
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{command:?}: {message}");
        assert!(
            message.contains("the store has no tables yet")
                && message.contains("run plantail migrate"),
            "{command:?}: {message}"
        );
    }

    // Both find no schema and make it.
    let agents = [("shop", 40), ("forum", 70)].map(|(name, statements)| {
        let mut home = agent(name, statements);
        home.set_store(&store.url("plantail_writer"));
        let process = Background::start(home.command(&["watch", "--no-api"]), &home);
        (home, process)
    });
    let messages = || -> String {
        let logs = agents.iter().map(|(home, _)| home.path("log"));
        logs.map(|log| fs::read_to_string(log).unwrap()).collect()
    };
    let url = store.url("postgres");
    wait_for(|| (database::count_rows(&url) == Some(110)).then_some(()))
        .unwrap_or_else(|| panic!("{:?} rows: {}", database::count_rows(&url), messages()));

    let api = Background::start(
        reader.command(&["serve", "--listen", "127.0.0.1:0"]),
        &reader,
    );
    let address = wait_for(|| {
        let log = fs::read_to_string(reader.path("log")).unwrap();
        let address = log.split("http://").nth(1)?.split("/graphql").next()?;
        Some(address.to_owned())
    })
    .unwrap_or_else(|| panic!("{}", fs::read_to_string(reader.path("log")).unwrap()));
    let ask = |document: &str| -> serde_json::Value {
        let body = serde_json::json!({ "query": document }).to_string();
        let (_, answer) = crate::plantail::http(&address, "POST", "/graphql", &body);
        serde_json::from_str(&answer).unwrap()
    };
    let answer = ask(
        "{ servers { name } queriesConnection(first: 10) { nodes { normalizedSql totalExecutions } } }",
    );
    assert_eq!(answer.get("errors"), None, "{answer}");
    let sorted = |list: &serde_json::Value, field: &str| -> Vec<String> {
        let items = list.as_array().unwrap().iter();
        let mut found: Vec<String> = items.map(|item| item[field].to_string()).collect();
        found.sort();
        found
    };
    let data = &answer["data"];
    assert_eq!(sorted(&data["servers"], "name"), ["\"forum\"", "\"shop\""]);
    let executions = sorted(&data["queriesConnection"]["nodes"], "totalExecutions");
    assert_eq!(executions, ["\"40\"", "\"70\""], "{answer}");
    drop(api);

    // What reads works; what writes is refused, and leaves everything as it was.
    let summary = reader.stdout(&["summary"]);
    assert!(summary.contains("forum: 70 logged executions"), "{summary}");
    let log = agents[0].0.path("postgresql.log");
    for command in [
        &["import", log.to_str().unwrap()][..],
        &["watch", "--no-api", log.to_str().unwrap()],
    ] {
        let mut process = Background::start(reader.command(command), &reader);
        let status = wait_for(|| process.0.try_wait().unwrap());
        let message = fs::read_to_string(reader.path("log")).unwrap();
        assert_eq!(
            status.and_then(|status| status.code()),
            Some(1),
            "{command:?}: {message}"
        );
        let told = "role plantail_reader may not write to the store, it lacks INSERT, UPDATE, DELETE on table servers";
        assert!(
            message.contains(told) && message.contains("GRANT plantail_owner TO plantail_reader"),
            "{command:?}: {message}"
        );
    }
    assert_eq!(database::count_rows(&url), Some(110));

    // An older schema is not brought up to date by who only reads.
    server.psql(&[
        "\\c plantail",
        "DELETE FROM __diesel_schema_migrations WHERE version = (SELECT max(version) FROM __diesel_schema_migrations)",
    ]);
    let output = reader.run(&["summary"]);
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(
        !output.status.success() && message.contains("run plantail migrate"),
        "{message}"
    );
}

#[test]
fn the_way_to_the_store_is_encrypted_and_its_server_proved() {
    let process = std::process::id();
    let (high, middle, low) = (process >> 16 & 0x3f, process >> 8 & 0xff, process & 0xff);
    // Where no other test process listens.
    let address = format!("127.{}.{middle}.{low}", 192 + high.min(62));
    let settings = format!("{}listen_addresses = '{address}'\n", database::SETTINGS);
    let Some(server) = Postgres::start(&settings) else {
        return;
    };
    let files = tempfile::tempdir().unwrap();
    server.speak_tls(files.path(), &address);
    server.psql(&[
        "COPY (VALUES ('local all all trust'), ('hostssl all all 127.0.0.0/8 scram-sha-256')) TO PROGRAM 'cat > pg_hba.conf'",
        "ALTER ROLE postgres PASSWORD 'sesame street'",
        "SELECT pg_reload_conf()",
    ]);
    let database = database::Database::new(Arc::new(server));
    let url = |authority: &str| {
        database
            .url("postgres:sesame%20street")
            .replace("@/", &format!("@{address}/"))
            .split('?')
            .next()
            .unwrap()
            .to_owned()
            + &format!(
                "?sslmode=verify-full&sslrootcert={}",
                files.path().join(authority).display()
            )
    };
    let mut home = agent("shop", 40);
    let log = home.path("postgresql.log").display().to_string();

    home.set_store(&url("other-ca.crt"));
    let output = home.run(&["import", &log]);
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(
        !output.status.success() && message.contains("an authority that is not trusted"),
        "{message}"
    );
    assert!(!message.contains("sesame"), "{message}");

    home.set_store(&url("ca.crt"));
    home.stdout(&["import", &log]);
    assert_eq!(database::count_rows(&database.url("postgres")), Some(40));
    let data = home.query("{ ingestHealth { executions } }");
    assert_eq!(data["ingestHealth"]["executions"], "40");
}
