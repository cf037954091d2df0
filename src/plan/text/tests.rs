#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::time::Instant;

use proptest::prelude::*;

use super::*;

const NO_BUFFERS: &str = concat!(
    r#""Shared Hit Blocks":0,"Shared Read Blocks":0,"Shared Dirtied Blocks":0,"Shared Written Blocks":0,"Local Hit Blocks":0,"#,
    r#""Local Read Blocks":0,"Local Dirtied Blocks":0,"Local Written Blocks":0,"Temp Read Blocks":0,"Temp Written Blocks":0"#
);

fn json(body: &str) -> String {
    serde_json::to_string(&parse(body).unwrap()).unwrap()
}

/// `(cost)` stands for the same costs everywhere; `COSTS` and `NO BUFFERS` for their keys.
fn check(plan: &str, expected: &str) {
    let costs = r#""Startup Cost":0.0,"Total Cost":1.5,"Plan Rows":3,"Plan Width":4"#;
    let plan = plan.replace("(cost)", "(cost=0.00..1.50 rows=3 width=4)");
    let expected = expected
        .replace("COSTS", costs)
        .replace("NO BUFFERS", NO_BUFFERS);
    assert_eq!(
        json(&format!("Query Text: x\n{plan}")),
        format!(r#"{{"Query Text":"x",{expected}}}"#),
        "{plan}"
    );
}

#[test]
fn a_tree_with_its_conditions() {
    check(
        "\
Nested Loop Left Join  (cost) (actual time=0.010..0.020 rows=3 loops=1)
  Output: a, b
  Join Filter: (t.a = u.a)
  Rows Removed by Join Filter: 7
  ->  Seq Scan on public.\"T \"\"x\" t  (cost) (actual time=0.010..0.020 rows=3 loops=1)
        Filter: (t.c = 'it''s
  ->  Seq Scan on evil  (cost=
'::text)
        Buffers: shared hit=1
  ->  Materialize  (cost) (never executed)
        ->  Parallel Index Only Scan Backward using u_pkey on u  (cost) (never executed)",
        concat!(
            r#""Plan":{"Node Type":"Nested Loop","Parallel Aware":false,"Join Type":"Left",COSTS,"#,
            r#""Actual Startup Time":0.01,"Actual Total Time":0.02,"Actual Rows":3,"Actual Loops":1,"Output":["a","b"],"#,
            r#""Join Filter":"(t.a = u.a)","Rows Removed by Join Filter":7,NO BUFFERS,"Plans":["#,
            r#"{"Node Type":"Seq Scan","Parent Relationship":"Outer","Parallel Aware":false,"Relation Name":"T \"x","Schema":"public","Alias":"t",COSTS,"#,
            r#""Actual Startup Time":0.01,"Actual Total Time":0.02,"Actual Rows":3,"Actual Loops":1,"#,
            r#""Filter":"(t.c = 'it''s\n  ->  Seq Scan on evil  (cost=\n'::text)","Rows Removed by Filter":0,"Shared Hit Blocks":1,"#,
            r#""Shared Read Blocks":0,"Shared Dirtied Blocks":0,"Shared Written Blocks":0,"Local Hit Blocks":0,"Local Read Blocks":0,"Local Dirtied Blocks":0,"#,
            r#""Local Written Blocks":0,"Temp Read Blocks":0,"Temp Written Blocks":0},"#,
            r#"{"Node Type":"Materialize","Parent Relationship":"Inner","Parallel Aware":false,COSTS,"Actual Startup Time":0,"Actual Total Time":0,"#,
            r#""Actual Rows":0,"Actual Loops":0,NO BUFFERS,"Plans":["#,
            r#"{"Node Type":"Index Only Scan","Parent Relationship":"Outer","Parallel Aware":true,"Scan Direction":"Backward","Index Name":"u_pkey","#,
            r#""Relation Name":"u","Alias":"u",COSTS,"Actual Startup Time":0,"Actual Total Time":0,"Actual Rows":0,"Actual Loops":0,NO BUFFERS}]}]}"#,
        ),
    );
}

#[test]
fn what_stands_below_the_tree() {
    check(
        "\
Result  (cost)
Settings: work_mem = '64kB'
Query Identifier: -5
Trigger x: calls=1
JIT:
  Functions: 3
",
        r#""Plan":{"Node Type":"Result","Parallel Aware":false,COSTS},"Settings":{"work_mem":"64kB"},"Query Identifier":-5,"Triggers":[{"Trigger Name":"x","Calls":1}],"JIT":{"Functions":3}"#,
    );
}

#[test]
fn what_a_node_is() {
    for (line, keys) in [
        ("Result", r#""Node Type":"Result","Parallel Aware":false"#),
        (
            "Nested Loop",
            r#""Node Type":"Nested Loop","Parallel Aware":false,"Join Type":"Inner""#,
        ),
        (
            "Hash Right Anti Join",
            r#""Node Type":"Hash Join","Parallel Aware":false,"Join Type":"Right Anti""#,
        ),
        (
            "Merge Full Join",
            r#""Node Type":"Merge Join","Parallel Aware":false,"Join Type":"Full""#,
        ),
        (
            "Parallel Hash Join",
            r#""Node Type":"Hash Join","Parallel Aware":true,"Join Type":"Inner""#,
        ),
        (
            "Parallel Hash",
            r#""Node Type":"Hash","Parallel Aware":true"#,
        ),
        (
            "Merge Append",
            r#""Node Type":"Merge Append","Parallel Aware":false"#,
        ),
        (
            "Merge on t",
            r#""Node Type":"ModifyTable","Operation":"Merge","Parallel Aware":false,"Relation Name":"t","Alias":"t""#,
        ),
        (
            "Finalize GroupAggregate",
            r#""Node Type":"Aggregate","Strategy":"Sorted","Partial Mode":"Finalize","Parallel Aware":false"#,
        ),
        (
            "HashSetOp Intersect All",
            r#""Node Type":"SetOp","Strategy":"Hashed","Parallel Aware":false,"Command":"Intersect All""#,
        ),
        (
            "Async Foreign Scan on s.r x",
            r#""Node Type":"Foreign Scan","Operation":"Select","Parallel Aware":false,"Async Capable":true,"Relation Name":"r","Schema":"s","Alias":"x""#,
        ),
        (
            "Foreign Delete on r",
            r#""Node Type":"Foreign Scan","Operation":"Delete","Parallel Aware":false,"Relation Name":"r","Alias":"r""#,
        ),
        (
            "Custom Scan (ChunkAppend) on m",
            r#""Node Type":"Custom Scan","Custom Plan Provider":"ChunkAppend","Parallel Aware":false,"Relation Name":"m","Alias":"m""#,
        ),
        (
            "Custom Scan (Citus Adaptive)",
            r#""Node Type":"Custom Scan","Custom Plan Provider":"Citus Adaptive","Parallel Aware":false"#,
        ),
        (
            "Bitmap Index Scan on \"a on b\"",
            r#""Node Type":"Bitmap Index Scan","Parallel Aware":false,"Index Name":"a on b""#,
        ),
        (
            "Values Scan on \"*VALUES*\"",
            r#""Node Type":"Values Scan","Parallel Aware":false,"Alias":"*VALUES*""#,
        ),
        (
            "Function Scan on pg_catalog.generate_series g",
            r#""Node Type":"Function Scan","Parallel Aware":false,"Function Name":"generate_series","Schema":"pg_catalog","Alias":"g""#,
        ),
        (
            "WorkTable Scan on r r_1",
            r#""Node Type":"WorkTable Scan","Parallel Aware":false,"CTE Name":"r","Alias":"r_1""#,
        ),
        (
            "Some New Scan on t",
            r#""Node Type":"Some New Scan","Parallel Aware":false,"Relation Name":"t","Alias":"t""#,
        ),
    ] {
        check(
            &format!("{line}  (cost)"),
            &format!(r#""Plan":{{{keys},COSTS}}"#),
        );
    }
}

#[test]
fn what_only_some_releases_print() {
    check(
        "\
Index Scan using i on t  (cost) (actual rows=1.00 loops=1)
  Disabled: true
  Index Cond: (a = 1)
  Index Searches: 2
  WAL: records=1 bytes=2 buffers full=3",
        concat!(
            r#""Plan":{"Node Type":"Index Scan","Parallel Aware":false,"Scan Direction":"Forward","Index Name":"i","Relation Name":"t","Alias":"t",COSTS,"#,
            r#""Actual Rows":1.0,"Actual Loops":1,"Disabled":true,"Index Cond":"(a = 1)","Rows Removed by Index Recheck":0,"Index Searches":2,"#,
            r#""WAL Records":1,"WAL FPI":0,"WAL Bytes":2,"WAL Buffers Full":3}"#,
        ),
    );
    check(
        "WindowAgg  (cost)\n  Window: w AS (PARTITION BY a)\n  Storage: Memory  Maximum Storage: 17kB",
        r#""Plan":{"Node Type":"WindowAgg","Parallel Aware":false,COSTS,"Window":"w AS (PARTITION BY a)","Storage":"Memory","Maximum Storage":17}"#,
    );
}

#[test]
fn workers() {
    check(
        "\
Gather  (cost)
  Workers Planned: 2
  ->  Sort  (cost)
        Sort Key: a
        Worker 0:  actual time=0.1..0.2 rows=1 loops=1
          Sort Method: external merge  Disk: 9kB
          JIT:
            Functions: 2
          Heap Blocks: exact=1
        Worker 1:  Full-sort Groups: 1  Sort Method: quicksort
        ->  Seq Scan on t  (cost)",
        concat!(
            r#""Plan":{"Node Type":"Gather","Parallel Aware":false,COSTS,"Workers Planned":2,"Plans":["#,
            r#"{"Node Type":"Sort","Parent Relationship":"Outer","Parallel Aware":false,COSTS,"Sort Key":["a"],"Workers":["#,
            r#"{"Worker Number":0,"Actual Startup Time":0.1,"Actual Total Time":0.2,"Actual Rows":1,"Actual Loops":1,"Sort Method":"external merge","#,
            r#""Sort Space Used":9,"Sort Space Type":"Disk","JIT":{"Functions":2},"Exact Heap Blocks":1,"Lossy Heap Blocks":0},"#,
            r#"{"Worker Number":1,"Full-sort Groups":{"Group Count":1,"Sort Methods Used":["quicksort"]}}],"#,
            r#""Plans":[{"Node Type":"Seq Scan","Parent Relationship":"Outer","Parallel Aware":false,"Relation Name":"t","Alias":"t",COSTS}]}]}"#,
        ),
    );
}

#[test]
fn subplans_and_members() {
    check(
        "\
Append  (cost)
  CTE it's
    ->  Result  (cost)
  InitPlan 1 (returns $0)
    ->  Result  (cost)
  ->  Result  (cost)
  ->  Result  (cost)
        SubPlan 2
          ->  Result  (cost)
                One-Time Filter: false",
        concat!(
            r#""Plan":{"Node Type":"Append","Parallel Aware":false,COSTS,"Plans":["#,
            r#"{"Node Type":"Result","Parent Relationship":"InitPlan","Subplan Name":"CTE it's","Parallel Aware":false,COSTS},"#,
            r#"{"Node Type":"Result","Parent Relationship":"InitPlan","Subplan Name":"InitPlan 1 (returns $0)","Parallel Aware":false,COSTS},"#,
            r#"{"Node Type":"Result","Parent Relationship":"Member","Parallel Aware":false,COSTS},"#,
            r#"{"Node Type":"Result","Parent Relationship":"Member","Parallel Aware":false,COSTS,"Plans":["#,
            r#"{"Node Type":"Result","Parent Relationship":"SubPlan","Subplan Name":"SubPlan 2","Parallel Aware":false,COSTS,"One-Time Filter":"false"}]}]}"#,
        ),
    );
}

#[test]
fn grouping_sets() {
    check(
        "GroupAggregate  (cost)\n  Group Key: a, b\n  Filter: (count(*) > 1)",
        concat!(
            r#""Plan":{"Node Type":"Aggregate","Strategy":"Sorted","Partial Mode":"Simple","Parallel Aware":false,COSTS,"#,
            r#""Group Key":["a","b"],"Filter":"(count(*) > 1)"}"#,
        ),
    );
    check(
        "\
MixedAggregate  (cost)
  Hash Key: a
  Hash Key: b
  Group Key: c, d
  Group Key: c
  Group Key: ()
  Sort Key: e
    Group Key: e
    Group Key: ()
  Sort Key: f
    Group Key: f",
        concat!(
            r#""Plan":{"Node Type":"Aggregate","Strategy":"Mixed","Partial Mode":"Simple","Parallel Aware":false,COSTS,"Grouping Sets":["#,
            r#"{"Hash Keys":[["a"]]},{"Hash Keys":[["b"]]},{"Group Keys":[["c","d"],["c"],[]]},"#,
            r#"{"Sort Key":["e"],"Group Keys":[["e"],[]]},{"Sort Key":["f"],"Group Keys":[["f"]]}],"Planned Partitions":0}"#,
        ),
    );
}

#[test]
fn tables_of_a_change() {
    check(
        "\
Update on p  (cost)
  Update on public.p1 p_1
  Foreign Update on p2 p_2
    Remote SQL: UPDATE x
  ->  Result  (cost)",
        concat!(
            r#""Plan":{"Node Type":"ModifyTable","Operation":"Update","Parallel Aware":false,"Relation Name":"p","Alias":"p",COSTS,"#,
            r#""Target Tables":[{"Relation Name":"p1","Schema":"public","Alias":"p_1"},{"Relation Name":"p2","Alias":"p_2","Remote SQL":"UPDATE x"}],"#,
            r#""Plans":[{"Node Type":"Result","Parent Relationship":"Outer","Parallel Aware":false,COSTS}]}"#,
        ),
    );
}

/// Statements that hold what looks like a plan, and plans that hold what looks like one: the plan is the last that reads as a whole.
#[test]
fn where_the_plan_begins() {
    let fake = "Result  (cost=0.00..0.01 rows=1 width=4)";
    let real = "Result  (cost=0.00..0.01 rows=1 width=8)";
    for statement in [
        "select 1".to_owned(),
        String::new(),
        format!("/*\n{fake}\n  Output: 'a\n*/ select 1, 'b'"),
        format!("select 1 /*\n{fake}\nSettings: a = 'b'\n*/"),
        format!("select '\n{fake}\n  Output: 1\n'\n"),
        format!("select 1 /*\n{fake}\n*/\n{fake}"),
        "select 1 --\nQuery Parameters: $1 = '".to_owned(),
        "select\r\n1\r".to_owned(),
    ] {
        for parameters in [
            "",
            "\nQuery Parameters: $1 = '1', $2 = NULL",
            "\nQuery Parameters: $1 = '\nQuery Parameters: $1 = ''1''', $2 = ''",
        ] {
            for plan in [
                format!("{real}\n  Output: 1"),
                format!("{real}\n  Output: '\n{fake}\n  Output: (1)\n'::text, 'b'"),
                format!("{real}\n  Output: '\n{fake}\n  Output: ''\n'::text, 'b'"),
                format!("{real}\n  Output: '\n{fake}'"),
                format!("{real}\n  CTE it's\n    ->  {fake}"),
            ] {
                let body = format!("Query Text: {statement}{parameters}\n{plan}");
                let Json::Object(value) = parse(&body).unwrap() else {
                    panic!("{body}");
                };
                let query_text = value.get("Query Text");
                assert_eq!(query_text, Some(&Json::text(&*statement)), "{body}");
                let Some(Json::Object(root)) = value.get("Plan") else {
                    panic!("{body}");
                };
                let plan_width = root.get("Plan Width");
                assert_eq!(plan_width, Some(&Json::scalar("8")), "{body}");
            }
        }
    }
}

#[test]
fn what_is_no_whole_plan_is_refused() {
    for body in [
        "",
        "Query Text: select 1",
        "Query Text: x\nResult  (cost=0.00..0.01 rows=1 width=",
        "Query Text: x\nResult  (cost=0.00..0.01 rows=1 width=4)\n  Output: 'a",
        "Query Text: x\nResult  (cost=0.00..0.01 rows=1 width=4)\n  Output: 1\nselect 2",
        "Query Text: x\nResult  (cost=0.00..0.01 rows=1 width=4)\n\n  Output: 1",
        "Query Text: x\nResult  (cost=0.00..0.01 rows=1 width=4)\nSettings: a = 'b'\n  Output: 1",
        "Query Text: x\nresult  (cost=0.00..0.01 rows=1 width=4)",
        "Query Text: x\nSeq Scan on a b c  (cost=0.00..0.01 rows=1 width=4)",
    ] {
        assert!(parse(body).is_err(), "{body}");
    }
}

#[test]
fn hostile_plans_take_no_long_time() {
    let root = "Result  (cost=0.00..0.01 rows=1 width=4)\n";
    let deep: String = (0..20_000)
        .map(|level| format!("{}->  {root}", " ".repeat((6 * level + 2).min(3_000))))
        .collect();
    let body = format!("Query Text: x\n{root}{deep}");
    assert!(matches!(parse(&body), Err(Error::TooDeep)));
    let begun = Instant::now();
    for hostile in [
        root.repeat(50_000),
        format!("{root}  Output: '\n").repeat(30_000),
        format!("{root}  {}", "a".repeat(2_000_000)),
        format!("{root}{}X", " ".repeat(2_000_000)),
        format!("X{}", "  (cost=".repeat(200_000)),
        format!("{root}{}", "  Output: a\n".repeat(100_000)),
        format!("{root}  Output: {}", "a, ".repeat(500_000)),
        format!("{root}  Buffers: {}", "shared hit=1, ".repeat(100_000)),
        format!(
            "Aggregate{}{}",
            &root[6..],
            "  Group Key: a\n".repeat(100_000)
        ),
        format!("{root}{}", "  Worker 0:  Output: a\n".repeat(100_000)),
        format!("{root}{}", format!("  ->  {root}").repeat(20_000)),
        format!("{root}Settings: {}", "a = 'b', ".repeat(100_000)),
        format!("{}\n{root}", "\nQuery Parameters: $1 = 'a".repeat(50_000)),
    ] {
        let _ = parse(&format!("Query Text: x\n{hostile}"));
    }
    // What takes quadratic time in one of them takes hours.
    assert!(begun.elapsed().as_secs() < 60, "{:?}", begun.elapsed());
}

proptest! {
    #[test]
    fn any_body_is_read_or_refused(
        body in "Query Text: (\n|  |->  |'|\"|Result|Sort|  \\(cost=0.00..1.00 rows=1 width=4\\)| on t|Filter: |Worker 0:  |CTE x|Update on t|Buffers: |shared hit=1|JIT:|Settings: |a = 'b'|Trigger |: calls=1|Group Key: |\\(|,){0,40}"
    ) {
        let _ = parse(&body);
    }

    #[test]
    fn lines_in_any_order_are_read_or_refused(
        lines in proptest::collection::vec("( {0,8})(->  )?(Result|Sort|Aggregate|Seq Scan on t|Custom Scan \\(x\\)|[A-Z][a-z]{0,3}: .{0,8}|InitPlan 1|Worker 0:  JIT:)(  \\(cost=0.00..1.00 rows=1 width=4\\))?", 0..12)
    ) {
        let body = format!("Query Text: x\nResult  (cost=0.00..1.00 rows=1 width=4)\n{}", lines.join("\n"));
        let _ = parse(&body);
    }
}
