//! The summary as JSON for programs: the digest's own fields in snake_case, times in RFC 3339, durations in milliseconds, statements whole.

use serde_json::{Value, json};

use crate::model::{
    digest::{Digest, ServerDigest, SlowQuery},
    finding::Finding,
    public_id::PublicId,
    recommendation::Recommendation,
    visible::visible_json,
};

/// The summary as one JSON document, indented, with a newline at its end.
pub fn render(digest: &Digest) -> String {
    let value = json!({
        "as_of": digest.as_of.map(|at| at.to_string()),
        "since": digest.since.map(|at| at.to_string()),
        "slow_threshold_ms": digest.slow_threshold_ms,
        "servers": digest.servers.iter().map(server).collect::<Vec<_>>(),
    });
    visible_json(&format!("{value:#}\n"))
}

fn server(server: &ServerDigest) -> Value {
    json!({
        "id": PublicId::Server(server.server.id).to_string(),
        "name": server.server.name,
        "first_seen": server.first_seen.to_string(),
        "last_seen": server.last_seen.to_string(),
        "executions": server.executions,
        "total_ms": server.total_ms,
        "failed": server.failed,
        "queries": server.queries,
        "torn": server.accounting.torn,
        "unparsed": server.accounting.unparsed,
        "plans_unparsable": server.accounting.plans_unparsable,
        "gaps": server.accounting.gaps,
        "forged_duration_messages": server.accounting.forged_duration_messages,
        "slow_queries": server.slow_queries.iter().map(slow_query).collect::<Vec<_>>(),
        "more_slow_queries": server.more_slow_queries,
    })
}

fn slow_query(query: &SlowQuery) -> Value {
    json!({
        "id": PublicId::Query(query.query.server_id, query.query.id).to_string(),
        "database_name": query.query.database_name,
        "normalized_sql": query.query.normalized_sql,
        "novelty": query.novelty.as_str(),
        "severity": query.severity.as_str(),
        "first_seen": query.first_seen.to_string(),
        "calls": query.calls,
        "failed": query.failed,
        "total_ms": query.total_ms,
        "mean_ms": query.mean_ms,
        "max_ms": query.max_ms,
        "calls_before": query.calls_before,
        "mean_before_ms": query.mean_before_ms,
        "findings": query.findings.iter().map(finding).collect::<Vec<_>>(),
        "recommendations": query.recommendations.iter().map(recommendation).collect::<Vec<_>>(),
    })
}

fn finding(finding: &Finding) -> Value {
    json!({
        "rule": finding.rule.as_str(),
        "severity": finding.severity.as_str(),
        "node_path": finding.node_path,
        "message": finding.message,
        "not_decidable": finding.not_decidable,
    })
}

fn recommendation(recommendation: &Recommendation) -> Value {
    json!({
        "id": PublicId::Recommendation(recommendation.server_id, recommendation.id).to_string(),
        "source": recommendation.source.as_str(),
        "kind": recommendation.kind.as_str(),
        "severity": recommendation.severity.as_str(),
        "confidence_score": recommendation.confidence_score,
        "verification": recommendation.verification.as_str(),
        "summary": recommendation.summary,
        "explanation": recommendation.explanation,
        "disproof": recommendation.disproof,
        "command": recommendation.command,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{digest::sample, model::visible::acts_on_display};

    #[test]
    fn a_morning_summary() {
        insta::assert_snapshot!(render(&sample::digest()));
    }

    #[test]
    fn what_a_terminal_would_act_on_is_escaped_and_reads_back() {
        let hostile = sample::hostile();
        let document = render(&hostile);
        assert!(
            document.chars().all(|c| c == '\n' || !acts_on_display(c)),
            "{document:?}"
        );
        let value: Value = serde_json::from_str(&document).expect("valid JSON");
        let name = &value["servers"][0]["name"];
        assert_eq!(name.as_str(), Some(hostile.servers[0].server.name.as_str()));
    }
}
