//! Rule `no-plan`: an execution was slow and the log holds no readable plan of it.

use crate::model::{
    execution::Execution,
    finding::{Finding, Rule, Severity},
};

use super::{Config, command::has_plan, wording};

/// `None` for executions that were fast, whose plan may still come, or that have none (utility statements).
pub(super) fn check(execution: &Execution, config: &Config) -> Option<Finding> {
    let duration_ms = execution
        .duration_ms
        .filter(|ms| *ms >= config.slow_threshold_ms)?;
    if execution.open || !has_plan(&execution.query.normalized_sql) {
        return None;
    }
    let reason = if execution.failed {
        "it failed, and PostgreSQL logs no plan of a statement that fails"
    } else {
        "the log holds no plan of it that can be read (auto_explain.log_min_duration, auto_explain.sample_rate; auto_explain.log_format has to be json)"
    };
    Some(Finding {
        rule: Rule::NoPlan,
        severity: Severity::Notice,
        plan_ordinal: 0,
        node_path: None,
        message: format!("took {} and {reason}", wording::ms(duration_ms)),
        not_decidable: None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::test_plans::execution;
    use super::*;

    fn check_message(execution: &Execution, expected: Option<&str>) {
        let finding = check(execution, &Config::default());
        assert_eq!(
            finding.map(|finding| finding.message),
            expected.map(str::to_owned)
        );
    }

    #[test]
    fn a_slow_execution_without_a_plan_says_why() {
        let slow = execution("select $1", Some(2345.6));
        check_message(
            &slow,
            Some(
                "took 2,346 ms and the log holds no plan of it that can be read (auto_explain.log_min_duration, auto_explain.sample_rate; \
                 auto_explain.log_format has to be json)",
            ),
        );
        check_message(
            &Execution {
                failed: true,
                ..slow.clone()
            },
            Some(
                "took 2,346 ms and it failed, and PostgreSQL logs no plan of a statement that fails",
            ),
        );
        check_message(&Execution { open: true, ..slow }, None);
        check_message(&execution("select $1", Some(999.0)), None);
        check_message(&execution("vacuum orders", Some(5000.0)), None);
        check_message(&execution("select $1", None), None);
    }
}
