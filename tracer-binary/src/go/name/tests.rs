//! Names in programs of each release, and their owners.

use proptest::prelude::*;

use super::*;

const TO_1_19: &[Spelling] = &[Spelling::Dot, Spelling::Unknown];
const SINCE_1_20: &[Spelling] = &[Spelling::Colon, Spelling::Unknown];
const ALL: &[Spelling] = &[Spelling::Dot, Spelling::Colon, Spelling::Unknown];

/// The result of `owner` in words: an import path, `toolchain` or `unnamed`.
fn words(name: &str, spelling: Spelling) -> String {
    match owner(name.as_bytes(), spelling) {
        SymbolOwner::Package(path) => String::from_utf8_lossy(&unescape(path)).into_owned(),
        SymbolOwner::Toolchain => "<toolchain>".to_owned(),
        SymbolOwner::Unnamed => "<unnamed>".to_owned(),
    }
}

fn check(spellings: &[Spelling], table: &[(&str, &str)]) {
    for (name, expected) in table {
        for &spelling in spellings {
            assert_eq!(words(name, spelling), *expected, "{name}, {spelling:?}");
        }
    }
}

#[test]
fn functions_and_variables_of_every_release() {
    check(
        ALL,
        &[
            ("main.main", "main"),
            ("_.goready.func1", "<unnamed>"),
            ("$f64.3ff0000000000000", "<toolchain>"),
            ("$f32.3f800000", "<toolchain>"),
            ("_/tmp/x.F", "_/tmp/x"),
            ("main.init.0", "main"),
            ("main.init.func1", "main"),
            ("main.map.init.0", "main"),
            ("main.glob..func1", "main"),
            ("main..inittask", "main"),
            ("main..stmp_12", "main"),
            ("main..gobytes.1", "main"),
            ("main..dict.Map[example.com/x/y.T]", "main"),
            ("main._Cfunc_puts", "main"),
            ("main._cgoexp_4a9f_Callback", "main"),
            ("main.main.func1.2", "main"),
            ("main.All-range1", "main"),
            ("main.main.gowrap1", "main"),
            ("main.main.deferwrap1", "main"),
            ("main.T.Method-fm", "main"),
            ("main.F.abi0", "main"),
            ("net/http.(*Client).Do", "net/http"),
            ("net/http..inittask", "net/http"),
            ("runtime.etext", "runtime"),
            (
                "vendor/golang.org/x/net/idna.init",
                "vendor/golang.org/x/net/idna",
            ),
            (
                "example.com/m/vendor/example.org/x.F",
                "example.com/m/vendor/example.org/x",
            ),
            ("example.com/m/lib_test.TestX", "example.com/m/lib_test"),
            ("command-line-arguments.F", "command-line-arguments"),
        ],
    );
}

#[test]
fn an_escaped_path_is_one_package_however_often_it_was_escaped() {
    check(
        ALL,
        &[
            ("gopkg.in/yaml%2ev3.Marshal", "gopkg.in/yaml.v3"),
            ("gopkg.in/yaml%2ev3..inittask", "gopkg.in/yaml.v3"),
            ("gopkg.in/yaml%252ev3.handleErr.func1", "gopkg.in/yaml.v3"),
            ("example%2ecom.F", "example.com"),
            ("example.com/%c3%a4.F", "example.com/ä"),
            ("example.com/a%22b.F", "example.com/a\"b"),
            // These are not escapes.
            ("example.com/a%2.F", "example.com/a%2"),
            ("example.com/a%zz.F", "example.com/a%zz"),
            ("example.com/a%+1.F", "example.com/a%+1"),
        ],
    );
}

#[test]
fn a_path_that_begins_with_go_or_type_is_a_package() {
    check(
        ALL,
        &[
            ("go.uber.org/zap.New", "go.uber.org/zap"),
            ("go.uber.org/zap.(*Logger).Info", "go.uber.org/zap"),
            (
                "go.uber.org/zap/zapcore..inittask",
                "go.uber.org/zap/zapcore",
            ),
            ("go.etcd.io/etcd/client/v3.New", "go.etcd.io/etcd/client/v3"),
            ("go.yaml.in/yaml/v3.Marshal", "go.yaml.in/yaml/v3"),
            ("go.yaml.in/yaml%2ev4.Marshal", "go.yaml.in/yaml.v4"),
            (
                "go.opentelemetry.io/otel.Map[go.shape.int]",
                "go.opentelemetry.io/otel",
            ),
            ("go.link/x.F", "go.link/x"),
            ("go.string.example.com/x.F", "go.string.example.com/x"),
            (
                "go.itab.example.com/x.F[a/b.K,c/d.V]",
                "go.itab.example.com/x",
            ),
            ("go/ast.Walk", "go/ast"),
            ("go/types..inittask", "go/types"),
            ("google.golang.org/grpc.Dial", "google.golang.org/grpc"),
            ("go%2eexample.F", "go.example"),
            ("type%2eexample.F", "type.example"),
            ("types.F", "types"),
        ],
    );
    check(
        &[Spelling::Colon],
        &[("type.example.com/x.F", "type.example.com/x")],
    );
}

