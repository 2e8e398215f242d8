//! The trusted certificates: those of the machine, and those of a file.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

/// Maximum size of the file of certificates.
const LENGTH: u64 = 4 << 20;

pub(super) fn config(ca_file: Option<&Path>) -> anyhow::Result<TlsConfig> {
    let machine = rustls_native_certs::load_native_certs();
    let mut roots: Vec<Certificate<'static>> = machine
        .certs
        .iter()
        .map(|it| Certificate::from_der(it).to_owned())
        .collect();
    if let Some(file) = ca_file {
        roots.extend(certificates(file)?);
    }
    if roots.is_empty() {
        bail!(
            "this machine trusts no certificate: install its list (Debian's ca-certificates) or give a ca_file"
        );
    }
    Ok(TlsConfig::builder()
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .root_certs(RootCerts::from(roots))
        .build())
}

fn certificates(path: &Path) -> anyhow::Result<Vec<Certificate<'static>>> {
    let mut pem = Vec::new();
    let read = File::open(path).and_then(|it| it.take(LENGTH).read_to_end(&mut pem));
    read.with_context(|| format!("cannot read {}", path.display()))?;
    let mut found = Vec::new();
    for item in parse_pem(&pem) {
        if let Ok(PemItem::Certificate(certificate)) = item {
            found.push(certificate);
        }
    }
    if found.is_empty() {
        bail!("{} holds no certificate in PEM", path.display());
    }
    Ok(found)
}
