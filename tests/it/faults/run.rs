use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, OpenOptions},
    io::Write,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use rusqlite::{Connection, OpenFlags};

use super::{
    database::{self, Database},
    oracle::{Format, Writer, Written},
};
use crate::{
    plantail::{Home, signal, wait_for},
    postgres::Postgres,
};

/// How long a row waits for what takes a second or two on an idle machine.
const PATIENCE: Duration = Duration::from_secs(100);

/// Where the rows go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StoreKind {
    Sqlite,
    Postgres,
}

impl StoreKind {
    fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
        }
    }
}

/// Which stores a row runs with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stores {
    /// SQLite beside the other tests, both otherwise.
    Either,
    /// Both beside the other tests, too.
    Both,
    Only(StoreKind),
}

impl Stores {
    fn kinds(self) -> &'static [StoreKind] {
        match self {
            Self::Either if form() == "quick" => &[StoreKind::Sqlite],
            Self::Either | Self::Both => &[StoreKind::Sqlite, StoreKind::Postgres],
            Self::Only(StoreKind::Sqlite) => &[StoreKind::Sqlite],
            Self::Only(StoreKind::Postgres) => &[StoreKind::Postgres],
        }
    }
}

/// Whether the long form of each test runs: more rounds, all combinations.
pub(crate) fn long() -> bool {
    form() == "long"
}

/// `FAULTS`: `quick` beside the other tests, `all` for all combinations, `long` for those and more rounds.
fn form() -> String {
    std::env::var("FAULTS").unwrap_or_else(|_| "quick".to_owned())
}

/// How many rounds or records: few beside the other tests, many in the long form.
pub(crate) fn rounds(quick: usize, many: usize) -> usize {
    if long() { many } else { quick }
}

/// Runs a row of the matrix with each format, with and without notifications and with each store; beside the other tests with one format and SQLite
/// only, another one for each row.
pub(crate) fn each(row: &str, fault: &str, formats: &[Format], test: impl Fn(&mut World)) {
    each_in(Stores::Either, row, fault, formats, test);
}

/// The same with these stores.
pub(crate) fn each_in(
    stores: Stores,
    row: &str,
    fault: &str,
    formats: &[Format],
    test: impl Fn(&mut World),
) {
    let mut combinations = Vec::new();
    for (number, format) in formats.iter().enumerate() {
        for notify in [true, false] {
            combinations.push((*format, notify, number.is_multiple_of(2) == notify));
        }
    }
    if form() == "quick" {
        let number: usize = row.bytes().map(usize::from).sum();
        combinations = vec![combinations[number % combinations.len()]];
        combinations[0].2 = true;
    }
    for store in stores.kinds() {
        if std::env::var("FAULTS_STORE").is_ok_and(|only| only != store.name()) {
            continue;
        }
        for (format, notify, is_turn) in &combinations {
            // A store in PostgreSQL takes longer: half of them will do where each is run for the table.
            if *store == StoreKind::Postgres && !is_turn && !long() {
                continue;
            }
            let Some(mut world) = World::new(row, fault, *format, *notify, *store) else {
                continue;
            };
            test(&mut world);
            world.report();
        }
    }
}

/// A log, its writer, the daemon that follows it and the store.
pub(crate) struct World {
    row: String,
    fault: String,
    pub(crate) home: Home,
    notify: bool,
    store: StoreKind,
    /// Where the store is, if it isn't a file.
    database: Option<Database>,
    logs_home: tempfile::TempDir,
    /// The folder of the log.
    pub(crate) logs: PathBuf,
    pub(crate) writer: Writer,
    child: Option<Child>,
    /// Additional environment of the daemon's next start.
    pub(crate) environment: Vec<(String, String)>,
    /// Command and arguments that run the daemon.
    pub(crate) wrapped_in: Vec<String>,
    /// What is written twice by this fault is let pass, and told in the table.
    pub(crate) may_double: bool,
    /// Records that stand damaged in the log are stored as they stand there.
    pub(crate) may_be_damaged: bool,
    /// Records that nobody can tell from the text before them: a record was torn there and these were written behind its last byte.
    pub(crate) may_lose: Vec<u64>,
    /// Rows and lines that are none of the list are let pass.
    pub(crate) may_be_torn: bool,
    skipped: bool,
    starts: usize,
    began: Instant,
    verdict: Option<Verdict>,
}

