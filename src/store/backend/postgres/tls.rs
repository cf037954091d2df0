//! TLS to the store's server, by rustls with ring: which certificates are accepted at which `sslmode`.
//!
//! The URL and the mode for one of its servers come in, what tokio-postgres needs for the handshake goes out. libpq's modes `require`
//! and `prefer` accept any certificate, so that they protect from who listens and not from who pretends to be the server;
//! `verify-ca` accepts those of an authority, `verify-full` of those the one for the host of the URL. Nothing here relies on a provider that
//! somebody installed for the process.

use std::{
    error::Error as StdError,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::url::{ClientCertificate, PostgresUrl, Roots, SslMode};

/// A file with certificates or a key, and why it cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot use {setting} {}: {source}", path.display())]
pub struct FileError {
    setting: &'static str,
    path: PathBuf,
    source: Box<dyn StdError + Send + Sync>,
}

/// How to shake hands in that mode. For [`SslMode::Disable`] too, which then doesn't use it.
pub(super) fn connector(url: &PostgresUrl, mode: SslMode) -> Result<MakeRustlsConnect, FileError> {
    let provider = Arc::new(ring::default_provider());
    let lenient = |chain| Lenient {
        chain,
        provider: Arc::clone(&provider),
    };
    let verifier: Arc<dyn ServerCertVerifier> = match mode {
        SslMode::Disable | SslMode::Prefer | SslMode::Require => Arc::new(lenient(None)),
        SslMode::VerifyCa => Arc::new(lenient(Some(chain(url.roots(), &provider)?))),
        SslMode::VerifyFull => chain(url.roots(), &provider)?,
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has the cipher suites of TLS 1.2 and 1.3")
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let config = match &url.client_certificate {
        Some(client) if mode != SslMode::Disable => {
            let ClientCertificate { certificate, key } = client;
            let chain = certificates("sslcert", certificate)?;
            let secret = PrivateKeyDer::from_pem_file(key)
                .map_err(|source| unusable("sslkey", key, source))?;
            config
                .with_client_auth_cert(chain, secret)
                .map_err(|source| unusable("sslkey", key, source))?
        }
        _ => config.with_no_client_auth(),
    };
    Ok(MakeRustlsConnect::new(config))
}

fn unusable(
    setting: &'static str,
    path: &Path,
    source: impl Into<Box<dyn StdError + Send + Sync>>,
) -> FileError {
    FileError {
        setting,
        path: path.to_owned(),
        source: source.into(),
    }
}

/// The certificates of a PEM file; at least one.
fn certificates(
    setting: &'static str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, FileError> {
    let read: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|source| unusable(setting, path, source))?;
    if read.is_empty() {
        return Err(unusable(
            setting,
            path,
            "it holds no certificate in PEM form",
        ));
    }
    Ok(read)
}

/// Checks the chain up to one of `roots`, the dates and the name.
fn chain(
    roots: &Roots,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, FileError> {
    let mut store = RootCertStore::empty();
    let path = match roots {
        Roots::File(path) => {
            for certificate in certificates("sslrootcert", path)? {
                store
                    .add(certificate)
                    .map_err(|source| unusable("sslrootcert", path, source))?;
            }
            path.as_path()
        }
        Roots::System => {
            let found = rustls_native_certs::load_native_certs();
            store.add_parsable_certificates(found.certs);
            let path = Path::new("system");
            if store.is_empty() {
                let missing = io::Error::other(
                    "this machine has no trusted authorities (package ca-certificates)",
                );
                return Err(unusable("sslrootcert", path, missing));
            }
            path
        }
    };
    WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(provider))
        .build()
        .map_err(|source| unusable("sslrootcert", path, source))
}

/// Accepts more than rustls does: a certificate whatever host it is for, and without a chain whatever certificate the server shows. That the server
/// has its key is checked always.
#[derive(Debug)]
struct Lenient {
    chain: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(chain) = &self.chain else {
            return Ok(ServerCertVerified::assertion());
        };
        match chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // rustls looks at the name after chain and dates have been found good.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
