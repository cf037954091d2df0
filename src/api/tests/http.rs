//! The API over real connections: what HTTP says of good and bad requests.

use std::{net::SocketAddr, time::Duration};

use reqwest::Client;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    api::{Config, Error, bind, serve},
    digest::fixture::Fixture,
};

const JSON: &str = "application/json";
const GRAPHQL: &str = "application/graphql-response+json";

struct Api {
    address: SocketAddr,
    shutdown: CancellationToken,
    served: JoinHandle<()>,
    fixture: Fixture,
}

impl Api {
    async fn start() -> Self {
        Self::with(Config::default()).await
    }

    async fn with(config: Config) -> Self {
        let config = Config {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            ..config
        };
        let listener = bind(&config).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let fixture = Fixture::three_servers(1);
        let (_, last_commit) = watch::channel(None);
        let store = fixture.store.clone();
        let served = tokio::spawn(serve(
            listener,
            config,
            store,
            last_commit,
            shutdown.clone(),
        ));
        Self {
            address,
            shutdown,
            served,
            fixture,
        }
    }

    /// Sends raw bytes; gives all that comes back until the server closes.
    async fn raw(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer);
        let _ = timeout(Duration::from_secs(10), read).await.unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// A POST of `body` with these headers; status, content type and JSON.
    async fn post(&self, headers: &[(&str, &str)], body: &str) -> (u16, String, Value) {
        let mut request = client().post(format!("http://{}/graphql", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.body(body.to_owned()).send().await.unwrap();
        let status = response.status().as_u16();
        let content_type = response.headers()["content-type"]
            .to_str()
            .unwrap()
            .to_owned();
        (status, content_type, response.json().await.unwrap())
    }
}

fn client() -> Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().no_proxy().build().unwrap()
}

fn status(answer: &str) -> &str {
    answer.get(9..12).unwrap_or("none")
}

#[tokio::test]
async fn a_document_is_answered_in_the_type_that_was_asked_for() {
    let api = Api::start().await;
    let good = json!({ "query": "query Q($n: Int) { queries(limit: $n) { id } }", "variables": { "n": 2 }, "operationName": "Q" });
    let bad = json!({ "query": "{ nothing }" });
    for (accept, body, status, content_type) in [
        ("*/*", &good, 200, JSON),
        (JSON, &good, 200, JSON),
        (GRAPHQL, &good, 200, GRAPHQL),
        (JSON, &bad, 200, JSON),
        (GRAPHQL, &bad, 400, GRAPHQL),
        ("text/html", &good, 406, JSON),
    ] {
        let headers = [("content-type", JSON), ("accept", accept)];
        let answer = api.post(&headers, &body.to_string()).await;
        assert_eq!(answer.0, status, "{accept} {answer:?}");
        assert_eq!(answer.1, format!("{content_type}; charset=utf-8"));
        if status == 200 && body == &good {
            assert_eq!(answer.2["data"]["queries"].as_array().unwrap().len(), 2);
        } else {
            assert!(
                answer.2["errors"][0]["extensions"]["code"].is_string(),
                "{answer:?}"
            );
        }
    }
}

#[tokio::test]
async fn bodies_that_are_no_request_get_400() {
    let api = Api::start().await;
    for body in [
        "",
        "{",
        "5",
        "[]",
        r#"[{"query":"{ servers { id } }"}]"#,
        "{}",
        r#"{"query":5}"#,
        r#"{"query":"{ servers { id } }","variables":[]}"#,
        r#"{"query":"{ servers { id } }","variables":"x"}"#,
        r#"{"query":"{ servers { id } }","operationName":5}"#,
        r#"{"query":"{ servers { id } }","extensions":5}"#,
        &format!(
            r#"{{"query":"{{ servers {{ id }} }}","variables":{}1{}}}"#,
            r#"{"a":"#.repeat(200),
            "}".repeat(200)
        ),
    ] {
        let (status, _, answer) = api.post(&[("content-type", JSON)], body).await;
        assert_eq!(status, 400, "{body}");
        assert_eq!(
            answer["errors"][0]["extensions"]["code"],
            json!("BAD_REQUEST")
        );
    }
    let nulls =
        r#"{"query":"{ servers { id } }","variables":null,"operationName":null,"extensions":{}}"#;
    assert_eq!(api.post(&[("content-type", JSON)], nulls).await.0, 200);
}

#[tokio::test]
async fn only_json_is_taken() {
    let api = Api::start().await;
    let body = r#"{"query":"{ servers { id } }"}"#;
    for content_type in [
        None,
        Some("text/plain"),
        Some("application/graphql"),
        Some("application/json; charset=latin1"),
    ] {
        let headers: Vec<(&str, &str)> = content_type
            .map(|value| ("content-type", value))
            .into_iter()
            .collect();
        assert_eq!(api.post(&headers, body).await.0, 415, "{content_type:?}");
    }
}

#[tokio::test]
async fn long_bodies_get_413_whatever_they_say_of_their_length() {
    let api = Api::start().await;
    let long = "x".repeat(64 * 1024 + 1);
    let (status_of_known, _, answer) = api.post(&[("content-type", JSON)], &long).await;
    assert_eq!(
        (
            status_of_known,
            answer["errors"][0]["extensions"]["code"].as_str()
        ),
        (413, Some("BODY_TOO_LARGE"))
    );
    let chunk = format!("1000\r\n{}\r\n", "x".repeat(0x1000));
    let chunked = format!(
        "POST /graphql HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n{}0\r\n\r\n",
        chunk.repeat(17)
    );
    assert_eq!(status(&api.raw(&chunked).await), "413");
}

#[tokio::test]
async fn paths_and_methods_that_are_not_there() {
    let api = Api::start().await;
    for (line, expected, allow) in [
        (
            "GET /graphql?query=%7Bservers%7Bid%7D%7D",
            "405",
            Some("allow: POST"),
        ),
        ("OPTIONS /graphql", "405", Some("allow: POST")),
        ("POST /healthz", "405", Some("allow: GET, HEAD")),
        ("GET /", "404", None),
        ("GET /healthz", "200", None),
        ("HEAD /healthz", "200", None),
        ("GET /readyz", "200", None),
    ] {
        let request = format!(
            "{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        );
        let answer = api.raw(&request).await;
        assert_eq!(status(&answer), expected, "{line}");
        assert!(allow.is_none_or(|allow| answer.contains(allow)), "{answer}");
    }
}

#[tokio::test]
async fn other_names_and_origins_are_refused() {
    let api = Api::start().await;
    for (headers, expected) in [
        ("Host: localhost:8088", "200"),
        ("Host: 127.0.0.1", "200"),
        ("Host: [::1]:8088", "200"),
        ("Host: localhost\r\nOrigin: http://localhost:3000", "200"),
        ("Host: evil.example", "403"),
        ("Host: localhost\r\nOrigin: https://evil.example", "403"),
        ("Host: localhost\r\nOrigin: null", "403"),
        ("X-Nothing: 1", "403"),
    ] {
        let body = r#"{"query":"{ servers { id } }"}"#;
        let request = format!(
            "POST /graphql HTTP/1.1\r\n{headers}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        assert_eq!(status(&api.raw(&request).await), expected, "{headers}");
    }
}

#[tokio::test]
async fn slow_clients_are_disconnected() {
    let api = Api::with(Config {
        header_timeout: Duration::from_secs(1),
        request_timeout: Duration::from_millis(200),
        ..Config::default()
    })
    .await;
    let started = Instant::now();
    api.raw("POST /graphql HTTP/1.1\r\nHost: loc").await;
    let head = "POST /graphql HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{";
    assert_eq!(status(&api.raw(head).await), "503");
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn connections_over_the_cap_wait_for_a_free_place() {
    let api = Api::with(Config {
        max_connections: 1,
        header_timeout: Duration::from_secs(1),
        ..Config::default()
    })
    .await;
    let _held = TcpStream::connect(api.address).await.unwrap();
    let request = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    assert_eq!(status(&api.raw(request).await), "200");
}

#[tokio::test]
async fn a_store_that_fails_is_our_fault_and_not_explained() {
    let api = Api::start().await;
    api.fixture.destroy();
    let document = json!({ "query": "{ servers { id } }" }).to_string();
    let (status_of_failure, _, mut answer) = api.post(&[("content-type", JSON)], &document).await;
    assert_eq!(status_of_failure, 500);
    let id = answer["errors"][0]["extensions"]["correlationId"].take();
    assert_eq!(id.as_str().map(str::len), Some(16));
    let expected = json!({ "message": "internal error", "extensions": { "code": "INTERNAL", "correlationId": null } });
    assert_eq!(answer, json!({ "errors": [expected] }));
    let request = "GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    assert_eq!(status(&api.raw(request).await), "503");
    let request = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    assert_eq!(status(&api.raw(request).await), "200");
}

#[tokio::test]
async fn it_ends_at_the_signal_though_connections_are_open() {
    let api = Api::start().await;
    let _idle = TcpStream::connect(api.address).await.unwrap();
    api.shutdown.cancel();
    timeout(Duration::from_secs(4), api.served)
        .await
        .unwrap()
        .unwrap();
    assert!(TcpStream::connect(api.address).await.is_err());
    drop(api.fixture);
}

#[tokio::test]
async fn addresses_that_others_reach_and_ports_in_use_are_refused() {
    let config = |listen: SocketAddr| Config {
        listen,
        ..Config::default()
    };
    let everywhere = bind(&config(SocketAddr::from(([0, 0, 0, 0], 0))))
        .await
        .unwrap_err();
    assert!(matches!(everywhere, Error::NotLoopback { .. }));
    assert!(
        everywhere
            .to_string()
            .contains("api.listen = \"0.0.0.0:0\""),
        "{everywhere}"
    );
    let holder = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = holder.local_addr().unwrap();
    let in_use = bind(&config(address)).await.unwrap_err();
    assert!(matches!(in_use, Error::PortInUse { .. }));
    assert!(
        in_use.to_string().contains(&address.to_string()),
        "{in_use}"
    );
}