impl World {
    /// `None`, with a message, where PostgreSQL is needed and isn't installed.
    fn new(row: &str, fault: &str, format: Format, notify: bool, store: StoreKind) -> Option<Self> {
        let mut home = Home::new();
        let database = match store {
            StoreKind::Sqlite => None,
            StoreKind::Postgres => Some(Database::new(database::shared()?)),
        };
        if let Some(database) = &database {
            home.set_store(&database.url("postgres"));
        }
        let mut world = Self {
            row: row.to_owned(),
            fault: fault.to_owned(),
            logs: PathBuf::new(),
            logs_home: tempfile::tempdir().unwrap(),
            writer: Writer::new(format, PathBuf::new()),
            home,
            notify,
            store,
            database,
            child: None,
            environment: Vec::new(),
            wrapped_in: Vec::new(),
            may_double: false,
            may_be_damaged: false,
            may_lose: Vec::new(),
            may_be_torn: false,
            skipped: false,
            starts: 0,
            began: Instant::now(),
            verdict: None,
        };
        let logs = world.logs_home.path().join("logs");
        world.follow(&logs);
        Some(world)
    }

    pub(crate) fn store(&self) -> StoreKind {
        self.store
    }

    /// The database of the store.
    pub(crate) fn database(&self) -> &Database {
        self.database.as_ref().expect("a store in PostgreSQL")
    }

    /// Puts the store on a server that no other row has, so that it can be stopped.
    pub(crate) fn own_server(&mut self) {
        let server = Postgres::start(database::SETTINGS).expect("the shared one was there");
        let database = Database::new(Arc::new(server));
        self.home.set_store(&database.url("postgres"));
        self.database = Some(database);
    }

    /// Begins anew with the store in this folder.
    pub(crate) fn store_inside(&mut self, folder: &Path) {
        self.home = Home::inside(folder);
        let logs = self.logs.clone();
        self.follow(&logs);
    }

    /// The log is in this folder.
    pub(crate) fn follow(&mut self, logs: &Path) {
        let format = self.writer.format();
        fs::create_dir_all(logs).unwrap();
        let poll_interval_ms = if self.notify { 1000 } else { 50 };
        self.home.set_config(&format!(
            "[privacy]\nliterals = \"keep\"\n[tail]\nnotify = {}\npoll_interval_ms = {poll_interval_ms}\n[[servers]]\nname = \"shop\"\npaths = [\"{}\"]\n",
            self.notify,
            logs.display()
        ));
        self.writer = Writer::new(
            format,
            logs.join(format!("postgresql.{}", format.extension())),
        );
        self.logs = logs.to_owned();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.logs.join(name)
    }