#[test]
fn the_toolchains_own_names_up_to_1_19() {
    check(
        TO_1_19,
        &[
            ("go.buildid", "<toolchain>"),
            ("go.buildinfo", "<toolchain>"),
            ("go.buildinfo.ref", "<toolchain>"),
            ("go.string.*", "<toolchain>"),
            ("go.string.\"a/b.c\"", "<toolchain>"),
            ("go.func.*", "<toolchain>"),
            ("go.funcrel.*", "<toolchain>"),
            ("go.map.zero", "<toolchain>"),
            ("go.plugin.tabs", "<toolchain>"),
            ("go.link.addmoduledata", "<toolchain>"),
            ("go.link.pkghash.example.com/x", "<toolchain>"),
            ("go.link.pkghashbytes.go.uber.org/zap", "<toolchain>"),
            ("go.link.abihashes", "<toolchain>"),
            ("go.track.example.com/x.T.F", "<toolchain>"),
            ("go.itab.*os.File,io.Reader", "os"),
            (
                "go.itab.*go.uber.org/zap.Logger,io.Writer",
                "go.uber.org/zap",
            ),
            ("go.itab.a.b/c.T,io.Reader", "a.b/c"),
            (
                "go.(*struct { sync.Mutex; math/big.table [64]math/big.Int }).Lock",
                "math/big",
            ),
            ("go.struct { sync.Mutex }.Lock", "<toolchain>"),
            ("type.*", "<toolchain>"),
            ("typerel.*", "<toolchain>"),
            ("type.*os.File", "os"),
            ("type..eq.os.File", "os"),
            ("type..hash.example.com/x.T", "example.com/x"),
            ("type..hash.[2]example.com/x.T", "<toolchain>"),
            ("type..namedata.*func()-", "<toolchain>"),
            ("type..importpath.example.com/x.", "<toolchain>"),
        ],
    );
}

#[test]
fn the_toolchains_own_names_since_1_20() {
    check(
        SINCE_1_20,
        &[
            ("go:buildid", "<toolchain>"),
            ("go:buildinfo", "<toolchain>"),
            ("go:string.*", "<toolchain>"),
            ("go:func.*", "<toolchain>"),
            ("go:funcdesc", "<toolchain>"),
            ("go:map.zero", "<toolchain>"),
            ("go:main.inittasks", "<toolchain>"),
            ("go:runtime.inittasks", "<toolchain>"),
            ("go:textfipsstart", "<toolchain>"),
            ("go:link.pkghashbytes.example.com/x", "<toolchain>"),
            ("go:itab.*os.File,io.Reader", "os"),
            (
                "go:itab.*go.uber.org/zap.Logger,io.Writer",
                "go.uber.org/zap",
            ),
            ("go:itab.struct { main.x int },error", "main"),
            (
                "go:(*struct { sync.Mutex; example.com/x%2ev2.n int }).Lock",
                "example.com/x.v2",
            ),
            ("go:struct { *os.file }.Close", "os"),
            ("go:struct { sync.Mutex }.Lock", "<toolchain>"),
            ("type:*", "<toolchain>"),
            ("type:.eq.[7]internal/cpu.option", "<toolchain>"),
            ("type:.eq.example.com/x.List[go.shape.int]", "example.com/x"),
            ("type:.eq.struct { A int; main.b example.com/x.T }", "main"),
            ("type:.eq.struct { A \"a;\\\"}x.y z\"; os.b int }", "os"),
            ("type:.eq.struct { example.com/x.T; C int }", "<toolchain>"),
            ("type:.eq.struct { F func(a.b); main.c int }", "main"),
            ("type:.hash.go.shape.struct { a.B }", "<toolchain>"),
            // The linker's hashes in programs that import plugin.
            ("type:.eq/x+y0A", "<toolchain>"),
            // Since 1.27 one function compares all types with the same layout in memory.
            ("type:.eq.SM10", "<toolchain>"),
            ("type:.eq.[8SM10K6]", "<toolchain>"),
            ("type:a/b+c.0A", "a/b+c"),
            ("type:noalg.map.bucket[string]os.File", "<toolchain>"),
            ("type:map[os.File]int", "<toolchain>"),
            ("type:func(os.File)", "<toolchain>"),
            ("type:chan *os.File", "os"),
            ("type:interface { A() }", "<toolchain>"),
            ("type:int", "<toolchain>"),
        ],
    );
}

#[test]
fn type_arguments_and_receivers_end_the_path() {
    check(
        ALL,
        &[
            ("main.Map[go.shape.string,example.com/x/y.T].func1", "main"),
            ("main.Map[...]", "main"),
            (
                "main.(*List[go.shape.struct { A string; B a/b.C }]).Push",
                "main",
            ),
            ("main.(*T).example.com/api.mustEmbed", "main"),
            (
                "slices.SortFunc[go.shape.[]*cmd/link/internal/sym.Library]",
                "slices",
            ),
            ("main.F[ab/d+fgh]", "main"),
        ],
    );
}

