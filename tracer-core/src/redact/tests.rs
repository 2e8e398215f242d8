use proptest::prelude::*;

use super::*;

mod places;

fn redacted(input: &str) -> String {
    String::from_utf8_lossy(&text(input.as_bytes())).into_owned()
}

fn line(program: Program, args: &[&str]) -> Vec<String> {
    argv(
        program,
        args.iter().map(|it| ByteString::from(*it)).collect(),
    )
    .iter()
    .map(ToString::to_string)
    .collect()
}

/// `§` stands for the secret. The expected output has `<redacted>` in its place and no other change.
fn check(shape: &str) {
    for secret in ["hunter2", "p4ss-W0rd_x", "Zm9vYmFyMTIzNDU2Nzg5MA"] {
        let input = shape.replace('§', secret);
        assert_eq!(redacted(&input), shape.replace('§', REDACTED), "{input}");
    }
}

#[test]
fn a_text_that_needs_too_many_passes_is_removed() {
    // Found by the fuzzer: each pass reveals another secret.
    let entangled = include_bytes!("../../../fuzz/corpus/redact/entangled");
    let once = text(entangled).into_owned();
    assert_eq!(text(&once).as_ref(), once);
    let argument = ByteString::from(&entangled[..]);
    let args = argv(Program::Other, vec![argument.clone()]);
    assert_ne!(args, [argument]);
    assert_eq!(argv(Program::Other, args.clone()), args);
}