    /// Starts `plantail watch` and doesn't wait for anything.
    pub(crate) fn start(&mut self) {
        assert!(self.child.is_none());
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.home.path("daemon.log"))
            .unwrap();
        let mut command = self.home.command(&["watch", "--no-api"]);
        if let [program, arguments @ ..] = self.wrapped_in.as_slice() {
            let mut outer = std::process::Command::new(program);
            outer
                .args(arguments)
                .arg(command.get_program())
                .args(command.get_args());
            for (name, value) in command.get_envs() {
                match value {
                    Some(value) => outer.env(name, value),
                    None => outer.env_remove(name),
                };
            }
            command = outer;
        }
        command
            .envs(self.environment.drain(..))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        self.child = Some(command.spawn().unwrap());
        self.starts += 1;
    }

    /// Starts it with fail points.
    #[cfg(feature = "failpoints")]
    pub(crate) fn start_with(&mut self, failpoints: &str) {
        self.environment
            .push(("FAILPOINTS".to_owned(), failpoints.to_owned()));
        self.start();
    }

    pub(crate) fn process_id(&self) -> u32 {
        self.child.as_ref().expect("the daemon runs").id()
    }

    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// SIGTERM; the daemon has to end in time and with 0.
    pub(crate) fn stop(&mut self) {
        // One that was started a moment ago dies of it.
        let status = PathBuf::from(format!("/proc/{}/status", self.process_id()));
        self.wait_until("handler of SIGTERM", || {
            let status = fs::read_to_string(&status).unwrap_or_default();
            let mut caught = status
                .lines()
                .filter_map(|line| line.strip_prefix("SigCgt:"));
            let caught = caught
                .next()
                .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
            caught.is_none_or(|mask| mask & (1 << 14) != 0)
        });
        signal(self.process_id(), "TERM");
        let began = Instant::now();
        let status = self.ends();
        assert_eq!(status.code(), Some(0), "{}", self.log());
        assert!(began.elapsed() < Duration::from_secs(6));
    }

    /// Waits until the daemon has ended by itself.
    pub(crate) fn ends(&mut self) -> std::process::ExitStatus {
        let mut child = self.child.take().unwrap();
        let status = wait_for(|| child.try_wait().unwrap());
        if status.is_none() {
            child.kill().unwrap();
        }
        status.unwrap_or_else(|| panic!("it doesn't end: {}", self.log()))
    }

    /// Waits until the daemon has died of a signal at a fail point.
    #[cfg(feature = "failpoints")]
    pub(crate) fn aborts(&mut self, failpoints: &str) {
        let status = self.ends();
        assert_eq!(status.signal(), Some(6), "{failpoints}: {}", self.log());
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child
            .as_mut()
            .is_none_or(|child| child.try_wait().unwrap().is_some())
    }

    /// What the daemon has said so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.home.path("daemon.log")).unwrap_or_default()
    }

    /// Runs as root on Debian; elsewhere rows that need root say that they are skipped.
    pub(crate) fn is_root() -> bool {
        use std::os::unix::fs::MetadataExt;
        let root = fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
        if !root {
            eprintln!("skipped: not root");
        }
        root
    }

    /// Writes a record that was made, in pieces that end at these offsets; `between` is called at each cut with its number.
    pub(crate) fn write_in_pieces(
        &mut self,
        (mut written, bytes): (Written, Vec<u8>),
        cuts: &[usize],
        mut between: impl FnMut(&mut Self, usize),
    ) {
        let mut from = 0;
        for (number, cut) in cuts.iter().copied().chain([bytes.len()]).enumerate() {
            self.writer.raw(&bytes[from..cut]);
            if from == 0 {
                written.life = self.writer.life();
                written.start = self.writer.life_bytes() - cut as u64;
            }
            from = cut;
            if cut < bytes.len() {
                between(self, number);
            }
        }
        written.end = self.writer.life_bytes();
        self.writer.written.push(written);
    }

    /// Waits until at least so many executions are in the store.
    pub(crate) fn wait_for_rows(&self, count: usize) {
        self.wait_until(&format!("{count} rows"), || count_rows(&self.home) >= count);
    }

    pub(crate) fn wait_until(&self, what: &str, mut condition: impl FnMut() -> bool) {
        let began = Instant::now();
        while !condition() {
            assert!(
                began.elapsed() < PATIENCE,
                "row {}: no {what} within {PATIENCE:?}, {} rows of {}, {:?}\n{}",
                self.row,
                count_rows(&self.home),
                self.writer.written.len(),
                self.judge(),
                self.log()
            );
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Everything that was written is stored.
    pub(crate) fn settle(&self) {
        self.wait_for_rows(self.writer.written.len());
    }

    pub(crate) fn judge(&self) -> Verdict {
        let stored = rows(self.store, &self.home);
        judge(&self.writer, &stored, self.may_be_torn)
    }

    /// X1: waits until every record is there, lets the daemon end, and imports what is there: nothing is left to import, each record is there once
    /// and whole, every byte of every content is counted once, and nothing was declared lost.
    pub(crate) fn expect_all(&mut self) {
        self.expect(&[]);
    }

    /// X1g: the same, but for records in gaps: exactly these, by the life that they are in, first byte and reason. `None`: wherever it was.
    pub(crate) fn expect(&mut self, gaps: &[(usize, Option<u64>, &str)]) {
        if self.child.is_none() {
            self.start();
        }
        let began = Instant::now();
        let mut pause = 20;
        let has_exceptions = !self.may_lose.is_empty() || self.may_be_damaged;
        loop {
            let there = has_exceptions
                || !gaps.is_empty()
                || count_rows(&self.home) >= self.writer.written.len();
            let verdict = self.judge();
            let is_settled = there && self.bears(&verdict) && verdict.gaps.len() >= gaps.len();
            if is_settled || began.elapsed() > PATIENCE {
                break;
            }
            assert!(!self.has_ended(), "it has ended: {}", self.log());
            thread::sleep(Duration::from_millis(pause));
            pause = (pause * 3 / 2).min(300);
        }
        self.check("the daemon", gaps);
        if !self.has_ended() {
            self.stop();
        }
        self.check("the daemon's last batch", gaps);
        if fs::read_dir(&self.logs).is_ok_and(|mut files| files.next().is_some()) {
            self.home.stdout(&["import"]);
            self.check("the import", gaps);
            if gaps.is_empty() && !self.may_double && !has_exceptions {
                let lives: usize = self.writer.lives.iter().map(Vec::len).sum();
                let stored = rows(self.store, &self.home);
                assert_eq!(stored.bytes, lives as u64, "row {}: bytes", self.row);
                assert!(
                    self.may_be_torn || (stored.unparsed, stored.torn) == (0, 0),
                    "row {}: lines unread",
                    self.row
                );
            }
        }
    }

    /// As [`World::expect_all`], where lines that were torn on purpose are in the log: they may have made rows of their own, whole records have not
    /// suffered.
    pub(crate) fn expect_all_but_torn(&mut self) {
        self.may_be_torn = true;
        self.expect_all();
    }

    fn check(&mut self, after: &str, gaps: &[(usize, Option<u64>, &str)]) {
        let verdict = self.judge();
        let declared: Vec<(usize, u64, &str)> = verdict
            .gaps
            .iter()
            .map(|gap| (gap.0, gap.1, gap.2.as_str()))
            .collect();
        let as_expected = declared.len() == gaps.len()
            && declared.iter().zip(gaps).all(|(found, expected)| {
                found.0 == expected.0
                    && expected.1.is_none_or(|from| from == found.1)
                    && found.2 == expected.2
            });
        assert!(
            self.bears(&verdict) && (self.may_double || verdict.doubled == 0) && as_expected,
            "row {} ({}) after {after}: {verdict:?}, gaps expected {gaps:?}\nstore: {:?}\nlog: {}",
            self.row,
            self.combination(),
            rows(self.store, &self.home).generations,
            self.log()
        );
        self.verdict = Some(verdict);
    }

    /// Nothing but what the row lets pass is lost or wrong.
    fn bears(&self, verdict: &Verdict) -> bool {
        let mut lost = verdict.lost.iter();
        lost.all(|number| self.may_lose.contains(number))
            && (self.may_be_damaged || verdict.wrong.is_empty())
    }

    fn combination(&self) -> String {
        format!(
            "{}, {}, {}",
            self.writer.format().name(),
            if self.notify { "notify" } else { "poll" },
            self.store.name()
        )
    }

    /// The row can't run here; the test has said why.
    pub(crate) fn skip(&mut self) {
        self.skipped = true;
    }

    /// One line for the table.
    fn report(&self) {
        if self.skipped {
            return;
        }
        let verdict = self.verdict.as_ref().expect("a row ends in a judgement");
        note(&Outcome {
            row: &self.row,
            fault: &self.fault,
            combination: &self.combination(),
            starts: self.starts,
            events: verdict.events,
            lost: verdict.lost.len(),
            doubled: verdict.doubled,
            gaps: verdict.gaps.len(),
            in_gaps: verdict.in_gaps,
            seconds: self.began.elapsed().as_secs_f64(),
        });
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// One run of a row.
pub(crate) struct Outcome<'a> {
    pub(crate) row: &'a str,
    pub(crate) fault: &'a str,
    pub(crate) combination: &'a str,
    /// How often the daemon was started.
    pub(crate) starts: usize,
    pub(crate) events: usize,
    pub(crate) lost: usize,
    pub(crate) doubled: usize,
    pub(crate) gaps: usize,
    /// Events that only a gap accounts for.
    pub(crate) in_gaps: usize,
    pub(crate) seconds: f64,
}

/// Adds a line to the results that `tests/faults` makes the table of.
pub(crate) fn note(outcome: &Outcome<'_>) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .parent()
        .unwrap()
        .join("faults");
    fs::create_dir_all(&folder).unwrap();
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(folder.join("results.tsv"))
        .unwrap();
    let Outcome {
        row,
        fault,
        combination,
        starts,
        events,
        lost,
        doubled,
        gaps,
        in_gaps,
        seconds,
    } = outcome;
    let line = format!(
        "{row}\t{fault}\t{combination}\t{starts}\t{events}\t{lost}\t{doubled}\t{gaps}\t{in_gaps}\t{seconds:.1}\n"
    );
    file.write_all(line.as_bytes()).unwrap();
}

/// What the store holds against what was written.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) events: usize,
    /// Numbers of records that are neither stored nor in a gap.
    pub(crate) lost: Vec<u64>,
    pub(crate) doubled: usize,
    /// Rows that are no record as it was written, or stand at another place.
    pub(crate) wrong: Vec<String>,
    /// Life, first byte, reason.
    pub(crate) gaps: Vec<(usize, u64, String)>,
    /// Records that only a gap accounts for.
    pub(crate) in_gaps: usize,
}

fn judge(writer: &Writer, stored: &Stored, may_be_torn: bool) -> Verdict {
    let written: HashMap<u64, &Written> = writer
        .written
        .iter()
        .map(|written| (written.number, written))
        .collect();
    let mut lives: HashMap<i64, usize> = stored
        .generations
        .iter()
        .filter_map(|found| {
            let life = writer.life_of(found.head_len, found.head_hash)?;
            Some((found.id, life))
        })
        .collect();
    let mut times: BTreeMap<u64, usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    for row in &stored.rows {
        *times.entry(row.number).or_default() += 1;
        match written.get(&row.number) {
            Some(written) => {
                // Where heads are equal the records tell which content it is.
                lives.insert(row.generation, written.life);
                if written.process_id != row.process_id
                    || written.start != row.offset_bytes
                    || row.statement.as_ref() != Some(&written.statement)
                {
                    let (row, written) = (format!("{row:?}"), format!("{written:?}"));
                    wrong.push(format!("{row:.600} instead of {written:.600}"));
                }
            }
            None if may_be_torn => {}
            None => wrong.push(format!("{row:?} was never written")),
        }
    }
    let mut gaps = Vec::new();
    let mut declared: HashMap<usize, Vec<(u64, u64)>> = HashMap::new();
    for gap in &stored.gaps {
        let life = lives.get(&gap.generation).copied();
        gaps.push((
            life.unwrap_or(usize::MAX),
            gap.from_bytes,
            gap.reason.clone(),
        ));
        if let Some(life) = life {
            let to = gap.to_bytes.unwrap_or(u64::MAX);
            declared.entry(life).or_default().push((gap.from_bytes, to));
        }
    }
    gaps.sort();
    let mut lost = Vec::new();
    let mut in_gaps = 0;
    for written in writer
        .written
        .iter()
        .filter(|written| !times.contains_key(&written.number))
    {
        let in_a_gap = declared.get(&written.life).is_some_and(|gaps| {
            gaps.iter()
                .any(|(from, to)| *from < written.end && written.start < *to)
        });
        match in_a_gap {
            true => in_gaps += 1,
            false => lost.push(written.number),
        }
    }
    Verdict {
        events: writer.written.len(),
        lost,
        doubled: times.values().map(|times| times - 1).sum(),
        wrong,
        gaps,
        in_gaps,
    }
}

/// An execution as it is stored.
#[derive(Debug)]
pub(crate) struct Row {
    pub(super) number: u64,
    pub(super) process_id: i64,
    pub(super) statement: Option<String>,
    pub(super) generation: i64,
    pub(super) offset_bytes: u64,
}

#[derive(Debug)]
#[expect(dead_code, reason = "shown where a row fails")]
pub(crate) struct GenerationRow {
    pub(crate) id: i64,
    pub(crate) path: String,
    pub(super) head_len: u64,
    pub(super) head_hash: u128,
    pub(crate) offset_bytes: u64,
    pub(crate) state: String,
}

#[derive(Debug)]
pub(crate) struct GapRow {
    pub(super) generation: i64,
    pub(crate) from_bytes: u64,
    pub(crate) to_bytes: Option<u64>,
    pub(crate) reason: String,
}

#[derive(Debug, Default)]
pub(crate) struct Stored {
    pub(crate) rows: Vec<Row>,
    pub(crate) generations: Vec<GenerationRow>,
    pub(crate) gaps: Vec<GapRow>,
    pub(crate) bytes: u64,
    pub(crate) unparsed: u64,
    pub(crate) torn: u64,
}

fn open(home: &Home) -> Option<Connection> {
    let path = home.path("store.db");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).ok()?;
    connection.busy_timeout(PATIENCE).unwrap();
    Some(connection)
}

