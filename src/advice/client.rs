//! The client of an OpenAI-compatible chat completions endpoint: one request per case, bounded in time and size, without redirects and proxies.
//!
//! In: a case. Out: what the guard makes of the answer, or an error that says whether asking again makes sense. The only file of this stage that
//! touches the network; it never retries by itself and never waits longer than its timeout.

use std::time::Duration;

use reqwest::{
    StatusCode, Url,
    header::{AUTHORIZATION, HeaderValue, RETRY_AFTER},
    redirect,
};
use rustls::crypto::{CryptoProvider, ring};
use secrecy::ExposeSecret;

use super::{
    Advice, Case, Config, Error, Nothing, Rejection, RetryReason, answer, form, guard,
    known::Known, prompt, sendable,
};

/// Bytes of a response. A filled-in form is a tenth of that.
const MAX_RESPONSE_BYTES: usize = 256 * 1024;

/// The longest time that a server can make plantail wait before it asks again.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// Error codes that come with a status worth a retry, but stay until somebody pays or raises a limit.
const QUOTA_CODES: [&str; 6] = [
    "insufficient_quota",
    "credit_balance_exhausted",
    "organization_spend_limit_exceeded",
    "project_spend_limit_exceeded",
    "organization_usage_limit_exceeded",
    "enforced_spend_limit_reached",
];

/// What went wrong on the way to the endpoint and back.
pub(super) type TransportError = reqwest::Error;

/// A connection pool to one endpoint. Making one reads the system's certificates, so it is made once.
pub struct Client {
    http: reqwest::Client,
    url: Url,
    authorization: Option<HeaderValue>,
    config: Config,
}

impl Client {
    /// Checks the configuration. Makes ring the process's provider of cryptography if none has been chosen.
    pub fn new(config: &Config) -> Result<Self, Error> {
        if config.provider.is_none() {
            return Err(Error::Config {
                setting: "provider",
                problem: "isn't set".to_owned(),
                remedy: "set it to openai-compatible to ask a model",
            });
        }
        if config.model.is_empty() {
            return Err(Error::Config {
                setting: "model",
                problem: "isn't set".to_owned(),
                remedy: "set it to a model that the endpoint serves",
            });
        }
        let url = url(config)?;
        if CryptoProvider::get_default().is_none() {
            // An error means that another thread has just chosen one.
            let _ = ring::default_provider().install_default();
        }
        let http = reqwest::Client::builder()
            .connect_timeout(config.connect_timeout)
            .timeout(config.timeout)
            .redirect(redirect::Policy::none())
            .referer(false)
            .no_proxy()
            .user_agent(concat!("plantail/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(Error::Client)?;
        Ok(Self {
            http,
            authorization: authorization(config, &url)?,
            url,
            config: config.clone(),
        })
    }
}

/// Asks the model about `case`. Nothing is sent of a case that may hold a literal, secret or utility statement.
pub async fn advise(client: &Client, case: &Case) -> Result<Advice, Error> {
    let plans = match sendable::plans(case) {
        Ok(plans) => plans,
        Err(nothing) => return Ok(Advice::Nothing(nothing)),
    };
    let mut known = Known::default();
    for plan in &plans {
        known.add(plan.ordinal, &plan.root);
    }
    let message = prompt::case(case, &plans, &known);
    if message.len() > client.config.max_case_bytes {
        return Ok(Advice::Nothing(Nothing::TooLarge));
    }
    let body = ask(client, &prompt::request(&client.config, &message)).await?;
    let form = form::read(&answer::text(&body)?)?;
    Ok(guard::advice(case, &known, form)?)
}

/// The body of a successful response.
async fn ask(client: &Client, body: &serde_json::Value) -> Result<Vec<u8>, Error> {
    let mut request = client.http.post(client.url.clone()).json(body);
    if let Some(authorization) = &client.authorization {
        request = request.header(AUTHORIZATION, authorization.clone());
    }
    let mut response = request.send().await.map_err(broken)?;
    let status = response.status();
    let after = response.headers().get(RETRY_AFTER).and_then(seconds);
    let mut read = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(broken)? {
        if read.len() + chunk.len() > MAX_RESPONSE_BYTES {
            return Err(Rejection::TooLarge.into());
        }
        read.extend_from_slice(&chunk);
    }
    if status == StatusCode::OK {
        return Ok(read);
    }
    let code = answer::error_code(&read);
    let quota = code
        .as_deref()
        .is_some_and(|code| QUOTA_CODES.contains(&code));
    let passing = [408, 409, 429].contains(&status.as_u16()) || status.is_server_error();
    if passing && !quota {
        return Err(Error::Retry {
            reason: RetryReason::Status(status.as_u16()),
            after,
            source: None,
        });
    }
    Err(Error::Failed {
        status: status.as_u16(),
        code,
    })
}

fn broken(error: reqwest::Error) -> Error {
    let reason = if error.is_timeout() {
        RetryReason::Timeout
    } else {
        RetryReason::Connection
    };
    Error::Retry {
        reason,
        after: None,
        source: Some(error.without_url()),
    }
}

/// `Retry-After: 120` (RFC 9110, 10.2.3). Its other form, a date, isn't used by these servers and is ignored.
fn seconds(value: &HeaderValue) -> Option<Duration> {
    let seconds = value.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(MAX_RETRY_AFTER))
}

/// The address of chat completions below the configured endpoint.
fn url(config: &Config) -> Result<Url, Error> {
    let wrong = |problem: String| Error::Config {
        setting: "endpoint",
        problem,
        remedy: "give the base address of the API, such as https://api.openai.com/v1 or http://127.0.0.1:8080/v1, without credentials",
    };
    let endpoint = config.endpoint.trim_end_matches('/');
    let url = Url::parse(&format!("{endpoint}/chat/completions"))
        .map_err(|_| wrong("isn't an address".to_owned()))?;
    if !["http", "https"].contains(&url.scheme()) {
        return Err(wrong(format!("has the scheme {}", url.scheme())));
    }
    let credentials = !url.username().is_empty() || url.password().is_some();
    if credentials || url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("holds more than host and path".to_owned()));
    }
    Ok(url)
}

