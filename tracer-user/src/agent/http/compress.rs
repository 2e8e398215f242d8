//! Compression of the metrics page. A fleet's page has hundreds of kilobytes, most of them repeated labels.

use std::io::{self, Write as _};

use axum::http::HeaderMap;
use axum::http::header::ACCEPT_ENCODING;
use flate2::Compression;
use flate2::write::GzEncoder;

/// True if the client accepts gzip, by its name or by `*`.
pub(super) fn accepts_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT_ENCODING).iter();
    let values = values.filter_map(|it| it.to_str().ok());
    let mut named = None;
    let mut others = None;
    for coding in values.flat_map(|it| it.split(',')) {
        let mut parts = coding.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let quality = parts.find_map(|it| it.strip_prefix("q=")?.parse::<f64>().ok());
        let is_accepted = quality.is_none_or(|it| it > 0.0);
        if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") {
            named = Some(is_accepted);
        } else if name == "*" {
            others = Some(is_accepted);
        }
    }
    named.or(others).unwrap_or(false)
}

pub(super) fn gzip(page: &[u8]) -> io::Result<Vec<u8>> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
    packer.write_all(page)?;
    packer.finish()
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn gzip_is_sent_to_clients_that_accept_it() {
        let of = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_str(value).unwrap());
            accepts_gzip(&headers)
        };
        for accepted in ["gzip", "deflate, GZIP;q=0.5", "*", "x-gzip", "br, *;q=0.1"] {
            assert!(of(accepted), "{accepted}");
        }
        for refused in ["", "br", "gzip;q=0", "*, gzip;q=0", "*;q=0.0", "gzipped"] {
            assert!(!of(refused), "{refused}");
        }
        assert!(!accepts_gzip(&HeaderMap::new()));
    }

    #[test]
    fn a_page_survives_compression() {
        let page = "go_build_builds_total{project=\"a\"} 1\n".repeat(1000);
        let packed = gzip(page.as_bytes()).unwrap();
        assert!(packed.len() * 50 < page.len());
        let mut unpacked = String::new();
        flate2::read::GzDecoder::new(&*packed)
            .read_to_string(&mut unpacked)
            .unwrap();
        assert_eq!(unpacked, page);
    }
}