#[test]
fn assembly_and_other_languages_name_no_package() {
    check(
        ALL,
        &[
            ("_rt0_amd64_linux", "<unnamed>"),
            ("gosave_systemstack_switch", "<unnamed>"),
            ("cmpbody", "<unnamed>"),
            ("x_cgo_init", "<unnamed>"),
            ("gogo", "<unnamed>"),
            ("typeinfo", "<unnamed>"),
            (".hidden", "<unnamed>"),
            ("a/.hidden", "<unnamed>"),
            ("/", "<unnamed>"),
            ("", "<unnamed>"),
        ],
    );
}

#[test]
fn functions_made_for_others_are_detected_by_name() {
    let check = |name: &str, expected| {
        assert_eq!(is_made_for_others(name.as_bytes()), expected, "{name}");
    };
    check("slices.Sort[...]", true);
    check("sync/atomic.(*Uint64).Load-fm", true);
    check("type:.eq.os.File", true);
    check("type..eq.os.File", true);
    check("typeurl.F", false);
    check("main.F-fm.func1", false);
    check("cmpbody", false);
}

#[test]
fn symbols_of_the_file_are_detected_by_name() {
    let check = |name: &str, expected| {
        assert_eq!(is_of_the_file(name.as_bytes()), expected, "{name}");
    };
    check("go:buildid", true);
    check("go.buildid", true);
    check("go:textfipsstart", true);
    check("go:struct { sync.Mutex }.Lock", false);
    check("type:.eq.SM10", false);
    check("gogo", false);
}

#[test]
fn interface_tables_are_known_by_their_names() {
    let check = |name: &str, expected| assert_eq!(is_itab(name.as_bytes()), expected, "{name}");
    check("go:itab.*os.File,io.Reader", true);
    check("go.itab.*os.File,io.Reader", true);
    check("go.itab.example.com/x.F", false);
    check("go.itab.example.com/x.F[a,b]", false);
    check("main.go:itab.", false);
}

#[test]
fn descriptors_are_known_by_their_names() {
    let check = |name: &str, expected| {
        assert_eq!(is_descriptor(name.as_bytes()), expected, "{name}");
    };
    check("type:T18MID/d", true);
    check("type:*bool", true);
    check("type:runtime.moduledata", true);
    check("type.T18MID/d", true);
    check("type.*bool", true);
    check("type:.eqfunc.SM10", true);
    check("type..+PrLtu3x", true);
    check("type.example.com/x.F", false);
    check("types.F", false);
}

#[test]
fn a_path_with_dots_may_be_a_method_of_another_package() {
    let check = |path: &str, expected: &[(&str, &str)]| {
        let text = |path| std::str::from_utf8(path).unwrap();
        let found: Vec<_> = pairs(path.as_bytes())
            .map(|(receiver, method)| (text(receiver), text(method)))
            .collect();
        assert_eq!(found, expected, "{path}");
    };
    check(
        "main.server.example.com/api",
        &[("main", "example.com/api"), ("main.server", "com/api")],
    );
    check(
        "a.b/c.T.example.com/api/v2",
        &[("a.b/c", "example.com/api/v2"), ("a.b/c.T", "com/api/v2")],
    );
    check("example.com/a", &[]);
    check("net/http", &[]);
    check("main", &[]);
    check("a.b", &[]);
    check("../", &[("", "/")]);
    check("", &[]);
}

#[test]
fn a_neighbour_is_found_to_be_the_same_the_short_way() {
    let names = [
        "github.com/a/b.F",
        "github.com.F",
        "github.com/a/b.(*T).M[github.com/x/y.T]",
        "github.com/a/b/c.F",
        "github.com/a.v2/b.F",
        "github.com/a",
        "go.example.com/a.F",
        "main.F(a/b.T)",
        "main.T.a/b.m",
    ];
    let package = |name: &'static str| owner(name.as_bytes(), Spelling::Colon).package();
    for symbol in names {
        for other in names.into_iter().filter_map(package) {
            assert_eq!(
                is_of(symbol.as_bytes(), other),
                package(symbol) == Some(other),
                "{symbol}"
            );
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read(
        head in "(go[:.]|type[:.]|main[.])?(itab[.]|[.]eq[.]|link[.])?(struct [{])?",
        tail in proptest::collection::vec(any::<u8>(), 0..64),
    ) {
        let name = [head.as_bytes(), &tail].concat();
        for &spelling in ALL {
            let Some(path) = owner(&name, spelling).package() else { continue };
            prop_assert!(name.windows(path.len()).any(|it| it == path));
            prop_assert!(pairs(path).all(|(a, b)| a.len() + b.len() < path.len()));
            prop_assert!(unescape(path).len() <= path.len());
        }
        let _ = is_itab(&name);
    }
}
