//! What a server's log has shown so far of how it is written, as far as pairing depends on it.
//!
//! The settings themselves are not in the log; a record comes in, and what it proves is kept.

use serde::{Deserialize, Serialize};

use crate::{
    model::record::{LogRecord, Severity},
    statement::message::Message,
};

/// What has been seen of the log's settings. A new log has shown nothing.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Shown {
    /// A DETAIL, HINT or CONTEXT: `log_error_verbosity` isn't terse, and the plan of a nested statement has its CONTEXT.
    pub(super) context: bool,
    /// A user name: processes without one are not those of a client.
    pub(super) user_name: bool,
    /// The shortest duration that was logged with its text: a statement that takes as long is logged too.
    pub(super) shortest_ms: Option<f64>,
}

impl Shown {
    pub(super) fn note(&mut self, record: &LogRecord, message: Option<&Message<'_>>) {
        self.user_name |= record.user_name.is_some();
        self.context |= [&record.detail, &record.hint, &record.context]
            .into_iter()
            .any(Option::is_some);
        if message.is_none() && is_change_to_terse(record) {
            self.context = false;
        }
        if let Some(Message::Duration {
            duration_ms,
            text: Some(_),
            ..
        }) = message
        {
            let shortest_ms = self.shortest_ms.get_or_insert(*duration_ms);
            *shortest_ms = shortest_ms.min(*duration_ms);
        }
    }

    /// Whether a statement that takes this long has its duration logged, unless durations are sampled. log_min_duration_statement is a whole number
    /// of milliseconds: where one shorter than the least of them is logged, all are.
    pub(super) fn logs_durations_of(&self, duration_ms: f64) -> bool {
        self.shortest_ms
            .is_some_and(|least| least <= duration_ms || least < 1.0)
    }

    /// Whether the record comes from a process that works for another one's statement: a parallel worker. What fails in it the leader
    /// reports again. The log tells by %P, by %b, or by having no user where sessions have one.
    pub(super) fn is_worker(&self, record: &LogRecord) -> bool {
        record.leader_pid.is_some()
            || record.backend_type.as_deref() == Some("parallel worker")
            || (self.user_name && record.user_name.is_none() && record.database_name.is_none())
    }
}

/// `parameter "log_error_verbosity" changed to "terse"`, which the server logs at a reload; only the quoted parts are the same in all languages.
fn is_change_to_terse(record: &LogRecord) -> bool {
    record.error_severity == Severity::Log
        && record.query.is_none()
        && record.message.contains("\"log_error_verbosity\"")
        && record.message.contains("\"terse\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{execution::pairing::tests::record, statement::message};

    fn note(shown: &mut Shown, record: &LogRecord) {
        shown.note(record, message::read(&record.message).as_ref());
    }

    #[test]
    fn verbosity() {
        let mut shown = Shown::default();
        note(&mut shown, &record(0, "checkpoint starting: time"));
        assert!(!shown.context);
        let mut detailed = record(1, "x");
        detailed.detail = Some("parameters: $1 = '1'".to_owned());
        note(&mut shown, &detailed);
        assert!(shown.context);
        let changed = "parameter \"log_error_verbosity\" changed to \"terse\"";
        let mut raised = record(2, changed);
        raised.query = Some("select f()".to_owned());
        note(&mut shown, &raised);
        assert!(shown.context);
        note(&mut shown, &record(3, changed));
        assert!(!shown.context);
    }

    #[test]
    fn threshold() {
        let mut shown = Shown::default();
        note(&mut shown, &record(0, "duration: 0.100 ms"));
        assert!(!shown.logs_durations_of(1000.0));
        note(&mut shown, &record(0, "duration: 5.000 ms  statement: x"));
        note(&mut shown, &record(0, "duration: 7.000 ms  statement: x"));
        assert!(shown.logs_durations_of(5.0));
        assert!(!shown.logs_durations_of(4.9));
        note(&mut shown, &record(0, "duration: 0.999 ms  statement: x"));
        assert!(shown.logs_durations_of(0.001));
    }

    #[test]
    fn workers() {
        let mut shown = Shown::default();
        let client = record(0, "x");
        let check = |shown: &Shown, worker: &LogRecord, expected| {
            assert_eq!(shown.is_worker(worker), expected, "{worker:?}");
        };
        let mut nameless = client.clone();
        nameless.user_name = None;
        nameless.database_name = None;
        check(&shown, &nameless, false);
        note(&mut shown, &client);
        check(&shown, &nameless, true);
        check(&shown, &client, false);
        let mut led = client.clone();
        led.leader_pid = Some(9);
        check(&shown, &led, true);
        let mut worker = client;
        worker.backend_type = Some("parallel worker".to_owned());
        check(&shown, &worker, true);
    }
}
