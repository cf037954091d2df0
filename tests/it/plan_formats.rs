//! auto_explain's four formats of one real server: the same plan gives the same tree, shape and document.

use std::{
    collections::BTreeMap,
    fs,
    time::{Duration, Instant},
};

use plantail::{
    model::plan::{PlanFormat, PlanNode},
    plan::{self, ReadPlan},
    statement::redact,
};
use serde_json::{Map, Value, json};

use crate::{
    plan::{corpus_case, corpus_plans, plan_bodies},
    postgres::Postgres,
};

const TABLES: &[&str] = &[
    "create table t (a int primary key, b int, c text, d date default '2026-01-01')",
    "insert into t select g, g % 100, 'value ' || g from generate_series(1, 20000) g",
    "alter table t add e int; update t set e = (a * 7) % 5000; create index t_b on t (b); create index t_e on t (e)",
    "create table u (a int references t, e numeric, f text)",
    "insert into u select g, g / 7.0, repeat('x', g % 50) from generate_series(1, 5000) g",
    "create index u_a on u (a)",
    "create table \"Odd \"\"name\" (\"it's\" int primary key, \"a\nb\" text)",
    "insert into \"Odd \"\"name\" select g, 'y' from generate_series(1, 10) g",
    "create table p (k int, v text) partition by range (k)",
    "create table p1 partition of p for values from (0) to (100)",
    "create table p2 partition of p for values from (100) to (200)",
    "create index on p (k)",
    "insert into p select g, 'v' from generate_series(0, 199) g",
    "create function twice(n int) returns int language plpgsql as 'begin return 2 * (select min(a) from t where a >= n); end'",
    "create function changed() returns trigger language plpgsql as 'begin return new; end'",
    "create trigger \"on change\" before update on t for each row execute function changed()",
    "create function counted() returns trigger language plpgsql as 'begin perform count(*) from added; return null; end'",
    "create trigger counted after insert on u referencing new table as added for each statement execute function counted()",
    "create extension postgres_fdw",
    "do $$ begin execute format('create server here foreign data wrapper postgres_fdw options (host %L, dbname ''run'', options %L)', \
         current_setting('unix_socket_directories'), '-c auto_explain.log_min_duration=-1'); end $$",
    "create user mapping for public server here options (user 'postgres')",
    "create table far (a int, b text)",
    "insert into far select g, 'far ' || g from generate_series(1, 50) g",
    "create foreign table remote (a int, b text) server here options (table_name 'far')",
    "create extension file_fdw",
    "create server files foreign data wrapper file_fdw",
    "create foreign table file (line text) server files options (filename '/etc/hostname')",
    "vacuum analyze",
];

