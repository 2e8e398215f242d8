//! The parameters of a query: the filters of `gotrace builds`, with the same names.

use tracer_core::model::State;

use crate::history::{Filter, TimeArg};

const LIMIT: usize = 20;
const MOST: usize = 1000;
/// Start of the period of advice.
const ADVICE_SINCE: &str = "7d";

/// Parses the filter. An error is a message for the client.
pub(super) fn filter(words: &[(String, String)], now_ns: i64) -> Result<Filter, String> {
    let mut filter = Filter {
        limit: Some(LIMIT),
        ..Filter::default()
    };
    let mut seen: Vec<&str> = Vec::new();
    for (name, value) in words {
        if seen.contains(&name.as_str()) {
            return Err(format!("the parameter {name:?} occurs twice: use it once"));
        }
        seen.push(name);
        match name.as_str() {
            "project" => filter.project = Some(value.clone()),
            "target" => filter.target = Some(value.clone()),
            "branch" => filter.branch = Some(value.clone()),
            "host" => filter.host = Some(value.clone()),
            "dir" => filter.dir = Some(value.clone()),
            "status" => filter.state = Some(state(value)?),
            "since" => filter.since_ns = Some(moment(name, value, now_ns)?),
            "until" => filter.until_ns = Some(moment(name, value, now_ns)?),
            "limit" => filter.limit = Some(limit(value)?),
            _ => {
                return Err(format!(
                    "there is no filter {name:?}: use project, target, status, branch, host, dir, since, until, limit"
                ));
            }
        }
    }
    Ok(filter)
}

/// Parses the filter of advice, with the default of `gotrace advise`.
pub(super) fn advice(words: &[(String, String)], now_ns: i64) -> Result<Filter, String> {
    const KNOWN: [&str; 5] = ["project", "branch", "host", "since", "until"];
    if let Some((name, _)) = words.iter().find(|(it, _)| !KNOWN.contains(&it.as_str())) {
        let known = KNOWN.join(", ");
        return Err(format!(
            "there is no filter {name:?} of advice: use {known}"
        ));
    }
    let filter = filter(words, now_ns)?;
    Ok(Filter {
        since_ns: filter
            .since_ns
            .or_else(|| ADVICE_SINCE.parse::<TimeArg>().ok().map(|it| it.at(now_ns))),
        limit: None,
        ..filter
    })
}

fn state(value: &str) -> Result<State, String> {
    // The command line uses dashes.
    let wanted = value.replace('-', "_");
    let found = State::ALL.into_iter().find(|it| it.name() == wanted);
    found.ok_or_else(|| {
        let known = State::ALL.map(State::name).join(", ");
        format!("{value:?} is no status: use one of {known}")
    })
}

fn moment(name: &str, value: &str, now_ns: i64) -> Result<i64, String> {
    match value.parse::<TimeArg>() {
        Ok(moment) => Ok(moment.at(now_ns)),
        Err(error) => Err(format!("{name}={value:?} is {error}")),
    }
}

fn limit(value: &str) -> Result<usize, String> {
    let n = value.parse().ok();
    n.filter(|it| (1..=MOST).contains(it)).ok_or_else(|| {
        format!("{value:?} is no limit: use a number from 1 to {MOST}, and until for older builds")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(words: &[(&str, &str)]) -> Result<Filter, String> {
        let words = words
            .iter()
            .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()));
        filter(&words.collect::<Vec<_>>(), 1_000_000_000_000)
    }

    #[test]
    fn the_parameters_are_the_flags_of_the_command_line() {
        let filter = of(&[("status", "cut-off"), ("since", "10s"), ("limit", "7")]).unwrap();
        assert_eq!(filter.state, Some(State::CutOff));
        assert_eq!(filter.since_ns, Some(990_000_000_000));
        assert_eq!(filter.limit, Some(7));
        assert_eq!(of(&[]).unwrap().limit, Some(LIMIT));
    }

    #[test]
    fn advice_covers_a_week_unless_the_query_has_another_time() {
        let of = |words: &[(&str, &str)]| {
            let words = words
                .iter()
                .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()));
            advice(&words.collect::<Vec<_>>(), 1_000_000_000_000_000)
        };
        let filter = of(&[("project", "example.com/p")]).unwrap();
        assert_eq!(
            filter.since_ns,
            Some(1_000_000_000_000_000 - 604_800_000_000_000)
        );
        assert_eq!(
            (filter.limit, filter.project.as_deref()),
            (None, Some("example.com/p"))
        );
        assert_eq!(
            of(&[("since", "10s")]).unwrap().since_ns,
            Some(999_990_000_000_000)
        );
        let refused = of(&[("limit", "7")]).unwrap_err();
        assert!(
            refused.contains("use project, branch, host, since, until"),
            "{refused}"
        );
    }

    #[test]
    fn invalid_parameters_are_rejected() {
        for (name, value) in [
            ("status", "good"),
            ("since", "yesterday"),
            ("limit", "0"),
            ("limit", "1001"),
            ("limit", "-1"),
            ("color", "red"),
        ] {
            assert!(of(&[(name, value)]).unwrap_err().contains("use") || name == "since");
        }
        assert!(of(&[("project", "a"), ("project", "b")]).is_err());
    }
}
