//! The flags of each `go` command, and whether they take a value.
//!
//! The table is the union over Go 1.19 to 1.27: a flag that a release does not have is an error there and builds nothing. The table was
//! made by running `go COMMAND -FLAG` of 1.19, 1.21, 1.24 and 1.27 for each flag; the releases never contradict each other.

/// The kind of a flag: with or without a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arity {
    /// `-race`, `-race=false`; never takes the next argument.
    Bool,
    /// `-o=x`, `-o x`.
    Value,
}

/// Boolean flags and flags with a value.
type Group = (&'static [&'static str], &'static [&'static str]);

/// Flags of every command that loads packages to build them.
const BUILD: Group = (
    &[
        "a",
        "asan",
        "buildvcs",
        "linkshared",
        "modcacherw",
        "msan",
        "n",
        "race",
        "trimpath",
        "v",
        "work",
        "x",
    ],
    &[
        "C",
        "asmflags",
        "buildmode",
        "compiler",
        "debug-actiongraph",
        "debug-runtime-trace",
        "debug-trace",
        "gccgoflags",
        "gcflags",
        "installsuffix",
        "ldflags",
        "modfile",
        "overlay",
        "p",
        "pgo",
        "pkgdir",
        "tags",
        "toolexec",
    ],
);
const MOD: Group = (&[], &["mod"]);
const COVER: Group = (&["cover"], &["covermode", "coverpkg"]);
const JSON: Group = (&["json"], &[]);
const INSTALL: Group = (&["i"], &[]);
const OUTPUT: Group = (&[], &["o"]);
/// Flags of `go test`; most are passed on to the test binary.
const TEST: Group = (
    &[
        "artifacts",
        "benchmem",
        "c",
        "failfast",
        "fullpath",
        "short",
    ],
    &[
        "bench",
        "benchtime",
        "blockprofile",
        "blockprofilerate",
        "count",
        "coverprofile",
        "cpu",
        "cpuprofile",
        "exec",
        "fuzz",
        "fuzzminimizetime",
        "fuzztime",
        "list",
        "memprofile",
        "memprofilerate",
        "mutexprofile",
        "mutexprofilefraction",
        "outputdir",
        "parallel",
        "run",
        "shuffle",
        "skip",
        "timeout",
        "trace",
        "vet",
    ],
);
const LIST: Group = (
    &[
        "compiled",
        "deps",
        "e",
        "export",
        "find",
        "m",
        "retracted",
        "test",
        "u",
        "versions",
    ],
    &["f", "reuse"],
);
/// Flags of the commands that only work on modules.
const MODULE: Group = (
    &["e", "json", "modcacherw", "n", "v", "x"],
    &["C", "modfile", "overlay"],
);
const EDIT: Group = (
    &["fmt", "json", "print"],
    &[
        "C",
        "dropexclude",
        "dropgodebug",
        "dropignore",
        "dropreplace",
        "droprequire",
        "dropretract",
        "droptool",
        "dropuse",
        "exclude",
        "go",
        "godebug",
        "ignore",
        "module",
        "replace",
        "require",
        "retract",
        "tool",
        "toolchain",
        "use",
    ],
);

fn groups(command: &str) -> &'static [Group] {
    match command {
        "build" => &[BUILD, MOD, COVER, JSON, INSTALL, OUTPUT],
        "install" => &[BUILD, MOD, COVER, JSON, INSTALL],
        "run" => &[BUILD, MOD, COVER, JSON, (&[], &["exec"])],
        "test" => &[BUILD, MOD, COVER, JSON, INSTALL, OUTPUT, TEST],
        "vet" => &[BUILD, MOD, JSON, (&["diff", "fix"], &["c", "vettool"])],
        "fix" => &[BUILD, MOD, JSON, (&["diff"], &["c", "fix", "fixtool"])],
        "generate" => &[BUILD, MOD, (&[], &["run", "skip"])],
        "list" => &[BUILD, MOD, COVER, JSON, LIST],
        "clean" => &[
            BUILD,
            MOD,
            INSTALL,
            (&["cache", "fuzzcache", "modcache", "r", "testcache"], &[]),
        ],
        "get" => &[
            BUILD,
            JSON,
            (&["d", "f", "fix", "insecure", "m", "t", "tool", "u"], &[]),
        ],
        "fmt" => &[
            MOD,
            (&["modcacherw", "n", "x"], &["C", "modfile", "overlay"]),
        ],
        "env" => &[(&["changed", "json", "n", "u", "w", "x"], &["C"])],
        "version" => &[(&["json", "m", "v"], &["C"])],
        "doc" => &[(
            &["all", "c", "cmd", "ex", "http", "short", "src", "u", "v"],
            &["C"],
        )],
        "bug" => &[(&["v"], &["C"])],
        "tool" => &[(&["modcacherw", "n"], &["C", "modfile", "overlay"])],
        "mod download" => &[MODULE, (&[], &["reuse"])],
        "mod edit" | "work edit" => &[EDIT, MODULE],
        "mod graph" => &[MODULE, (&[], &["go"])],
        "mod tidy" => &[MODULE, (&["diff"], &["compat", "go"])],
        "mod vendor" | "work vendor" => &[MODULE, OUTPUT],
        "mod why" => &[MODULE, (&["m", "vendor"], &[])],
        "mod init" | "mod verify" => &[MODULE],
        "work init" | "work sync" | "work use" => &[MODULE, (&["r"], &[])],
        _ => &[(&[], &["C"])],
    }
}

/// The arity of a flag; `None` if the command does not have it. `go vet` and `go fix` also have the flags of their analyzers, which only
/// the tool lists. A dotted one (`printf.funcs`) takes a value there; any other does not.
pub(super) fn arity(command: &str, name: &str) -> Option<Arity> {
    for (bools, values) in groups(command) {
        if bools.contains(&name) {
            return Some(Arity::Bool);
        }
        if values.contains(&name) {
            return Some(Arity::Value);
        }
    }
    match command {
        "vet" | "fix" if name.contains('.') => Some(Arity::Value),
        _ => None,
    }
}
