//! Who is who: each party has an Ed25519 key of its own, shows it in TLS 1.3 as a raw public key (RFC 7250), and takes no other party than the one whose
//! fingerprint it was given. No certificates, no names, no dates, no authorities. Source: RFC 8446, RFC 7250, RFC 8410; the cryptography is rustls' and ring's.

use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use ring::rand::SystemRandom;
use ring::signature::Ed25519KeyPair;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{AlwaysResolvesClientRawPublicKeys, Resumption};
use rustls::crypto::ring::sign::any_eddsa_type;
use rustls::crypto::{CryptoProvider, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{AlwaysResolvesServerRawPublicKeys, NoServerSessionStorage};
use rustls::sign::CertifiedKey;
use rustls::time_provider::TimeProvider;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, OtherError, ServerConfig, SignatureScheme};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::durable::{Whole, read_secret, write_together};
use crate::error::{Error, Result};
use crate::text::{hex, unhex, unhex_array};

/// Largest identity file, in bytes.
const LARGEST: usize = 4096;
const KIND: &str = "cipherlane identity v1";

/// SHA-256 of a party's public key in its X.509 form (SubjectPublicKeyInfo): 64 digits in hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(pub [u8; 32]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Fingerprint {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        unhex_array(text).map(Self).ok_or_else(|| {
            Error::range(
                "fingerprint",
                &format!("{} characters", text.chars().count()),
                "64 digits 0 to 9 and a to f, as `cipherlane smlp identity` prints them",
            )
        })
    }
}

/// A party's own key. Wiped when dropped, never printed.
#[derive(Clone)]
pub struct Identity {
    pkcs8: Zeroizing<Vec<u8>>,
    certified: Arc<CertifiedKey>,
    fingerprint: Fingerprint,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({}, secret not shown)", self.fingerprint)
    }
}

/// The file of an identity. Its key is the PKCS #8 form in hexadecimal.
#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(deny_unknown_fields)]
struct Stored {
    kind: String,
    fingerprint: String,
    secret: String,
}

impl Identity {
    /// A new key, from the operating system's randomness.
    ///
    /// # Errors
    /// [`Error::Randomness`] when the system gives none.
    pub fn generate() -> Result<Self> {
        let bad = |what: &str| Error::Randomness { reason: what.into() };
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| bad("no key could be made"))?;
        Self::of(Zeroizing::new(document.as_ref().to_vec())).ok_or_else(|| bad("the key that was made cannot be read"))
    }

    fn of(pkcs8: Zeroizing<Vec<u8>>) -> Option<Self> {
        let signing = any_eddsa_type(&PrivatePkcs8KeyDer::from(pkcs8.as_slice())).ok()?;
        let public = signing.public_key()?.as_ref().to_vec();
        let fingerprint = fingerprint(&public);
        Some(Self { pkcs8, certified: Arc::new(CertifiedKey::new(vec![CertificateDer::from(public)], signing)), fingerprint })
    }

    /// What the other party is told, on a way that nobody can change.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// Writes the key with mode 0600. A file that is there already is not replaced.
    ///
    /// # Errors
    /// [`Error::File`] when the file is there already, [`Error::Io`].
    pub fn write(&self, path: &Path) -> Result<()> {
        if path.symlink_metadata().is_ok() {
            return Err(Error::file(path, "no file yet", "one; an identity is not replaced"));
        }
        let stored = Stored { kind: KIND.into(), fingerprint: self.fingerprint.to_string(), secret: hex(&self.pkcs8) };
        let text = serde_json::to_string(&stored).map_err(|e| Error::file(path, "an identity that can be written", e.to_string()))?;
        let text = Zeroizing::new(text + "\n");
        write_together(&[Whole { path, bytes: text.as_bytes(), private: true }], false)
    }

    /// Reads a key. Messages show no digit of it.
    ///
    /// # Errors
    /// [`Error::File`] for another form, [`Error::Io`].
    pub fn read(path: &Path) -> Result<Self> {
        let text = read_secret(path, LARGEST)?;
        let bad = || Error::file(path, "an identity, as `cipherlane smlp identity` makes one", "something else");
        let stored: Stored = serde_json::from_slice(&text).map_err(|_| bad())?;
        let pkcs8 = Zeroizing::new(unhex(&stored.secret).ok_or_else(bad)?);
        let identity = Self::of(pkcs8).ok_or_else(bad)?;
        if stored.kind != KIND || stored.fingerprint != identity.fingerprint.to_string() {
            return Err(bad());
        }
        Ok(identity)
    }

    /// TLS for the party that connects.
    pub(super) fn client(&self, peer: Fingerprint) -> Result<Arc<ClientConfig>> {
        let provider = provider();
        let builder = ClientConfig::builder_with_details(provider.clone(), Arc::new(Timeless))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|e| unusable(&e))?;
        let mut config = builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Pinned { peer, provider }))
            .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(self.certified.clone())));
        config.resumption = Resumption::disabled();
        config.enable_sni = false;
        Ok(Arc::new(config))
    }

    /// TLS for the party that listens.
    pub(super) fn server(&self, peer: Fingerprint) -> Result<Arc<ServerConfig>> {
        let provider = provider();
        let builder = ServerConfig::builder_with_details(provider.clone(), Arc::new(Timeless))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|e| unusable(&e))?;
        let mut config = builder
            .with_client_cert_verifier(Arc::new(Pinned { peer, provider }))
            .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(self.certified.clone())));
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Arc::new(config))
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn unusable(error: &rustls::Error) -> Error {
    Error::unsupported("this build of rustls", format!("TLS 1.3: {error}"))
}