/// One string of the simple protocol each, in a transaction that is rolled back.
const STATEMENTS: &[&str] = &[
    "select 1",
    "select * from t where b = 5 and c <> 'it''s\n  ->  Seq Scan on x  (cost=0.00..1.00 rows=1 width=1)\n\"'",
    "select a from t where a < 50 order by a desc",
    "select * from t where a = 7 or b = 3",
    "select * from t where b = 5 and a between 1 and 9000",
    "set local enable_seqscan = off; set local work_mem = '64kB'; select count(*) from t where b between 0 and 50 and c > 'v'",
    "select * from t where ctid = '(0,1)'",
    "select * from t where ctid > '(100,1)' and a > 3",
    "select * from t tablesample bernoulli (10) repeatable (1) where a > 5",
    "select * from t tablesample system (50) repeatable (2)",
    "select * from t join u using (a) where u.e > 10",
    "select * from t left join u on t.a = u.a and u.f > t.c where t.b = 5",
    "select * from t right join u on t.a = u.a and t.b > 5",
    "select * from t full join u on t.a = u.a",
    "set local enable_hashjoin = off; set local enable_nestloop = off; select * from t join u on t.a = u.a and t.c <> u.f where t.b + u.e > 1",
    "set local enable_hashjoin = off; set local enable_mergejoin = off; select * from u left join t on t.a = u.a where u.a < 10",
    "select * from t where exists (select 1 from u where u.a = t.a)",
    "select * from t where not exists (select 1 from u where u.a = t.a)",
    "select * from t where a not in (select a from u)",
    "select * from u join (values (1, 'one'), (2, 'two''s')) x (a, n) using (a)",
    "set local enable_hashjoin = off; set local enable_mergejoin = off; select * from u join t on u.a = t.b",
    "set local enable_hashjoin = off; set local enable_mergejoin = off; select * from u join t on t.b < u.a where u.a < 5",
    "select * from (select k from p1 union all select a from t) x (k) order by k limit 5",
    "set local enable_hashagg = off; select b from t group by b",
    "set local enable_seqscan = off; select * from t where b = 5 and e > 3 and e < 2000",
    "select * from remote r join remote s using (a) where r.b = 'it''s'",
    "set local enable_hashjoin = off; select * from remote r join t using (a) order by r.a",
    "update remote set b = 'x' where a = 1",
    "update remote set b = b || random() where a = 1",
    "select * from file where line like 'x%'",
    "select t.a, (select max(e) from u where u.a = t.a) from t where t.a < 5",
    "select * from t where a > (select avg(a) from u) limit 3",
    "with c as materialized (select b, count(*) n from t group by b) select * from c x join c y using (b) where x.n > 1",
    "with recursive r as (select 1 as n union all select n + 1 from r where n < 10) select * from r",
    "with w as (update t set b = b + 1 where a = 1 returning *) select * from w",
    "select count(*) from t",
    "select b, count(*), array_agg(a order by a) from t group by b having count(*) > 1",
    "set local enable_hashagg = off; select b, c, count(*) from t group by b, c having min(a) > 2",
    "set local work_mem = '64kB'; set local enable_sort = off; select a, count(*) from t group by a having count(*) > 5",
    "select b, c, count(*) from t where a < 100 group by cube (b, c)",
    "select b, c, count(*) from t where a < 100 group by rollup (b, c)",
    "set local enable_hashagg = off; select b, a, c, count(*) from t where a < 100 group by grouping sets ((b, c), (a), (c, a), ())",
    "select distinct b from t",
    "select distinct on (b) b, c from t order by b, c limit 5",
    "set local work_mem = '64kB'; select * from t order by c, a",
    "select * from t order by c limit 10",
    "select * from (select * from t order by a) x order by a, c desc nulls last limit 30",
    "set local work_mem = '64kB'; set local enable_sort = off; select * from t order by b, c",
    "set local work_mem = '64kB'; select count(*) from t x join t y on x.c = y.c",
    "select a from t where a < 5 union select a from u where a < 3",
    "select a from t where a < 500 intersect all select a from u where a < 300",
    "select a from t where a < 500 except select a from u where a < 300",
    "set local enable_hashagg = off; select a from t where a < 500 intersect select a from u",
    "select a, rank() over (partition by b order by a desc rows between 1 preceding and current row) from t where a < 100",
    "select * from (select a, row_number() over (order by a) n from t) x where n < 5",
    "select * from generate_series(1, 5) with ordinality g (n, o) where n > 2",
    "select * from generate_series(1, 3)",
    "select generate_series(1, 3), unnest(array[1, 2])",
    "select * from rows from (generate_series(1, 3), generate_series(1, 2)) as x (a, b)",
    "select * from xmltable('/r/e' passing xmlparse(document '<r><e>1</e></r>') columns v int path '.') x where v > 0",
    "select twice(5)",
    "select * from t where a < 3 for update",
    "select * from p where k = 150",
    "select * from p where k > 90 order by k",
    "prepare q as select * from p where k = $1; set local plan_cache_mode = force_generic_plan; execute q (7); deallocate q",
    "update p set v = 'w' where k in (1, 101)",
    "delete from u where a < 3",
    "insert into t values (1, 2, 'it''s') on conflict (a) do update set c = excluded.c where t.b > 5 returning a",
    "insert into t values (1) on conflict do nothing",
    "insert into u select a, 1, 'f' from t where a < 4",
    "merge into u using t on u.a = t.a and t.a < 10 when matched and t.a < 5 then delete when matched then update set f = 'z' when not matched and t.a < 3 then insert values (t.a)",
    "update t set b = b where a < 4",
    "create table v as select * from t where a < 5",
    "select * from \"Odd \"\"name\" \"O\" where \"it's\" = 3 and \"a\nb\" = 'y'",
    "declare cur cursor for select * from t; fetch 3 from cur; close cur",
    "set local search_path = 'it''s', public; select * from t where false",
    "set local jit_above_cost = 0; set local jit_optimize_above_cost = 0; select sum(a + b) from t",
    // One worker does all.
    "select set_config(case when current_setting('server_version_num')::int < 160000 then 'force_parallel_mode' else 'debug_parallel_query' end, 'on', true); \
     set local work_mem = '64kB'; select b, c, count(*) from t group by b, c order by c, b",
    "select set_config(case when current_setting('server_version_num')::int < 160000 then 'force_parallel_mode' else 'debug_parallel_query' end, 'on', true); \
     set local jit_above_cost = 0; select * from (select * from t order by a) x order by a, c limit 5",
    // Workers share, each time in another way.
    "set local parallel_setup_cost = 0; set local parallel_tuple_cost = 0; set local min_parallel_table_scan_size = 0; select b, count(*) from t group by b order by b",
    "set local parallel_setup_cost = 0; set local parallel_tuple_cost = 0; set local min_parallel_table_scan_size = 0; \
     set local work_mem = '64kB'; select * from t x join t y on x.c = y.c order by x.c, y.b",
    "set local parallel_setup_cost = 0; set local parallel_tuple_cost = 0; set local min_parallel_table_scan_size = 0; \
     set local enable_seqscan = off; set local min_parallel_index_scan_size = 0; select * from t where b < 5 and c > 'a' order by b, c",
];

