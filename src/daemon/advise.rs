//! Asks the model about the executions that opened breaches, one at a time, away from everything else: the logs and the API never wait for it.

use std::time::Duration;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::Error;
use crate::{
    advice::{self, Advice, Case, CasePlan, Client, Nothing},
    store::{self, AdviceJob, AdviceOutcome, Reader, Store},
};

/// How often the queue is looked at.
const POLL: Duration = Duration::from_millis(500);
/// Attempts after which a job is given up.
const ATTEMPTS: u32 = 6;
/// Pause before the second attempt; doubled for each further one.
const RETRY_AFTER: Duration = Duration::from_secs(30);
const RETRY_AFTER_MOST: Duration = Duration::from_secs(3600);

/// How much longer a job is claimed than the model may take for it: reading the case, storing the answer, clocks that differ.
const LEASE_BEYOND_ANSWER: Duration = Duration::from_secs(300);

/// The worker that holds the model's client.
pub struct Advisor {
    client: Client,
    store: Store,
    /// Longer than the longest call: nobody else asks the same meanwhile.
    lease: Duration,
}

impl Advisor {
    /// `None` unless a provider is configured.
    pub fn new(config: &advice::Config, store: &Store) -> Result<Option<Self>, Error> {
        if config.provider.is_none() {
            return Ok(None);
        }
        Ok(Some(Self {
            client: Client::new(config)?,
            store: store.clone(),
            lease: config.timeout.saturating_add(LEASE_BEYOND_ANSWER),
        }))
    }

    /// Works until `shutdown`; a request under way is dropped and its job tried again later.
    pub async fn run(self, shutdown: CancellationToken) {
        while !shutdown.is_cancelled() {
            tokio::select! {
                () = shutdown.cancelled() => return,
                worked = self.next() => if worked { continue },
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(POLL) => {}
            }
        }
    }

    /// Answers everything that waits and may be asked at once.
    pub async fn drain(&self) {
        while self.next().await {}
    }

    /// Takes the next job; false when none may run or the store can't be asked.
    async fn next(&self) -> bool {
        let lease = self.lease;
        let claimed = self
            .with_store(move |store| {
                let now_us = Timestamp::now().as_microsecond();
                let Some(job) = store.claim_advice_job(now_us, lease)? else {
                    return Ok(None);
                };
                let case = store.read(|reader| case(reader, &job))?;
                Ok(Some((job, case)))
            })
            .await;
        let (job, case) = match claimed {
            Ok(Some(claimed)) => claimed,
            Ok(None) => return false,
            Err(error) => {
                tracing::warn!(error = %error, "advice jobs can't be read");
                return false;
            }
        };
        let outcome = match case {
            Some(case) => outcome(&job, advice::advise(&self.client, &case).await),
            None => AdviceOutcome::Done(None),
        };
        let stored = self
            .with_store(move |store| store.finish_advice_job(&job, &outcome))
            .await;
        match stored {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(error = %error, "the outcome of an advice job can't be stored");
                false
            }
        }
    }

    async fn with_store<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<T, store::Error> + Send + 'static,
    ) -> Result<T, store::Error> {
        let store = self.store.clone();
        tokio::task::spawn_blocking(move || work(&store))
            .await
            .expect("the store doesn't panic")
    }
}

fn outcome(job: &AdviceJob, answer: Result<Advice, advice::Error>) -> AdviceOutcome {
    match answer {
        Ok(Advice::Recommendation { recommendation, .. }) => {
            AdviceOutcome::Done(Some(*recommendation))
        }
        Ok(Advice::Nothing(Nothing::NothingProposed)) => AdviceOutcome::Done(None),
        Ok(Advice::Nothing(reason)) => AdviceOutcome::Failed {
            reason: format!("not sent: {}", reason.as_str()),
        },
        Err(advice::Error::Rejected(reason)) => AdviceOutcome::Rejected {
            reason: reason.as_str().to_owned(),
        },
        Err(advice::Error::Retry { reason, after, .. }) if job.attempts < ATTEMPTS => {
            let doubled = RETRY_AFTER.saturating_mul(1 << job.attempts.min(8).saturating_sub(1));
            let pause = doubled.max(after.unwrap_or_default()).min(RETRY_AFTER_MOST);
            let run_after = Timestamp::now()
                .saturating_add(pause)
                .unwrap_or(Timestamp::MAX);
            tracing::info!(reason = %reason, pause_ms = pause.as_millis(), "the model didn't answer; asking again later");
            AdviceOutcome::Retry {
                reason: reason.to_string(),
                run_after_us: run_after.as_microsecond(),
            }
        }
        Err(error) => {
            tracing::warn!(error = %error, "no advice");
            AdviceOutcome::Failed {
                reason: error.to_string(),
            }
        }
    }
}

/// Everything that the model may see of the execution that opened the breach; `None` if it is no longer in the store.
fn case(reader: &mut Reader<'_>, job: &AdviceJob) -> Result<Option<Case>, store::Error> {
    let key = job.execution;
    let Some(execution) = reader.execution(key)? else {
        return Ok(None);
    };
    let plans = reader.plans_of(&[key])?.remove(&key).unwrap_or_default();
    let findings = reader.findings_of(&[key])?.remove(&key).unwrap_or_default();
    Ok(Some(Case {
        complete: !execution.query.is_cut(),
        query: execution.query,
        started_at: execution.started_at,
        duration_ms: execution.duration_ms,
        parse_ms: execution.parse_ms,
        bind_ms: execution.bind_ms,
        rows: execution.rows,
        plans: plans
            .into_iter()
            .map(|plan| CasePlan {
                ordinal: plan.ordinal,
                duration_ms: plan.duration_ms,
                document: plan.document,
            })
            .collect(),
        findings,
    }))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;
    use crate::store::StoreUrl;

    #[test]
    fn a_job_is_claimed_for_longer_than_the_longest_call_takes() {
        let folder = tempfile::tempdir().unwrap();
        let url = StoreUrl::sqlite(&folder.path().join("plantail.db"));
        let store = Store::open(&url.into()).unwrap();
        let longest = Duration::from_millis(600_000);
        let config = advice::Config {
            provider: Some(advice::Provider::OpenAiCompatible),
            endpoint: "http://127.0.0.1:9/v1".to_owned(),
            model: "m".to_owned(),
            timeout: longest,
            ..advice::Config::default()
        };
        let advisor = Advisor::new(&config, &store).unwrap().unwrap();
        assert!(advisor.lease >= longest + Duration::from_secs(60));
    }
}
