//! Minor versions of Go, which determine layouts.

/// Returns `27` for `go1.27.3`, `go1.27rc1` and `go1.27-custom`; `None` for a development version.
pub(super) fn minor(version: &str) -> Option<u32> {
    let rest = version.strip_prefix("go1.")?;
    let end = rest
        .find(|it: char| !it.is_ascii_digit())
        .unwrap_or(rest.len());
    rest.get(..end)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_release_has_a_minor_number() {
        let versions = [
            "go1.27.3",
            "go1.19",
            "go1.24rc1",
            "go1.22.4 X:rangefunc",
            "devel go1.28-abc",
            "go2.1",
            "",
        ];
        let minors = [Some(27), Some(19), Some(24), Some(22), None, None, None];
        assert_eq!(versions.map(minor), minors);
    }
}