const ON: &str = "log_analyze = on, log_timing = on, log_buffers = on, log_wal = on, log_verbose = on, log_settings = on, log_triggers = on";
const COSTS_AND_ROWS: &str = "log_analyze = on, log_timing = off, log_buffers = off, log_wal = off, log_verbose = off, log_settings = off, log_triggers = off";
const OFF: &str = "log_analyze = off, log_timing = off, log_buffers = off, log_wal = off, log_verbose = off, log_settings = off, log_triggers = off";

#[test]
fn formats_of_a_real_server_agree() {
    let Some(server) = Postgres::start("autovacuum = off\ncompute_query_id = on") else {
        return;
    };
    server.psql(&["create database tables"]);
    server.psql(&[&["\\c tables"], TABLES].concat());
    for options in [ON, COSTS_AND_ROWS, OFF] {
        let plans: Vec<Vec<ReadPlan>> = PlanFormat::ALL
            .into_iter()
            .map(|format| run(&server, format, options))
            .collect();
        let [json, others @ ..] = plans.as_slice() else {
            unreachable!()
        };
        assert!(json.len() > STATEMENTS.len(), "{}", json.len());
        if options == ON {
            assert_statements_show(json);
        }
        for plans in others {
            assert_eq!(plans.len(), json.len());
            for (plan, json) in plans.iter().zip(json) {
                assert_same(plan, json, options);
            }
        }
    }
}

/// The planner may choose otherwise one day; then a statement has to be changed for the format to be tested.
fn assert_statements_show(plans: &[ReadPlan]) {
    let documents: String = plans.iter().map(|plan| &*plan.plan.document).collect();
    for part in [
        r#""Node Type":"Aggregate","Strategy":"Plain","#,
        r#""Strategy":"Sorted","Partial Mode":"Simple","#,
        r#""Strategy":"Hashed","Partial Mode":"Partial","#,
        r#""Strategy":"Hashed","Partial Mode":"Finalize","#,
        r#""Strategy":"Mixed","#,
        r#""Node Type":"SetOp","Strategy":"Sorted","#,
        r#""Node Type":"SetOp","Strategy":"Hashed","#,
        r#""Node Type":"BitmapOr""#,
        r#""Node Type":"CTE Scan""#,
        r#""Node Type":"Foreign Scan","Operation":"Update""#,
        r#""Node Type":"Gather Merge""#,
        r#""Node Type":"Group""#,
        r#""Node Type":"Incremental Sort""#,
        r#""Node Type":"Index Only Scan""#,
        r#""Node Type":"LockRows""#,
        r#""Node Type":"Memoize""#,
        r#""Node Type":"Merge Append""#,
        r#""Node Type":"Merge Join""#,
        r#""Node Type":"ModifyTable","Operation":"Merge""#,
        r#""Node Type":"Named Tuplestore Scan""#,
        r#""Node Type":"ProjectSet""#,
        r#""Node Type":"Recursive Union""#,
        r#""Node Type":"Sample Scan""#,
        r#""Node Type":"Subquery Scan""#,
        r#""Node Type":"Table Function Scan""#,
        r#""Node Type":"Tid Range Scan""#,
        r#""Node Type":"Unique""#,
        r#""Node Type":"Values Scan""#,
        r#""Node Type":"WindowAgg""#,
        r#""Node Type":"WorkTable Scan""#,
        r#""Parallel Aware":true"#,
        r#""Parent Relationship":"InitPlan""#,
        r#""Parent Relationship":"SubPlan""#,
        r#""Join Type":"Anti""#,
        r#""Join Type":"Full""#,
        r#""Scan Direction":"Backward""#,
        r#""Conflict Filter":"#,
        r#""Foreign File":"#,
        r#""Remote SQL":"#,
        r#""Run Condition":"#,
        r#"],"Group Keys":[["#,
        r#""Sort Space Type":"Disk""#,
        r#""Subplans Removed":1"#,
        r#""Target Tables":"#,
        r#""Worker Number":0,"#,
        r#""Constraint Name":"#,
        r#""Settings":{"work_mem":"64kB""#,
    ] {
        assert!(documents.contains(part), "no statement shows {part}");
    }
}