fn fingerprint(public: &[u8]) -> Fingerprint {
    Fingerprint(Sha256::digest(public).into())
}

/// Bare public keys have no dates, so that a clock that is set wrong keeps nobody out.
#[derive(Debug)]
struct Timeless;

impl TimeProvider for Timeless {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::ZERO))
    }
}

/// Takes one public key and no other.
#[derive(Debug)]
struct Pinned {
    peer: Fingerprint,
    provider: Arc<CryptoProvider>,
}

impl Pinned {
    fn check(&self, shown: &CertificateDer<'_>) -> std::result::Result<(), rustls::Error> {
        let actual = fingerprint(shown);
        if actual == self.peer {
            return Ok(());
        }
        let wrong = Error::WrongPeer { expected: self.peer.to_string(), actual: actual.to_string() };
        Err(CertificateError::Other(OtherError(Arc::new(wrong))).into())
    }

    fn signature(
        &self,
        message: &[u8],
        key: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        let key = SubjectPublicKeyInfoDer::from(key.as_ref());
        verify_tls13_signature_with_raw_key(message, &key, signed, &self.provider.signature_verification_algorithms)
    }

    fn old() -> rustls::Error {
        rustls::Error::PeerIncompatible(rustls::PeerIncompatible::ServerDoesNotSupportTls12Or13)
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        self.check(end_entity).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        Err(Self::old())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        key: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        self.signature(message, key, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl ClientCertVerifier for Pinned {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> std::result::Result<ClientCertVerified, rustls::Error> {
        self.check(end_entity).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        Err(Self::old())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        key: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        self.signature(message, key, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_survive_and_are_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("id");
        let identity = Identity::generate().unwrap();
        identity.write(&path).unwrap();
        let again = Identity::read(&path).unwrap();
        assert_eq!((again.fingerprint(), &again.pkcs8), (identity.fingerprint(), &identity.pkcs8));
        assert_eq!(identity.fingerprint().to_string().parse::<Fingerprint>().unwrap(), identity.fingerprint());
        assert_ne!(Identity::generate().unwrap().fingerprint(), identity.fingerprint());
        let error = identity.write(&path).unwrap_err().to_string();
        assert!(error.contains("an identity is not replaced"), "{error}");
        let text = std::fs::read_to_string(&path).unwrap();
        let secret = hex(&identity.pkcs8[16..48]);
        assert!(text.contains(&secret) && !format!("{identity:?}").contains(&secret));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        for bad in ["", "{}", &text.replace("v1", "v2"), &text.replacen('3', "4", 1), &text[..text.len() - 8], &"x".repeat(5000)] {
            std::fs::write(&path, bad).unwrap();
            let error = Identity::read(&path).unwrap_err().to_string();
            let expected = if bad.len() > LARGEST { "expected at most 4096 bytes" } else { "expected an identity" };
            assert!(error.contains(expected) && !error.contains(&secret), "{error}");
        }
        for bad in ["", "00", "A", &"g".repeat(64), &"0".repeat(63)] {
            assert!(bad.parse::<Fingerprint>().is_err(), "{bad}");
        }
    }
}
