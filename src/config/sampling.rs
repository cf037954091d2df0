//! The settings of a server whose log is sampled, as its administrator copies them from `SHOW ALL`.
//!
//! A server's raw section comes in, and its [`Sampling`] goes out if a rate is given.

use serde::Deserialize;

use super::{Error, RawServer};
use crate::model::sampling::Sampling;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawAutoExplain {
    sample_rate: Option<f64>,
}

/// What the server logs by chance; `None` where no rate is given.
pub(super) fn read(raw: &RawServer) -> Result<Option<Sampling>, Error> {
    let rate = |setting, given: Option<f64>| match given {
        Some(rate) if !(rate > 0.0 && rate <= 1.0) => Err(Error::value(
            setting,
            &rate.to_string(),
            "the server's setting, above 0 and at most 1; leave it out where the server has 0",
        )),
        given => Ok(given),
    };
    let sampling = Sampling {
        log_min_duration_statement_ms: raw.log_min_duration_statement.filter(|ms| *ms >= 0.0),
        log_statement_sample_rate: rate(
            "servers.log_statement_sample_rate",
            raw.log_statement_sample_rate,
        )?,
        log_transaction_sample_rate: rate(
            "servers.log_transaction_sample_rate",
            raw.log_transaction_sample_rate,
        )?,
        auto_explain_sample_rate: rate(
            "servers.auto_explain.sample_rate",
            raw.auto_explain.sample_rate,
        )?,
    };
    let rates = [
        sampling.log_statement_sample_rate,
        sampling.log_transaction_sample_rate,
        sampling.auto_explain_sample_rate,
    ];
    Ok(Some(sampling).filter(|_| rates != [None; 3]))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    fn read_toml(keys: &str) -> Result<Option<Sampling>, String> {
        let text = format!("name = \"a\"\npaths = [\"b\"]\n{keys}");
        let raw = figment_of(&text);
        read(&raw).map_err(|error| error.to_string())
    }

    fn figment_of(text: &str) -> RawServer {
        use figment::providers::{Format, Toml};
        figment::Figment::from(Toml::string(text))
            .extract()
            .unwrap()
    }

    #[test]
    fn rates() {
        assert_eq!(read_toml(""), Ok(None));
        assert_eq!(read_toml("log_min_duration_statement = 20"), Ok(None));
        let sampling = Sampling {
            log_min_duration_statement_ms: Some(20.0),
            log_statement_sample_rate: Some(0.25),
            log_transaction_sample_rate: None,
            auto_explain_sample_rate: Some(0.5),
        };
        let keys = "log_min_duration_statement = 20\nlog_statement_sample_rate = 0.25\nauto_explain.sample_rate = 0.5";
        assert_eq!(read_toml(keys), Ok(Some(sampling)));
        let off = Sampling {
            log_min_duration_statement_ms: None,
            log_statement_sample_rate: None,
            ..sampling
        };
        let keys = "log_min_duration_statement = -1\nauto_explain.sample_rate = 0.5";
        assert_eq!(read_toml(keys), Ok(Some(off)));
        for rate in ["0", "-0.1", "1.01", "nan", "inf"] {
            let refused = read_toml(&format!("log_transaction_sample_rate = {rate}"));
            assert!(
                refused
                    .unwrap_err()
                    .starts_with("servers.log_transaction_sample_rate = ")
            );
        }
    }
}
