"""Decodes OTLP requests with the official message definitions.

The input is lines of JSON: {"path", "gzip", "body" in hex}. The output is a list of spans, log records and metrics, each with its
resource and with ids in hex. An invalid body is an error.
"""

import gzip
import json
import sys

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


def value(it):
    kind = it.WhichOneof("value")
    if kind == "array_value":
        return [value(one) for one in it.array_value.values]
    return getattr(it, kind)


def attributes(of):
    names = [it.key for it in of]
    assert len(names) == len(set(names)), f"duplicate names: {names}"
    return {it.key: value(it.value) for it in of}


def assert_no_unknown_fields(message):
    """Fails on fields that the official definitions do not contain."""
    from google.protobuf.unknown_fields import UnknownFieldSet

    assert not len(UnknownFieldSet(message)), message


def span(it):
    assert_no_unknown_fields(it)
    return {
        "trace": it.trace_id.hex(),
        "span": it.span_id.hex(),
        "parent": it.parent_span_id.hex(),
        "state": it.trace_state,
        "flags": it.flags,
        "name": it.name,
        "kind": it.kind,
        "start": it.start_time_unix_nano,
        "end": it.end_time_unix_nano,
        "status": it.status.code,
        "attributes": attributes(it.attributes),
        "events": [
            {"name": e.name, "at": e.time_unix_nano, "attributes": attributes(e.attributes)}
            for e in it.events
        ],
    }


def record(it):
    assert_no_unknown_fields(it)
    return {
        "trace": it.trace_id.hex(),
        "span": it.span_id.hex(),
        "flags": it.flags,
        "at": it.time_unix_nano,
        "severity": it.severity_text,
        "number": it.severity_number,
        "event": it.event_name,
        "body": value(it.body),
        "attributes": attributes(it.attributes),
    }


def metric(it):
    assert_no_unknown_fields(it)
    kind = it.WhichOneof("data")
    data = getattr(it, kind)
    points = []
    for point in data.data_points:
        values = {"attributes": attributes(point.attributes), "start": point.start_time_unix_nano}
        if kind == "histogram":
            values |= {"count": point.count, "sum": point.sum, "buckets": list(point.bucket_counts)}
            values |= {"bounds": list(point.explicit_bounds)}
        else:
            values["value"] = point.as_double
        points.append(values)
    decoded = {"name": it.name, "unit": it.unit, "kind": kind, "points": points}
    if kind == "sum":
        decoded |= {"monotonic": data.is_monotonic, "temporality": data.aggregation_temporality}
    return decoded


KINDS = {
    "/v1/traces": (ExportTraceServiceRequest, "resource_spans", "scope_spans", "spans", span),
    "/v1/logs": (ExportLogsServiceRequest, "resource_logs", "scope_logs", "log_records", record),
    "/v1/metrics": (ExportMetricsServiceRequest, "resource_metrics", "scope_metrics", "metrics", metric),
}

found = []
for line in sys.stdin:
    request = json.loads(line)
    body = bytes.fromhex(request["body"])
    if request["gzip"]:
        body = gzip.decompress(body)
    message, resources, scopes, items, read = KINDS[request["path"]]
    message = message.FromString(body)
    MessageToDict(message)
    assert_no_unknown_fields(message)
    for resource in getattr(message, resources):
        for scope in getattr(resource, scopes):
            for item in getattr(scope, items):
                decoded = read(item)
                decoded["path"] = request["path"]
                decoded["resource"] = attributes(resource.resource.attributes)
                found.append(decoded)
json.dump(found, sys.stdout)