/// `Authorization: Bearer …`, kept out of Debug.
fn authorization(config: &Config, url: &Url) -> Result<Option<HeaderValue>, Error> {
    let Some(key) = &config.api_key else {
        return Ok(None);
    };
    let local = url.host_str().is_some_and(|host| {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        host == "localhost"
            || host
                .parse::<std::net::IpAddr>()
                .is_ok_and(|address| address.is_loopback())
    });
    if url.scheme() != "https" && !local {
        return Err(Error::Config {
            setting: "api_key",
            problem: format!(
                "would go over the network unencrypted to {}",
                url.host_str().unwrap_or_default()
            ),
            remedy: "use an https endpoint, or leave the key out",
        });
    }
    let mut header = HeaderValue::from_str(&format!("Bearer {}", key.expose_secret().trim()))
        .map_err(|_| Error::Config {
            setting: "api_key",
            problem: "holds characters that no HTTP header can".to_owned(),
            remedy: "give the key as the provider shows it",
        })?;
    header.set_sensitive(true);
    Ok(Some(header))
}

#[cfg(test)]
mod tests {
    use super::super::Provider;
    use super::*;

    /// The message of the error that a configuration gives, if it does.
    fn check(endpoint: &str, api_key: Option<&str>, expected: Option<&str>) {
        let config = Config {
            provider: Some(Provider::OpenAiCompatible),
            endpoint: endpoint.to_owned(),
            model: "m".to_owned(),
            api_key: api_key.map(Into::into),
            ..Config::default()
        };
        let made = Client::new(&config);
        let message = made.err().map(|error| error.to_string());
        match (message, expected) {
            (Some(message), Some(expected)) => {
                assert!(message.starts_with(expected), "{message}");
                assert!(!message.contains("k-secret"), "{message}");
            }
            (message, expected) => assert_eq!(message.as_deref(), expected, "{endpoint}"),
        }
    }

    #[test]
    fn the_endpoint_is_checked() {
        check("http://127.0.0.1:8080/v1/", Some("k-secret"), None);
        check("http://[::1]:8080/v1", Some("k-secret"), None);
        check("https://example.org/v1", Some("k-secret"), None);
        check("http://10.0.0.1/v1", None, None);
        check(
            "http://10.0.0.1/v1",
            Some("k-secret"),
            Some("advice.api_key would go over the network unencrypted to 10.0.0.1: "),
        );
        check("https://example.org/v1", Some("k-secret\n"), None);
        check(
            "https://example.org/v1",
            Some("k-secret\nX: y"),
            Some("advice.api_key holds characters"),
        );
        check(
            "ftp://example.org",
            None,
            Some("advice.endpoint has the scheme ftp: "),
        );
        check(
            "example.org",
            None,
            Some("advice.endpoint isn't an address: "),
        );
        check(
            "https://u:k-secret@example.org/v1",
            None,
            Some("advice.endpoint holds more than host and path: "),
        );
        check(
            "https://example.org/v1?key=k-secret",
            None,
            Some("advice.endpoint holds more than host and path: "),
        );
    }
}