/// Runs the statements with auto_explain set so, and gives the plans that it logged.
fn run(server: &Postgres, format: PlanFormat, options: &str) -> Vec<ReadPlan> {
    // A copy has the same costs, and nothing of what another run left behind.
    server.psql(&[
        "drop database if exists run",
        "create database run template tables",
    ]);
    let log = server.log_directory().join("postgresql.log");
    let begin = fs::read(&log).unwrap().len();
    let mut commands = vec![
        "\\c run".to_owned(),
        format!("set auto_explain.log_format = {}", format.as_str()),
    ];
    commands.extend(
        options
            .split(", ")
            .map(|option| format!("set auto_explain.{option}")),
    );
    commands.extend(
        STATEMENTS
            .iter()
            .map(|sql| format!("begin; {sql}; rollback")),
    );
    commands.push("do $$ begin raise log 'this was the last'; end $$".to_owned());
    server.psql(&commands.iter().map(String::as_str).collect::<Vec<_>>());
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let text = fs::read(&log).unwrap();
        let text = String::from_utf8_lossy(&text[begin..]);
        if text.contains("this was the last\n") {
            let errors: Vec<&str> = text
                .lines()
                .filter(|line| line.contains(" ERROR:  "))
                .collect();
            assert!(errors.is_empty(), "{errors:#?}");
            return plan_bodies(&text)
                .iter()
                .map(|body| read(format, body))
                .collect();
        }
        assert!(Instant::now() < deadline, "the log doesn't end");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn read(format: PlanFormat, body: &str) -> ReadPlan {
    let plan = plan::read(body, &redact::expression)
        .unwrap_or_else(|error| panic!("{}: {error}\n{body}", format.as_str()));
    assert_eq!(plan.format, format, "{body}");
    plan
}

fn assert_same(plan: &ReadPlan, json: &ReadPlan, options: &str) {
    let context = format!(
        "{} with {options}: {}",
        plan.format.as_str(),
        plan.query_text
    );
    assert_eq!(plan.query_text, json.query_text, "{context}");
    assert_eq!(
        plan.plan.query_identifier, json.plan.query_identifier,
        "{context}"
    );
    let text = plan.format == PlanFormat::Text;
    let settings = json
        .plan
        .settings
        .clone()
        .filter(|settings| !(text && settings.is_empty()));
    assert_eq!(plan.plan.settings, settings, "{context}");
    let of_several = text && options != ON && plan.query_text.contains("rows from");
    if !of_several {
        assert_eq!(
            plan.plan.shape, json.plan.shape,
            "{context}\n{}\n{}",
            plan.plan.document, json.plan.document
        );
    }
    if json.plan.document.contains(r#""Parallel Aware":true"#) {
        // Which worker did what is another matter each time.
        return;
    }
    let mut documents = [&plan.plan.document, &json.plan.document]
        .map(|document| serde_json::from_str::<Value>(document).unwrap());
    for document in &mut documents {
        for (key, part) in document.as_object_mut().unwrap() {
            mask(key, part);
        }
        if text {
            leave_out_what_text_cannot_tell(document.as_object_mut().unwrap(), of_several);
        }
    }
    let [found, expected] =
        documents.map(|document| serde_json::to_string_pretty(&document).unwrap());
    assert_eq!(found, expected, "{context}");
    let without_buffers = plan.plan.root.shared_hit_blocks.is_none();
    let trees = [plan, json].map(|read| {
        let mut root = read.plan.root.clone();
        mask_tree(&mut root, of_several, without_buffers);
        root
    });
    assert_eq!(trees[0], trees[1], "{context}");
}

/// Whether two runs of a statement may differ in it: times, and which blocks were where.
fn varies(key: &str) -> bool {
    let block = key.ends_with(" Blocks") && !key.ends_with("Heap Blocks");
    block
        || key.starts_with("WAL ")
        || ["Actual Startup Time", "Actual Total Time", "Time"].contains(&key)
}

/// Numbers that vary become zero.
fn mask(key: &str, value: &mut Value) {
    match value {
        Value::Number(_) if varies(key) => *value = json!(0),
        Value::Object(jit) if key == "Timing" => jit.values_mut().for_each(|time| *time = json!(0)),
        Value::Object(object) => object.iter_mut().for_each(|(key, value)| mask(key, value)),
        Value::Array(list) => list.iter_mut().for_each(|value| mask(key, value)),
        _ => {}
    }
}

/// The limits of the text format, as its reader documents them.
fn leave_out_what_text_cannot_tell(document: &mut Map<String, Value>, of_several: bool) {
    document.retain(|_, value| *value != json!({}) && *value != json!([]));
    for trigger in document
        .get_mut("Triggers")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        let trigger = trigger.as_object_mut().unwrap();
        trigger.shift_remove("Relation");
        if trigger.contains_key("Constraint Name") {
            trigger.shift_remove("Trigger Name");
        }
    }
    leave_out_of_node(&mut document["Plan"], of_several);
}

