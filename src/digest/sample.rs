//! Digests for the tests of the renderings: a plain morning, and one whose every text comes from an attacker.

use jiff::Timestamp;

use crate::model::{
    accounting::Accounting,
    digest::{Digest, Novelty, ServerDigest, SlowQuery},
    finding::{Finding, Rule, Severity},
    position::Server,
    query::Query,
    recommendation::{Recommendation, RecommendationId, RecommendationKind, Source, Verification},
};

fn at(text: &str) -> Timestamp {
    text.parse().expect("a timestamp")
}

fn slow_query(server: &Server, novelty: Novelty, sql: &str) -> SlowQuery {
    SlowQuery {
        query: Query::new(server.id, "shop", sql.to_owned()),
        novelty,
        first_seen: at("2026-03-04T07:12:30Z"),
        calls: 28,
        failed: 0,
        total_ms: 89_880.0,
        mean_ms: 3210.0,
        max_ms: 8900.0,
        mean_before_ms: None,
        calls_before: 0,
        severity: Severity::Warning,
        findings: vec![],
        recommendations: vec![],
    }
}

fn finding(rule: Rule, message: &str) -> Finding {
    Finding {
        rule,
        severity: Severity::Critical,
        plan_ordinal: 0,
        node_path: Some("0.1".to_owned()),
        message: message.to_owned(),
        not_decidable: None,
    }
}

fn recommendation(query: &Query, summary: &str, command: &str) -> Recommendation {
    Recommendation {
        server_id: query.server_id,
        query_id: query.id,
        id: RecommendationId::of(
            query.id,
            Source::Rule,
            RecommendationKind::CreateIndex,
            "orders",
        ),
        created_at: at("2026-03-04T07:12:30Z"),
        source: Source::Rule,
        kind: RecommendationKind::CreateIndex,
        rules: vec![Rule::SeqScanFilter],
        severity: Severity::Critical,
        confidence_score: Some(0.45),
        verification: Verification::Plan,
        summary: summary.to_owned(),
        explanation: "The scan reads 1,200,000 rows to return 12.".to_owned(),
        disproof: None,
        command: Some(command.to_owned()),
    }
}

fn digest_of(servers: Vec<ServerDigest>) -> Digest {
    Digest {
        as_of: Some(at("2026-03-04T09:41:07Z")),
        since: Some(at("2026-03-03T09:00:00Z")),
        slow_threshold_ms: 1000.0,
        servers,
    }
}

fn server_digest(server: Server, slow_queries: Vec<SlowQuery>) -> ServerDigest {
    ServerDigest {
        server,
        first_seen: at("2026-03-01T00:00:00Z"),
        last_seen: at("2026-03-04T09:41:07Z"),
        executions: 12_345,
        total_ms: 217_000.0,
        failed: 3,
        queries: 87,
        slow_queries,
        more_slow_queries: 0,
        accounting: Accounting::default(),
    }
}

pub(super) fn digest() -> Digest {
    let shop = Server::named("shop-db");
    let mut new = slow_query(
        &shop,
        Novelty::New,
        "select o.id, o.placed_at, o.total_cents, o.status, c.name, c.email, c.city, a.street, a.zip, a.country from orders o \
         join customers c on c.id = o.customer_id join addresses a on a.customer_id = c.id where o.status = $1 and o.placed_at > $2 \
         and c.city in ($3, $4, $5) and o.total_cents between $6 and $7 and a.country = $8 order by o.placed_at desc limit $9 offset $10",
    );
    new.severity = Severity::Critical;
    new.findings = vec![
        finding(
            Rule::SeqScanFilter,
            "Seq Scan on public.orders read 1,200,000 rows and kept 12 of them; it took 91 % of the execution's time.",
        ),
        finding(Rule::SortSpill, "The sort wrote 12,288 kB to disk."),
    ];
    new.recommendations = vec![recommendation(
        &new.query,
        "Create an index on public.orders (status, placed_at).",
        "CREATE INDEX CONCURRENTLY ON public.orders (status, placed_at);",
    )];
    let mut regressed = slow_query(
        &shop,
        Novelty::Regressed,
        "update stock set reserved = reserved + $1 where product_id = $2",
    );
    regressed.first_seen = at("2026-03-01T00:04:00Z");
    regressed.mean_before_ms = Some(802.5);
    regressed.calls_before = 1312;
    regressed.failed = 2;
    let mut known = slow_query(
        &shop,
        Novelty::Known,
        "refresh materialized view sales_by_day",
    );
    known.query.database_name = String::new();
    known.first_seen = at("2026-03-01T02:00:00Z");
    known.mean_before_ms = Some(3150.0);
    known.calls_before = 2;
    known.calls = 1;
    known.total_ms = 100.0;
    let mut server = server_digest(shop, vec![new, regressed, known]);
    server.more_slow_queries = 4;
    server.accounting.torn = 1;
    server.accounting.unparsed = 1204;
    let billing = Server::named("billing");
    let quiet = ServerDigest {
        executions: 1,
        total_ms: 12.5,
        failed: 0,
        queries: 1,
        ..server_digest(billing, vec![])
    };
    digest_of(vec![server, quiet])
}

pub(super) fn hostile() -> Digest {
    let text = "\u{1b}[31m\u{202e} | ``` `x` <script>alert(1)</script>\n# [a](http://evil) <!channel> \u{9b}2J";
    let server = Server {
        name: text.to_owned(),
        ..Server::named("x")
    };
    let mut query = slow_query(&server, Novelty::FirstLook, text);
    query.query.database_name = text.to_owned();
    query.findings = vec![finding(Rule::SortSpill, text)];
    query.recommendations = vec![recommendation(&query.query, text, text)];
    digest_of(vec![server_digest(server, vec![query])])
}