pub(crate) fn count_rows(home: &Home) -> usize {
    let count = || -> Option<i64> {
        let counted = "SELECT count(*) FROM executions";
        open(home)?.query_row(counted, [], |row| row.get(0)).ok()
    };
    if home.store_url().starts_with("postgres:") {
        return database::count_rows(&home.store_url()).unwrap_or_default();
    }
    // A store that isn't made yet has none.
    usize::try_from(count().unwrap_or_default()).unwrap()
}

/// What the store holds, one snapshot.
pub(crate) fn rows(store: StoreKind, home: &Home) -> Stored {
    match store {
        StoreKind::Sqlite => sqlite_rows(home).unwrap_or_default(),
        StoreKind::Postgres => database::rows(&home.store_url()).unwrap_or_default(),
    }
}

fn sqlite_rows(home: &Home) -> Option<Stored> {
    let mut connection = open(home)?;
    let snapshot = connection.transaction().ok()?;
    let unsigned = |value: i64| u64::try_from(value).unwrap();
    let mut found = Stored::default();
    let mut select = snapshot
        .prepare("SELECT duration_ms, process_id, statement, generation_id, offset_bytes FROM executions")
        .ok()?;
    let rows = select.query_map([], |row| {
        Ok(Row {
            number: (row.get::<_, f64>(0)? * 1000.0).round() as u64,
            process_id: row.get(1)?,
            statement: row.get(2)?,
            generation: row.get(3)?,
            offset_bytes: unsigned(row.get(4)?),
        })
    });
    found.rows = rows.unwrap().map(Result::unwrap).collect();
    let mut select = snapshot
        .prepare(
            "SELECT g.id, g.path, g.head_len_bytes, g.head_hash, c.offset_bytes, g.state \
             FROM generations g JOIN checkpoints c ON c.server_id = g.server_id AND c.generation_id = g.id",
        )
        .unwrap();
    let rows = select.query_map([], |row| {
        Ok(GenerationRow {
            id: row.get(0)?,
            path: row.get(1)?,
            head_len: unsigned(row.get(2)?),
            head_hash: u128::from_be_bytes(row.get::<_, [u8; 16]>(3)?),
            offset_bytes: unsigned(row.get(4)?),
            state: row.get(5)?,
        })
    });
    found.generations = rows.unwrap().map(Result::unwrap).collect();
    let mut select = snapshot
        .prepare("SELECT generation_id, from_bytes, to_bytes, reason FROM gaps")
        .unwrap();
    let rows = select.query_map([], |row| {
        Ok(GapRow {
            generation: row.get(0)?,
            from_bytes: unsigned(row.get(1)?),
            to_bytes: row.get::<_, Option<i64>>(2)?.map(unsigned),
            reason: row.get(3)?,
        })
    });
    found.gaps = rows.unwrap().map(Result::unwrap).collect();
    let count = |counter: &str| -> u64 {
        let sum = "SELECT coalesce(sum(count), 0) FROM ingest_counts WHERE counter = ?";
        unsigned(
            snapshot
                .query_row(sum, [counter], |row| row.get(0))
                .unwrap(),
        )
    };
    found.bytes = count("bytes");
    found.unparsed = count("unparsed");
    found.torn = count("torn");
    Some(found)
}