#[test]
fn linker_values_in_every_quoting() {
    check("-ldflags=-X main.t=§ -s -w");
    check("-ldflags=-X=main.t=§ -s");
    check("-X main.t=§ -X main.u=§");
    check("--X main.t=§");
    check("-ldflags=-s -X 'main.t=§' -w");
    check(r#"-ldflags "-X 'main.t=§' -s""#);
    check(r#"go build -ldflags "-s -X main.t=§" ./... && echo done"#);
    check(r#"'-ldflags=-X main.t=§ -w' -trimpath"#);
    check(r#"'-ldflags="-X=main.t=§" -w' -trimpath"#);
    check(r#"linkflags ["-X" "main.t=§" "-X" "main.u=§" "-s"]"#);
    check(r#"linkflags ["-X=main.t=§" "-s"]"#);
    check(
        r#"modinfo "path\tx\nbuild\t-ldflags=\"-X 'main.t=§' -X main.u=§ -s\"\nbuild\t-tags=x\n""#,
    );
    check("-ldflags=-X example.com/a/b%2ec.Version=§");
    check("all=-X main.t=§");
}

#[test]
fn linker_values_with_blanks_are_taken_whole() {
    for (input, expected) in [
        ("-X 'main.t=a b c' -s", "-X 'main.t=<redacted>' -s"),
        ("-X main.t='a b' -s", "-X main.t=<redacted> -s"),
        ("-X main.t=a\\ b -s", "-X main.t=<redacted> -s"),
        ("-X main.t=two words -s", "-X main.t=<redacted> -s"),
        (
            "-ldflags=-X main.t=two words",
            "-ldflags=-X main.t=<redacted>",
        ),
        (
            r#"["-X=main.t=a -b \"c" "-s"]"#,
            r#"["-X=main.t=<redacted>" "-s"]"#,
        ),
        ("-X 'main.t=never closed -s", "-X 'main.t=<redacted>"),
        ("-X main.t=$(cat /run/x) -s", "-X main.t=<redacted> -s"),
    ] {
        assert_eq!(redacted(input), expected, "{input}");
    }
}

#[test]
fn urls_lose_their_userinfo() {
    check("https://§@example.com/x");
    for (input, expected) in [
        (
            "https://u:p@proxy.example,direct",
            "https://<redacted>@proxy.example,direct",
        ),
        (
            "https://u:p@a|https://v:q@b",
            "https://<redacted>@a|https://<redacted>@b",
        ),
        ("https://u:p@ss@h/x", "https://<redacted>@h/x"),
        ("https://u:p/a,ss@h/x", "https://<redacted>@h/x"),
        ("git+https://tok@h/x.git", "git+https://<redacted>@h/x.git"),
        (
            "postgres://u:p@127.0.0.1:5432/db",
            "postgres://<redacted>@127.0.0.1:5432/db",
        ),
        ("ssh://u:p@h", "ssh://<redacted>@h"),
        ("x='https://u:p@h'", "x='https://<redacted>@h'"),
    ] {
        assert_eq!(redacted(input), expected, "{input}");
    }
    for same in [
        "ssh://git@github.com/a/b",
        "git@github.com:a/b.git",
        "https://proxy.golang.org,direct",
        "http://localhost:8080/mod/@v/list",
        "http://[::1]:80/@v",
        "https://h/a@v1.2.3",
        "file:///go/pkg/mod/a@v1",
        "git+ssh://me@h/x",
    ] {
        assert_eq!(redacted(same), same);
    }
}

#[test]
fn names_mark_their_values_as_secret() {
    check("TOKEN=§ go build");
    check("export DB_PASSWORD=§; make");
    check("curl -H 'Authorization: §' https://h/x");
    check(r#"curl -H "PRIVATE-TOKEN: §" https://h"#);
    check("curl -H 'X-Api-Key: §'");
    check("https://h/x?access_token=§&page=2");
    check("mysql --password § db");
    check("mysql --password=§ db");
    check("-DMY_SECRET=§ -O2");
    check(r#"{"user":"a","password":"§","x":1}"#);
    check(r#"test args ["-token=§" "-v"] execcmd []"#);
    check(r#"test args ["-token" "§"] execcmd []"#);
    check("git -c http.extraheader=AUTHORIZATION: §");
    check("sh -c 'API_KEY=\"§\" make'");
    assert_eq!(
        redacted("x Authorization: Bearer a.b c"),
        "x Authorization: <redacted>"
    );
    assert_eq!(redacted("key=0123456789abcdef0123"), "key=<redacted>");
    for same in [
        "key=value",
        "cache-dir=/x",
        "--mount=type=cache,id=key",
        "token",
        "TOKEN= go build",
        "USE_TOKEN=1 x",
        "a/token=>b",
    ] {
        assert_eq!(redacted(same), same);
    }
}

#[test]
fn keys_are_recognised_by_their_form() {
    let long = "A1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6";
    for key in [
        "AKIAIOSFODNN7EXAMPLE".to_owned(),
        format!("ghp_{long}"),
        format!("github_pat_{long}"),
        format!("glpat-{long}"),
        format!("xoxb-123456-{long}"),
        format!("npm_{long}"),
        format!("eyJ{long}.eyJ{long}.{long}"),
    ] {
        for (before, after) in [
            ("", ""),
            ("-arg=", " x"),
            ("'", "'"),
            ("/", "/x"),
            ("a:", ",b"),
        ] {
            let input = format!("{before}{key}{after}");
            assert_eq!(
                redacted(&input),
                format!("{before}{REDACTED}{after}"),
                "{input}"
            );
        }
    }
    let pem = "x -----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY----- y";
    assert_eq!(redacted(pem), "x <redacted> y");
    assert_eq!(redacted("-----BEGIN PRIVATE KEY-----\nabc"), "<redacted>");
    for same in [
        "eyJust.a.name",
        "ghp_short",
        "-----BEGIN CERTIFICATE-----",
        "XAKIAIOSFODNN7EXAMPLE",
    ] {
        assert_eq!(redacted(same), same);
    }
}

#[test]
fn lines_are_read_argument_by_argument() {
    use Program::{Go, GoTool, Other};
    for (program, args, expected) in [
        (
            GoTool,
            &["link", "-X=main.t=a b=c", "-s"][..],
            &["link", "-X=main.t=<redacted>", "-s"][..],
        ),
        (
            GoTool,
            &["link", "-X", "main.t=a b -s", "-w"],
            &["link", "-X", "main.t=<redacted>", "-w"],
        ),
        (
            Go,
            &["go", "build", "-ldflags", "-X main.t=a -s"],
            &["go", "build", "-ldflags", "-X main.t=<redacted> -s"],
        ),
        (
            Go,
            &["go", "test", ".", "-args", "-token", "x y"],
            &["go", "test", ".", "-args", "-token", "<redacted>"],
        ),
        (
            Go,
            &["go", "run", ".", "--password=a;b c"],
            &["go", "run", ".", "--password=<redacted>"],
        ),
        (
            Other,
            &["env", "DB_PASSWORD=a b,c", "go"],
            &["env", "DB_PASSWORD=<redacted>", "go"],
        ),
        (
            Other,
            &["make", "LDFLAGS=-X main.t=abc", "all"],
            &["make", "LDFLAGS=-X main.t=<redacted>", "all"],
        ),
        (
            Other,
            &["curl", "-u", "me:pw", "-X", "POST", "h"],
            &["curl", "-u", "me:<redacted>", "-X", "POST", "h"],
        ),
        (
            Other,
            &[
                "curl",
                "-u",
                "no user: -X main.t=abc",
                "-u",
                "flags -X main.t=abc",
            ],
            &[
                "curl",
                "-u",
                "no user:<redacted>",
                "-u",
                "flags -X main.t=<redacted>",
            ],
        ),
        // Found by the fuzzer: without the value of `-X`, the rest looks like a secret macro.
        (
            Other,
            &["cc", "--define-macro", "-X=a.b=c"],
            &["cc", "--define-macro", "-X=<redacted>"],
        ),
        (
            Other,
            &["curl", "-H", "Authorization: Bearer x y"],
            &["curl", "-H", "Authorization: <redacted>"],
        ),
        (
            Other,
            &["x", "--token", "--force"],
            &["x", "--token", "--force"],
        ),
        (
            Other,
            &["docker", "run", "-u", "1000:1000"],
            &["docker", "run", "-u", "1000:1000"],
        ),
        (
            GoTool,
            &[
                "compile",
                "-p",
                "go/token",
                "-trimpath",
                "/s/token=>go/token",
            ],
            &[
                "compile",
                "-p",
                "go/token",
                "-trimpath",
                "/s/token=>go/token",
            ],
        ),
    ] {
        assert_eq!(line(program, args), expected);
    }
}

/// Arguments of real builds with Go 1.19 and 1.27.
#[test]
fn real_arguments_stay_unchanged() {
    let args = [
        "/usr/lib/go-1.19/pkg/tool/linux_amd64/link",
        "-o",
        "/tmp/go-build3781791334/b001/exe/a.out",
        "-importcfg",
        "/tmp/go-build3781791334/b001/importcfg.link",
        "-X=runtime.godebugDefault=containermaxprocs=0,panicnil=1,x509usepolicies=0",
        "-X",
        "runtime.godebugDefault=panicnil=1",
        "-X",
        "testing.testBinary=1",
        "-buildmode=exe",
        "-buildid=TRN4qGXfSr8x1s-76RHu/4u-1xyzdLyw7saR9HcX7/NMSU-prgfVTjbAYHko0v/TRN4qGXfSr8x1s-76RHu",
        "-extld=gcc",
        "-trimpath",
        "/tmp/go-build2/b002=>;/home/u/secret/token=>example.com/token@v1.2.3",
        "-D",
        "GOOS_linux",
        "-lang=go1.19",
        "-goversion",
        "go1.27.3",
        "-ldflags=\"-O2\" \"-g\"",
        "-fdebug-prefix-map=/tmp/go-build18/b001=/tmp/go-build",
        "-gno-record-gcc-switches",
        "-Wl,-z,relro",
        "-frandom-seed=GpN_xkDzRdcbFxlbAoXr",
        "-test.timeout=10m0s",
        "/go/src/crypto/internal/fips140/sha3/keccakf.go",
        "git",
        "-c",
        "log.showsignature=false",
        "--format=%H:%ct",
        "-var",
        "goCover_bb6b1b2453ad_",
        "-ldflags=-s -w -extldflags '-static -Wl,-rpath,/x'",
    ];
    for program in [Program::Go, Program::GoTool, Program::Other] {
        assert_eq!(line(program, &args), args);
    }
}

#[test]
fn real_key_lines_stay_unchanged() {
    for same in [
        "compile\n",
        "goos linux goarch amd64\n",
        "import \"go/token\"\n",
        "omitdebug false standard false local false prefix \"\"\n",
        "compile compile version go1.27.3 [] []\n",
        "file token.go NntD5JzZkPSj0a6RivcN\n",
        "import go/token IXSiRGZFI_BAfVoOSHxG\n",
        "packagefile go/token=b9egfVsoNgpknEssnMlp\n",
        "packagefile token=b9egfVsoNgpknEssnMlp\n",
        "CGO_LDFLAGS=[\"-O2\" \"-g\"]\n",
        "modinfo \"path\\tx\\nbuild\\t-compiler=gc\\nbuild\\tCGO_ENABLED=1\\n\"\n",
        "GOROOT=/usr/lib/go-1.19\n",
    ] {
        assert_eq!(key_line(same.as_bytes()), same.as_bytes());
    }
    let modinfo = r#"modinfo "build\t-ldflags=-X=main.t=abc\nbuild\t-tags=x\nbuild\tGOOS=linux\n""#;
    let expected =
        r#"modinfo "build\t-ldflags=-X=main.t=<redacted>\nbuild\t-tags=x\nbuild\tGOOS=linux\n""#;
    assert_eq!(
        String::from_utf8_lossy(&key_line(modinfo.as_bytes())),
        expected
    );
}

#[test]
fn variables_are_redacted_by_name_first() {
    for (name, value, expected) in [
        (
            "GOFLAGS",
            "-ldflags=-X=main.t=abc -mod=mod",
            "-ldflags=-X=main.t=<redacted> -mod=mod",
        ),
        (
            "GOPROXY",
            "https://u:p@h,direct",
            "https://<redacted>@h,direct",
        ),
        ("GOAUTH", "git /home/u", "<redacted>"),
        ("GOAUTH", "netrc", "netrc"),
        ("GOFOOTOKEN", "x", "x"),
        ("GO_TOKEN", "x", "<redacted>"),
        ("GO_TOKEN", "", ""),
        ("CGO_API_KEY", "abc", "<redacted>"),
        (
            "PATH",
            "/usr/bin:/home/u/secret:/token:/x",
            "/usr/bin:/home/u/secret:/token:/x",
        ),
        ("TOOLEXEC_IMPORTPATH", "go/token", "go/token"),
        (
            "GIT_URL",
            "https://x-access-token:abc@github.com/a/b",
            "https://github.com/a/b",
        ),
    ] {
        assert_eq!(
            variable(name.as_bytes(), value.as_bytes()),
            expected,
            "{name}={value}"
        );
    }
}

#[test]
fn half_a_secret_is_not_kept() {
    for (input, expected) in [
        ("build https://user:pas", "build <redacted>"),
        ("a ghp_abc", "a <redacted>"),
        ("-ldflags=-X main.t", "-ldflags=-X main.t"),
        ("x TOKEN=ab", "x <redacted>"),
        ("/very/long/pa", "/very/long/pa"),
        ("", ""),
        ("a <redacted>", "a <redacted>"),
    ] {
        assert_eq!(
            String::from_utf8_lossy(&cut_end(input.as_bytes())),
            expected,
            "{input}"
        );
    }
}

/// Text that contains the triggers of every rule.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let pieces = [
        "-X",
        "=",
        " ",
        "main.t",
        "'",
        "\"",
        "\\",
        "\\\"",
        "`",
        "https://",
        "u:p",
        "@",
        "/",
        "token",
        "password=",
        "Authorization",
        ":",
        "ghp_abcdefghijklmnopqrst",
        "eyJabcdefghijklm.x",
        "AKIAABCDEFGHIJKLMNOP",
        "key",
        "<redacted>",
        "<",
        ">",
        "\n",
        ",",
        ";",
        "-",
        "--secret",
        "a",
        "1",
        "-----BEGIN ",
        "PRIVATE KEY",
        "-----END ",
        "\u{e9}",
        "[",
        "]",
        "modinfo \"",
        "\\n",
        "-D",
        "NAME(",
        "%3D",
        "%26",
        "\\u0026",
        "sig",
        "sshpass",
        " -p",
        "curl",
        "login ",
        "Bearer ",
        "Basic A1",
        "is ",
        "hf_A1b2C3d4E5f6G7h8I9j0",
        "?",
        "&",
        "/D",
        "-Wp,",
        "\t",
    ];
    prop::collection::vec(prop::sample::select(pieces.to_vec()), 0..24)
        .prop_map(|it| it.concat().into_bytes())
}

/// Not a word of a shape, so that a match in the output proves a leak.
fn secret() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9_+~.%^*!?-]{3,30}Q7"
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 4 } else { ProptestConfig::default().cases }, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_is_idempotent_and_bounded(input in hostile()) {
        for rule in [text, key_line, cut_end] {
            let once = rule(&input).into_owned();
            prop_assert_eq!(rule(&once).into_owned(), once.clone(), "{}", String::from_utf8_lossy(&input));
            prop_assert!(once.len() <= input.len() * (REDACTED.len() + 1) + REDACTED.len());
        }
    }

    #[test]
    fn lines_are_idempotent(args in prop::collection::vec(hostile(), 0..6)) {
        for program in [Program::Go, Program::GoTool, Program::Other] {
            let args = args.iter().map(|it| ByteString::from(it.as_slice())).collect();
            let once = argv(program, args);
            prop_assert_eq!(argv(program, once.clone()), once);
        }
    }

    #[test]
    fn a_planted_secret_never_survives(secret in secret(), before in "[a-z =]{0,8}", after in "[a-z -]{0,8}") {
        let shapes = [
            format!("{before} -X main.t={secret} {after}"),
            format!("{before} -X=main.t={secret} {after}"),
            format!("{before} -X 'main.t={secret} {secret}' {after}"),
            format!("{before} '-X=main.t={secret} {secret}' {after}"),
            format!("{before} \"-X main.t={secret} -s\" {after}"),
            format!("linkflags [\"-X\" \"main.t={secret} {secret}\" \"{after}\"]"),
            format!("linkflags [\"-X=main.t={secret} {secret}\" \"{after}\"]"),
            format!("modinfo \"build\\t-ldflags=\\\"-X main.t={secret} -s\\\"\\n\""),
            format!("modinfo \"build\\t-ldflags=-X=main.t={secret}\\n\""),
            format!("{before} https://user:{secret}@example.com/{after}"),
            format!("{before} https://{secret}@example.com/{after}"),
            format!("{before} DB_PASSWORD={secret} {after}"),
            format!("{before} API_KEY='{secret} {secret}' {after}"),
            format!("{before} --token={secret} {after}"),
            format!("{before} -H 'Authorization: Bearer {secret}' {after}"),
            format!("{before} {{\"secret\": \"{secret}\"}} {after}"),
            format!("{before} ghp_0123456789abcdefghij{}", secret.replace(|it: char| !it.is_ascii_alphanumeric(), "")),
        ];
        for shape in shapes {
            for rule in [text, key_line] {
                let out = String::from_utf8_lossy(&rule(shape.as_bytes())).into_owned();
                prop_assert!(!out.contains("Q7"), "{shape} gave {out}");
            }
            let argument = [ByteString::from("sh"), "-c".into(), shape.clone().into()].to_vec();
            prop_assert!(!argv(Program::Other, argument).iter().any(|it| it.to_str().contains("Q7")));
        }
        let lines = [
            [format!("-X=main.t={secret} {secret}"), String::new()],
            ["-X".to_owned(), format!("main.t={secret} {secret}")],
            [format!("-ldflags=-X main.t={secret}"), String::new()],
            ["-ldflags".to_owned(), format!("-s -X 'main.t={secret} {secret}'")],
            [format!("--password={secret} {secret}"), String::new()],
            [format!("MY_TOKEN={secret};{secret}"), String::new()],
        ];
        for line in lines {
            for program in [Program::Go, Program::GoTool, Program::Other] {
                let args = [&["x".to_owned()][..], &line].concat().into_iter().map(ByteString::from).collect();
                prop_assert!(!argv(program, args).iter().any(|it| it.to_str().contains("Q7")), "{line:?}");
            }
        }
    }
}

/// 64 KiB of text that makes each rule search far ahead: seconds unoptimised, and hours if the work were quadratic.
#[test]
#[cfg_attr(miri, ignore = "a measure of work, too slow under an interpreter")]
fn hostile_text_costs_linear_work() {
    for piece in [
        "a://b:c",
        "eyJ-",
        "\\",
        "'",
        "key=",
        "-X ",
        "-X=a",
        "token=",
        "-----BEGIN ",
        "\"'",
        "a:// ",
        "-X=a=' ",
    ] {
        let input = piece.repeat((64 << 10) / piece.len());
        let once = text(input.as_bytes()).into_owned();
        assert_eq!(text(&once), once, "{piece}");
    }
}
