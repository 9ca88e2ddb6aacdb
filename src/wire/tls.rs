//! TLS as minikube's node has it: only the profile's CA is trusted, the certificate's names and
//! dates are checked, the client shows its own certificate.

use std::path::Path;
use std::sync::Arc;

use rustls::DigitallySignedStruct;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};

use crate::error::{Error, Result};
use crate::text_file;

/// The client's TLS settings from a folder with `ca.pem`, `cert.pem` and `key.pem`. Without
/// verification `ca.pem` is not needed, and nothing is asked of the engine's certificate.
///
/// # Errors
/// Names the file that is missing, unreadable or no PEM, or that does not fit the others.
pub(crate) fn client_config(folder: &Path, unverified: bool) -> Result<Arc<rustls::ClientConfig>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::failed("TLS could not be set up").caused_by(error))?;
    let builder = if unverified {
        builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anyone(provider)))
    } else {
        let mut roots = rustls::RootCertStore::empty();
        for certificate in certificates(&folder.join("ca.pem"))? {
            roots
                .add(certificate)
                .map_err(|error| unusable(&folder.join("ca.pem")).caused_by(error))?;
        }
        builder.with_root_certificates(roots)
    };
    let key_file = folder.join("key.pem");
    // a docker context may verify the engine without showing a certificate of its own
    if !key_file.exists() && !folder.join("cert.pem").exists() {
        return Ok(Arc::new(builder.with_no_client_auth()));
    }
    let key = PrivateKeyDer::from_pem_slice(&read(&key_file)?)
        .map_err(|error| unusable(&key_file).caused_by(error))?;
    let config = builder
        .with_client_auth_cert(certificates(&folder.join("cert.pem"))?, key)
        .map_err(|error| {
            Error::unreachable(format!(
                "`cert.pem` and `key.pem` in `{}` do not fit together",
                folder.display()
            ))
            .caused_by(error)
        })?;
    Ok(Arc::new(config))
}

/// Takes any certificate, whose key must still be there.
#[derive(Debug)]
struct Anyone(Arc<rustls::crypto::CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

fn read(file: &Path) -> Result<Vec<u8>> {
    text_file::bytes(file).map_err(|error| unusable(file).caused_by(error))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let found = CertificateDer::pem_slice_iter(&read(file)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| unusable(file).caused_by(error))?;
    if found.is_empty() {
        return Err(unusable(file).caused_by("it holds no certificate"));
    }
    Ok(found)
}

fn unusable(file: &Path) -> Error {
    Error::unreachable(format!("the TLS file `{}` can't be used", file.display()))
        .hint("minikube writes these files; `minikube start` makes them anew")
}

/// The fault of certificates for which a connection failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    Expired,
    /// Another CA signed it.
    Foreign,
    /// The other side speaks no TLS.
    NoTls,
    NotYetValid,
    /// The engine does not accept the client's certificate.
    Refused,
    /// It is for another address.
    WrongName,
}

/// The words of TLS, where this error holds them.
pub(crate) fn said<'e>(error: &'e (dyn std::error::Error + 'static)) -> Option<&'e rustls::Error> {
    error.downcast_ref().or_else(|| {
        let inner = error.downcast_ref::<std::io::Error>()?.get_ref()?;
        inner.downcast_ref()
    })
}

/// Looks for what TLS said among an error's reasons.
pub(crate) fn trouble(error: &(dyn std::error::Error + 'static)) -> Option<Trouble> {
    use rustls::CertificateError as Why;
    let mut next = Some(error);
    while let Some(inner) = next {
        if let Some(said) = said(inner) {
            return match said {
                rustls::Error::InvalidCertificate(why) => match why {
                    Why::Expired | Why::ExpiredContext { .. } => Some(Trouble::Expired),
                    Why::NotValidYet | Why::NotValidYetContext { .. } => Some(Trouble::NotYetValid),
                    Why::NotValidForName | Why::NotValidForNameContext { .. } => {
                        Some(Trouble::WrongName)
                    }
                    _ => Some(Trouble::Foreign),
                },
                rustls::Error::AlertReceived(_) => Some(Trouble::Refused),
                rustls::Error::InvalidMessage(_) => Some(Trouble::NoTls),
                _ => None,
            };
        }
        next = inner.source();
    }
    None
}

/// The end of a certificate's validity.
#[derive(Clone, Debug)]
pub(crate) struct Expiry {
    /// The file's name, as `cert.pem`.
    pub(crate) file: &'static str,
    /// Seconds since 1970.
    pub(crate) not_after: i64,
}

/// The ends of the CA's and the client's certificates in a folder; files that can't be read are
/// left out, since connecting tells more about them.
pub(crate) fn expiries(folder: &Path) -> Vec<Expiry> {
    ["ca.pem", "cert.pem"]
        .into_iter()
        .filter_map(|file| {
            let der = certificates(&folder.join(file)).ok()?.into_iter().next()?;
            let (_, certificate) = x509_parser::parse_x509_certificate(&der).ok()?;
            Some(Expiry {
                file,
                not_after: certificate.validity().not_after.timestamp(),
            })
        })
        .collect()
}
