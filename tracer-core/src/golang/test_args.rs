//! Arguments of a test program, and those with which the `go` command stores no result.
//!
//! Source: `tryCacheWithID` and `runTestActor.Act` of `cmd/go/internal/test/test.go`, Go 1.19 to 1.27.

use super::version::GoVersion;

/// Arguments that the `go` command adds itself.
const INTERNAL: [&str; 4] = [
    "-test.testlogfile",
    "-test.paniconexit0",
    "-test.fuzzcachedir",
    "-test.gocoverdir",
];

/// Arguments with which a result is stored, and the first minor version of Go 1 with each.
const CACHEABLE: [(&str, u32); 13] = [
    ("-test.benchtime", 0),
    ("-test.cpu", 0),
    ("-test.list", 0),
    ("-test.parallel", 0),
    ("-test.run", 0),
    ("-test.short", 0),
    ("-test.timeout", 0),
    ("-test.failfast", 0),
    ("-test.v", 0),
    ("-test.fullpath", 23),
    ("-test.skip", 25),
    ("-test.coverprofile", 25),
    ("-test.outputdir", 25),
];

/// The newest minor version of Go 1 whose source was read for this module.
const NEWEST: u32 = 27;

/// True if the conditions of this release are known.
pub fn is_known(release: &str) -> bool {
    GoVersion::parse(release).is_some_and(|it| it.minor() <= NEWEST)
}

/// The first argument with which this release of Go stores no result.
pub fn first_uncacheable<'a>(release: &str, args: &'a [String]) -> Option<&'a str> {
    let minor = GoVersion::parse(release).map_or(u32::MAX, GoVersion::minor);
    let is_uncacheable = |arg: &&str| match arg.split_once('=') {
        Some((name, _)) => !CACHEABLE
            .iter()
            .any(|(it, since)| *it == name && *since <= minor),
        None => true,
    };
    let name = |it: &str| it.split('=').next().unwrap_or_default().to_owned();
    let of_user = args
        .iter()
        .map(String::as_str)
        .filter(|it| !INTERNAL.contains(&name(it).as_str()));
    of_user.into_iter().find(is_uncacheable)
}

/// The flag of `go test` for an argument of the test program: `-test.count=1` → `-count=1`.
pub fn flag(argument: &str) -> String {
    match argument.strip_prefix("-test.") {
        Some(rest) => format!("-{rest}"),
        None => argument.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(release: &str, args: &[&str], expected: Option<&str>) {
        let args: Vec<String> = args.iter().map(|it| (*it).to_owned()).collect();
        assert_eq!(first_uncacheable(release, &args), expected, "{release}");
    }

    #[test]
    fn the_first_argument_without_caching_is_found() {
        let own = "-test.paniconexit0";
        check("go1.27.3", &[own, "-test.timeout=10m0s"], None);
        for arg in ["-test.count=1", "-test.bench=.", "-test.cpuprofile=x", "x"] {
            check("go1.19.8", &[own, "-test.run=A", arg], Some(arg));
            check("go1.27.3", &[own, "-test.run=A", arg], Some(arg));
        }
    }

    #[test]
    fn the_list_depends_on_the_release() {
        let skip = "-test.skip=A";
        check("go1.24.11", &[skip], Some(skip));
        check("go1.25.5", &[skip], None);
        check("devel go1.28-5a2f3c", &[skip], None);
        check("a development version", &[skip], None);
    }
}
