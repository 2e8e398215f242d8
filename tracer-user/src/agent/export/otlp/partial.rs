//! Partial success: the response of a receiver that rejected a part of a request.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceResponse;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message as _;

use super::request::Signal;
use crate::agent::export::client::quoted;

/// The rejected part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Partial {
    pub(super) rejected: u64,
    /// `: ` and a redacted excerpt of the reason on one line, or empty.
    pub(super) why: String,
}

/// Reads the body of a success. An unreadable body is ignored, because the status reports success.
pub(super) fn partial(signal: Signal, body: &[u8]) -> Partial {
    let partial_success = match signal {
        Signal::Traces => ExportTraceServiceResponse::decode(body)
            .ok()
            .and_then(|it| it.partial_success)
            .map(|it| (it.rejected_spans, it.error_message)),
        Signal::Logs => ExportLogsServiceResponse::decode(body)
            .ok()
            .and_then(|it| it.partial_success)
            .map(|it| (it.rejected_log_records, it.error_message)),
        Signal::Metrics => ExportMetricsServiceResponse::decode(body)
            .ok()
            .and_then(|it| it.partial_success)
            .map(|it| (it.rejected_data_points, it.error_message)),
    };
    let Some((rejected, why)) = partial_success else {
        return Partial::default();
    };
    Partial {
        rejected: u64::try_from(rejected).unwrap_or(0),
        why: quoted(why.as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTracePartialSuccess;

    use super::*;

    #[test]
    fn a_partial_success_is_read() {
        let response = ExportTraceServiceResponse {
            partial_success: Some(ExportTracePartialSuccess {
                rejected_spans: 3,
                error_message: "too\nlong, token=ghp_0123456789abcdef0123456789abcdef0123"
                    .to_owned(),
            }),
        };
        let Partial { rejected, why } = partial(Signal::Traces, &response.encode_to_vec());
        assert_eq!(rejected, 3);
        assert!(why.starts_with(": too long"), "{why}");
        assert!(!why.contains("0123456789abcdef"), "{why}");
        for nothing in [&b""[..], b"{}", b"\xff\xff", b"\x0a\x02\x08\x00"] {
            assert_eq!(partial(Signal::Logs, nothing).rejected, 0, "{nothing:?}");
        }
    }
}
