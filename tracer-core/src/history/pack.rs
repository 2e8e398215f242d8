//! Stored data as bytes: compressed JSON.

use std::io::{Read as _, Write as _};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::model::Trace;

/// Most bytes that are unpacked. The trace of a build of ten thousand packages has about 30 MB.
const MAX_BYTES: u64 = 1 << 30;

/// The reason why a stored build cannot be read.
#[derive(Debug, Error)]
pub enum UnpackError {
    #[error("the stored build is damaged: cannot decompress it")]
    Gzip(#[source] std::io::Error),
    #[error("the stored build is larger than {MAX_BYTES} bytes when decompressed")]
    TooLarge,
    #[error("the stored build is damaged: its parts do not fit together")]
    Parts,
    #[error("the stored build is damaged: its content is not the expected JSON")]
    Json(#[source] serde_json::Error),
}

/// The trace as compressed JSON.
pub fn pack(trace: &Trace) -> Result<Vec<u8>, serde_json::Error> {
    packed(trace)
}

pub fn unpack(bytes: &[u8]) -> Result<Trace, UnpackError> {
    unpacked(bytes)
}

pub(super) fn packed(data: &impl Serialize) -> Result<Vec<u8>, serde_json::Error> {
    // Not written piece by piece: for each write, the encoder clears 32 KiB.
    let json = serde_json::to_vec(data)?;
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(&json)
        .and_then(|()| gzip.finish())
        .map_err(serde_json::Error::io)
}

pub(super) fn unpacked<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, UnpackError> {
    let mut json = Vec::new();
    let mut limited = GzDecoder::new(bytes).take(MAX_BYTES + 1);
    let n = limited.read_to_end(&mut json).map_err(UnpackError::Gzip)?;
    if u64::try_from(n).is_ok_and(|n| n > MAX_BYTES) {
        return Err(UnpackError::TooLarge);
    }
    serde_json::from_slice(&json).map_err(UnpackError::Json)
}