fn leave_out_of_node(node: &mut Value, of_several: bool) {
    let node = node.as_object_mut().unwrap();
    node.retain(|key, value| match key.as_str() {
        "Inner Unique" => false,
        "Async Capable" | "Disabled" | "Single Copy" => *value != json!(false),
        "Subplans Removed" => *value != json!(0),
        "Workers" | "Plans" => *value != json!([]),
        "Function Name" => !of_several,
        _ => !varies(key) || key.starts_with("Actual"),
    });
    for worker in node
        .get_mut("Workers")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        let worker = worker.as_object_mut().unwrap();
        worker.retain(|key, _| !varies(key) || key.starts_with("Actual"));
    }
    for child in node
        .get_mut("Plans")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        leave_out_of_node(child, of_several);
    }
}

/// Times vary, and so do blocks; where no node has any, text doesn't tell that they were counted.
fn mask_tree(node: &mut PlanNode, of_several: bool, without_buffers: bool) {
    for number in [
        &mut node.actual_startup_time_ms,
        &mut node.actual_total_time_ms,
        &mut node.shared_hit_blocks,
        &mut node.shared_read_blocks,
        &mut node.temp_read_blocks,
        &mut node.temp_written_blocks,
    ] {
        *number = number.map(|_| 0.0);
    }
    if without_buffers {
        node.shared_hit_blocks = None;
        node.shared_read_blocks = None;
        node.temp_read_blocks = None;
        node.temp_written_blocks = None;
    }
    for worker in &mut node.workers {
        worker.actual_total_time_ms = worker.actual_total_time_ms.map(|_| 0.0);
    }
    if of_several {
        node.function_name = None;
    }
    for child in &mut node.plans {
        mask_tree(child, of_several, without_buffers);
    }
}

/// Root nodes of the same workload logged in different formats, and what of it can't be read: XML has no way to write control characters.
#[test]
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn logs_of_every_format() {
    for release in ["v15", "v17"] {
        let mut by_root_node = Vec::new();
        for (format, unparsable) in [
            (PlanFormat::Text, 0),
            (PlanFormat::Xml, 1),
            (PlanFormat::Yaml, 0),
        ] {
            let case = format!("{release}-{}", format.as_str());
            let Some(bodies) = corpus_plans(&case) else {
                eprintln!("skipped: the logs of case {case} are not there");
                return;
            };
            let mut found: BTreeMap<String, u64> = BTreeMap::new();
            let mut unread = 0;
            // A statement of these logs holds a line that looks like a plan's, with JSON below it.
            for body in bodies.iter().filter(|body| !body.starts_with('{')) {
                assert_eq!(plan::format_of(body), format, "{body}");
                match plan::read(body, &redact::expression) {
                    Ok(read) => *found.entry(read.plan.root.node_type).or_default() += 1,
                    Err(_) => unread += 1,
                }
            }
            assert_eq!(unread, unparsable, "{case}");
            by_root_node.push(found);
        }
        assert_eq!(by_root_node[0], by_root_node[2], "{release}");
        let truth = corpus_case(&format!("{release}-xml"))
            .unwrap()
            .join("truth.json");
        let truth: Value = serde_json::from_str(&fs::read_to_string(truth).unwrap()).unwrap();
        assert_eq!(
            serde_json::to_value(&by_root_node[1]).unwrap(),
            truth["plan_events"]["by_root_node"],
            "{release}"
        );
    }
}
