//! The gateway's list of groups: read before a group is deleted, because another machine may have pushed it since.

use serde_json::Value;

use crate::render::metrics::family::LAST_TIMESTAMP;

/// Returns the end of the last build of this group in seconds since 1970, from the response to `/api/v1/metrics`. `None`
/// if the gateway has no such group. An error is a message.
pub(super) fn newest(answer: &[u8], job: &str, target: &str) -> Result<Option<f64>, &'static str> {
    let answer: Value =
        serde_json::from_slice(answer).map_err(|_| "its list of groups is not JSON")?;
    let groups = answer.get("data").and_then(Value::as_array);
    let groups = groups.ok_or("its list of groups has another form")?;
    let group = groups.iter().find(|it| {
        let labels = it.get("labels").and_then(Value::as_object);
        labels.is_some_and(|labels| {
            let is = |name: &str, value: &str| {
                labels.get(name).and_then(Value::as_str).unwrap_or_default() == value
            };
            // Empty labels may be absent.
            let is_other = labels
                .iter()
                .any(|(name, _)| name != "job" && name != "target");
            !is_other && is("job", job) && is("target", target)
        })
    });
    let Some(group) = group else {
        return Ok(None);
    };
    let series = group
        .get(LAST_TIMESTAMP.name)
        .and_then(|it| it.get("metrics"))
        .and_then(Value::as_array);
    let values = series.into_iter().flatten().filter_map(|it| {
        let value = it.get("value")?.as_str()?;
        value.parse::<f64>().ok()
    });
    Ok(Some(values.fold(0.0, f64::max)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_build_of_the_group_is_found() {
        let answer = br#"{"status":"success","data":[
            {"labels":{"job":"gotrace","target":"a","instance":"x"},
             "go_build_last_timestamp_seconds":{"metrics":[{"value":"9e9"}]}},
            {"labels":{"job":"gotrace","target":"a"},
             "go_build_last_timestamp_seconds":{"metrics":[{"value":"1.5e9"},{"value":"1.25e9"},{"value":1}]}},
            {"labels":{"job":"gotrace"}}]}"#;
        assert_eq!(newest(answer, "gotrace", "a"), Ok(Some(1.5e9)));
        assert_eq!(newest(answer, "gotrace", ""), Ok(Some(0.0)));
        assert_eq!(newest(answer, "other", "a"), Ok(None));
        for bad in [&b""[..], b"{}", b"[1]", b"{\"data\":1}"] {
            newest(bad, "gotrace", "a").unwrap_err();
        }
    }
}
