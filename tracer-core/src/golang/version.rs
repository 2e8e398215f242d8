//! Versions as Go writes them (`go1.27.3`, `go1.21rc2`, `devel go1.28-5a2f3c…`), and their order.
//!
//! They are not semantic versions. Before Go 1.21, `go1.20` is a release. Since then, `go1.21` is a language version that comes before
//! `go1.21rc1`, which comes before `go1.21.0`.

use std::fmt;

/// A version of the Go toolchain. Ordered as in Go; a vendor's suffix is ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GoVersion {
    major: u32,
    minor: u32,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Stage {
    /// The language version, or a development version before its first release.
    Language,
    Alpha(u32),
    Beta(u32),
    Candidate(u32),
    Release(u32),
}

impl GoVersion {
    /// The first release of a minor version of Go 1, for comparisons.
    pub const fn release(minor: u32) -> Self {
        Self {
            major: 1,
            minor,
            stage: Stage::Release(0),
        }
    }

    /// Parses a version of `go version`, `GOVERSION` or a build info; `None` if the text does not begin with a version.
    pub fn parse(text: &str) -> Option<Self> {
        let word = text.split_ascii_whitespace().find(|it| *it != "devel")?;
        let mut rest = word.strip_prefix("go")?;
        let major = number(&mut rest)?;
        let minor = match rest.strip_prefix('.') {
            Some(after) => {
                rest = after;
                number(&mut rest)?
            }
            None => 0,
        };
        let stage = if let Some(after) = rest.strip_prefix('.') {
            rest = after;
            Stage::Release(number(&mut rest)?)
        } else if let Some(stage) = prerelease(&mut rest) {
            stage
        } else if (major, minor) < (1, 21) {
            Stage::Release(0)
        } else {
            Stage::Language
        };
        // A vendor's suffix is separated: `go1.22.3-foo`, `go1.22.3+auto`.
        (rest.is_empty() || !rest.starts_with(|it: char| it.is_ascii_alphanumeric())).then_some(
            Self {
                major,
                minor,
                stage,
            },
        )
    }

    pub fn major(self) -> u32 {
        self.major
    }

    pub fn minor(self) -> u32 {
        self.minor
    }

    /// The language version: `go1.27`.
    pub fn language(self) -> String {
        format!("go{}.{}", self.major, self.minor)
    }
}

impl fmt::Display for GoVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            major,
            minor,
            stage,
        } = self;
        write!(f, "go{major}.{minor}")?;
        match stage {
            Stage::Language => Ok(()),
            Stage::Alpha(n) => write!(f, "alpha{n}"),
            Stage::Beta(n) => write!(f, "beta{n}"),
            Stage::Candidate(n) => write!(f, "rc{n}"),
            Stage::Release(n) => write!(f, ".{n}"),
        }
    }
}

/// Removes a decimal number from the front. `None`, with nothing removed, if the text begins with no number or the
/// number is too large.
fn number(text: &mut &str) -> Option<u32> {
    let end = text
        .find(|it: char| !it.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, rest) = text.split_at_checked(end)?;
    let value = digits.parse().ok()?;
    *text = rest;
    Some(value)
}

fn prerelease(text: &mut &str) -> Option<Stage> {
    let letters = text.find(|it: char| !it.is_ascii_lowercase())?;
    let (kind, mut rest) = text.split_at_checked(letters)?;
    let n = number(&mut rest)?;
    let stage = match kind {
        "alpha" => Stage::Alpha(n),
        "beta" => Stage::Beta(n),
        "rc" => Stage::Candidate(n),
        _ => return None,
    };
    *text = rest;
    Some(stage)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> String {
        GoVersion::parse(text).map_or_else(|| "none".to_owned(), |it| it.to_string())
    }

    #[test]
    fn versions_are_read() {
        for (text, expected) in [
            ("go1.27.3", "go1.27.3"),
            ("go1.21rc2", "go1.21rc2"),
            ("go1.21beta1", "go1.21beta1"),
            ("go1.24.11 X:aliastypeparams", "go1.24.11"),
            ("go1.22.3-vendor", "go1.22.3"),
            ("go1.21.9 (Vendor 1.21.9-1.el9_4)", "go1.21.9"),
            ("go1.19.8", "go1.19.8"),
            ("go1.20", "go1.20.0"),
            ("go1.21", "go1.21"),
            ("go1", "go1.0.0"),
            (
                "devel go1.28-5a2f3c17 Fri Nov 20 22:02:04 2026 +0000",
                "go1.28",
            ),
            ("devel +5a2f3c17", "none"),
            ("1.27.3", "none"),
            ("go", "none"),
            ("go1.", "none"),
            ("go1.x", "none"),
            ("go1.21.3rc1", "none"),
            ("go1.21rc", "none"),
            ("go1.99999999999", "none"),
            ("", "none"),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
    }

    /// The order of `go/version.Compare`.
    #[test]
    fn the_order_matches_that_of_go() {
        let order = [
            "go1",
            "go1.19.8",
            "go1.20rc1",
            "go1.20",
            "go1.20.1",
            "go1.21",
            "go1.21beta1",
            "go1.21rc2",
            "go1.21.0",
            "go1.27.3",
        ];
        let versions: Vec<_> = order.iter().filter_map(|it| GoVersion::parse(it)).collect();
        assert_eq!(versions.len(), order.len());
        assert!(versions.is_sorted_by(|a, b| a < b), "{versions:?}");
        assert!(GoVersion::parse("go1.21rc1") < Some(GoVersion::release(21)));
    }
}
