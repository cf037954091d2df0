//! How much of what a server executes is in its log, where the log is sampled: what one logged execution stands for.
//!
//! The rates are the server's settings (manual, section 20.8.2 "When to Log", and appendix F "auto_explain"); they are configured, because the log
//! doesn't show them.

use super::execution::{DurationSource, Execution};

/// A server's settings that decide what is logged by chance. Rates are above 0 and at most 1.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Sampling {
    /// `log_min_duration_statement`: from here on every statement is logged. `None`: off.
    pub log_min_duration_statement_ms: Option<f64>,
    /// `log_statement_sample_rate`: of the statements over `log_min_duration_sample`. `None`: durations are not sampled by statement.
    pub log_statement_sample_rate: Option<f64>,
    /// `log_transaction_sample_rate`. `None`: off.
    pub log_transaction_sample_rate: Option<f64>,
    /// `auto_explain.sample_rate`. `None`: the server's default, 1.
    pub auto_explain_sample_rate: Option<f64>,
}

impl Sampling {
    /// How many executions `logged` stands for, so that the sum over what is logged is on average the number of what was executed.
    ///
    /// Where durations and plans are sampled independently, an execution with a plan stands for itself, and those without one for what the
    /// sample of durations has left out; one that is known by neither a plan nor a duration stands for none.
    pub fn weight(&self, logged: &Execution) -> f64 {
        let of_plans = 1.0 / self.auto_explain_sample_rate.unwrap_or(1.0);
        if logged.failed {
            return 1.0;
        }
        if logged.is_nested() {
            return of_plans;
        }
        let has_duration = logged.duration_source == Some(DurationSource::Statement);
        match self.rate_of_durations() {
            None if has_duration => 1.0,
            None if logged.plan_count > 0 => of_plans,
            None => 1.0,
            Some(_) if logged.plan_count > 0 => 1.0,
            Some(_) if !has_duration => 0.0,
            Some(rate) => match (logged.duration_ms, self.log_min_duration_statement_ms) {
                (Some(duration_ms), Some(all)) if duration_ms >= all => 1.0,
                _ => 1.0 / rate,
            },
        }
    }

    pub fn has_rate(&self) -> bool {
        self.rates() != [None; 3]
    }

    /// A rate that no server can have, or that would log nothing.
    pub fn impossible_rate(&self) -> Option<f64> {
        self.rates()
            .into_iter()
            .flatten()
            .find(|rate| !(*rate > 0.0 && *rate <= 1.0))
    }

    fn rates(&self) -> [Option<f64>; 3] {
        [
            self.log_statement_sample_rate,
            self.log_transaction_sample_rate,
            self.auto_explain_sample_rate,
        ]
    }

    /// The share of short statements whose duration is logged, by either sample; `None` where they are not sampled.
    fn rate_of_durations(&self) -> Option<f64> {
        let rates = [
            self.log_statement_sample_rate,
            self.log_transaction_sample_rate,
        ];
        if rates == [None, None] {
            return None;
        }
        let left_out: f64 = rates.into_iter().flatten().map(|rate| 1.0 - rate).product();
        Some(1.0 - left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::execution::{ExecutionId, ExecutionKind};
    use crate::model::position::{GenerationId, Position, ServerId};
    use crate::model::query::Query;

    fn execution(duration: Option<(f64, DurationSource)>, plan_count: u32) -> Execution {
        let position = Position {
            generation: GenerationId(1),
            offset_bytes: 0,
        };
        Execution {
            id: ExecutionId::at(position, 0),
            server_id: ServerId(1),
            query: Query::new(ServerId(1), "shop", "select $1".to_owned()),
            started_at: jiff::Timestamp::UNIX_EPOCH,
            position,
            kind: ExecutionKind::Statement,
            user_name: None,
            application_name: None,
            process_id: None,
            session_id: None,
            duration_ms: duration.map(|(ms, _)| ms),
            duration_source: duration.map(|(_, source)| source),
            parse_ms: None,
            bind_ms: None,
            rows: None,
            sql_state: None,
            failed: false,
            parent_id: None,
            call_site: None,
            nested_count: 0,
            tags: Vec::new(),
            logged: None,
            server_query_id: None,
            plan_count,
            open: false,
            time_assumed: false,
            weight: None,
        }
    }

    #[test]
    fn weights() {
        let plans = Sampling {
            auto_explain_sample_rate: Some(0.5),
            ..Sampling::default()
        };
        let durations = Sampling {
            log_min_duration_statement_ms: Some(20.0),
            log_statement_sample_rate: Some(0.2),
            log_transaction_sample_rate: Some(0.375),
            ..plans
        };
        let short = Some((3.0, DurationSource::Statement));
        let long = Some((20.0, DurationSource::Statement));
        let by_plan = Some((30.0, DurationSource::Plan));
        for (sampling, duration, plan_count, expected) in [
            (plans, short, 0, 1.0),
            (plans, short, 1, 1.0),
            (plans, by_plan, 1, 2.0),
            (plans, None, 0, 1.0),
            (durations, short, 0, 2.0),
            (durations, short, 1, 1.0),
            (durations, long, 0, 1.0),
            (durations, by_plan, 1, 1.0),
            (durations, None, 0, 0.0),
        ] {
            let weight = sampling.weight(&execution(duration, plan_count));
            assert!(
                (weight - expected).abs() < 1e-9,
                "{sampling:?} {duration:?} {plan_count}: {weight}"
            );
        }
        let mut nested = execution(by_plan, 1);
        nested.parent_id = Some(nested.id);
        assert!((durations.weight(&nested) - 2.0).abs() < 1e-9);
        nested.failed = true;
        assert!((durations.weight(&nested) - 1.0).abs() < 1e-9);
    }
}
