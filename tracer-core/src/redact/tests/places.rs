//! Secrets at their usual positions: macros, signed addresses, free text, flags of known commands, longer words.

use super::super::*;
use super::{check, line, redacted};

/// Secrets whose form does not reveal them; `§` stands for each.
const SECRETS: [&str; 2] = ["CcPassWord9911", "hunter2Zx81Qq"];

fn assert_removed(shapes: &[&str]) {
    for shape in shapes {
        for secret in SECRETS {
            let input = shape.replace('§', secret);
            let once = redacted(&input);
            assert!(!once.contains(secret), "{input} gave {once}");
            assert_eq!(redacted(&once), once, "{input}");
            let key = String::from_utf8_lossy(&key_line(input.as_bytes())).into_owned();
            assert!(!key.contains(secret), "{input} gave {key} as a key's line");
            for name in ["CC", "CGO_CFLAGS", "GOFLAGS", "PKG_CONFIG"] {
                let kept = variable(name.as_bytes(), input.as_bytes());
                assert!(!kept.to_str().contains(secret), "{name}={input}");
            }
            for program in [Program::Go, Program::GoTool, Program::Other] {
                let args = line(program, &["x", &input]);
                assert!(!args.iter().any(|it| it.contains(secret)), "{args:?}");
            }
        }
    }
}

fn assert_removed_from(program: Program, lines: &[&[&str]]) {
    for args in lines {
        for secret in SECRETS {
            let args: Vec<_> = args.iter().map(|it| it.replace('§', secret)).collect();
            let args: Vec<_> = args.iter().map(String::as_str).collect();
            let once = line(program, &args);
            assert!(!once.iter().any(|it| it.contains(secret)), "{once:?}");
            let again: Vec<_> = once.iter().map(String::as_str).collect();
            assert_eq!(line(program, &again), once);
        }
    }
}

fn assert_unchanged(texts: &[&str]) {
    for text in texts {
        assert_eq!(redacted(text), *text);
        assert_eq!(line(Program::Other, &["x", text]), ["x", text]);
    }
}

#[test]
fn values_of_macros_are_taken_out() {
    check("gcc -DPASSWORD=§");
    check("gcc -DPASSWORD=§ -O2");
    check("-O2 -D DB_PASSWORD=§ -g");
    check(
        "-DPASSWORD='§ and more' -g"
            .replace(" and more", "")
            .as_str(),
    );
    check(r#"-DPASSWORD="§" -g"#);
    check(r#"-DPASSWORD=\"§\" -g"#);
    check("cl /DPASSWORD=§ /O2");
    check("-Wp,-DPASSWORD=§,-DNDEBUG -g");
    assert_removed(&[
        "-DPASSWORD=§",
        "gcc -DGREETING=§",
        "gcc -D GREETING=§ -g",
        "gcc -DGREETING=\"§ with blanks\" -g",
        "gcc '-DGREETING=\"a §\"' -g",
        "gcc \"-DAPI_KEY=a §\" -g",
        "gcc -D'PASSWORD=a §' -g",
        "gcc -D\"PASSWORD=a §\" -g",
        "gcc -DPASSWORD=a\\ § -g",
        "gcc -DPASSWORD=\"a\"§ -g",
        "gcc -DPASSWORD(x)=§",
        "cmake -DPASSWORD:STRING=§",
        "gcc -Wp,-DPASSWORD=§ -g",
        "gcc -Wp,-DA=1,-DPASSWORD=§ -g",
        "gcc -Xpreprocessor -DPASSWORD=§",
        "gcc --define PASSWORD=§",
        "gcc --define=PASSWORD=§",
        "gcc --define-macro=GREETING=§",
        "gcc -DMYPASSWORD=§ -DMyPassWord=§ -DPGPASSWD=§ -DSECRETVALUE=§",
        "gcc -DSTRIPE_KEY_LIVE=§ -DAUTHKEY=§ -DTOKEN2=§",
        "-gccgoflags=-DPASSWORD=§",
        "-gccgoflags='-DPASSWORD=§ -g'",
        "-asmflags=all=-DPASSWORD=§",
        "-ldflags=-extldflags=-Wl,--defsym,PASSWORD=§",
        "-Wl,--defsym=PASSWORD=§",
        "-Wl,-z,now,--defsym,DBPASSWORD=§",
        "CGO_CFLAGS=[\"-O2\" \"-DPASSWORD=§\"]",
        "CGO_CFLAGS=[\"-O2\" \"-DPASSWORD=\\\"§ x\\\"\"]",
        "pkg-config --define-variable=token=§",
        "PASSWORD=§ gcc",
    ]);
    assert_removed_from(
        Program::Other,
        &[
            &["gcc", "-D", "PASSWORD=a §"],
            &["gcc", "-D", "GREETING=a § 1"],
            &["gcc", "-DPASSWORD=a §"],
            &["gcc", "-DPASSWORD=\"a §\""],
            &["gcc", "--define=PASSWORD=a §"],
            &["gcc", "--define", "PASSWORD=a §"],
            &["gcc", "-Wp,-DPASSWORD=a §"],
            &["gcc", "-Xpreprocessor", "-DPASSWORD=a §"],
            &["cl", "/D", "PASSWORD=a §"],
        ],
    );
    assert_unchanged(&[
        "gcc -DNDEBUG -D_GNU_SOURCE -D_FORTIFY_SOURCE=2 -DSQLITE_THREADSAFE=1",
        "gcc -DVERSION=\"1.22.333.4444\" -DPREFIX=/usr/local/lib/something",
        "gcc -D_REENTRANT -DSTDC=c99 -Dinline=__inline -DARCH=x86_64 -DX=",
        "gcc -DUSE_TOKEN=1 -DHAVE_PASSWORD=0 -DWITH_SECRET=true",
        "gcc -DEXPORT=__attribute__((visibility(\"default\")))",
        "gcc -U_FORTIFY_SOURCE -UPASSWORD",
        "asm -D GOOS_linux -D GOARCH_amd64",
        "-Wl,-rpath,/opt/x -Wl,--defsym,start=0x1000",
        "cmake -DCMAKE_BUILD_TYPE=Release",
    ]);
}

#[test]
fn signatures_of_addresses_are_taken_out() {
    check("-L/opt/x -Wl,-rpath,/p?sig=§");
    check("https://h/x?sv=2020-08-04&se=2026-01-01&sig=§&sp=r");
    for name in [
        "sig",
        "signature",
        "Signature",
        "X-Amz-Signature",
        "X-Amz-Credential",
        "X-Amz-Security-Token",
        "X-Goog-Signature",
        "X-Goog-Credential",
        "GoogleAccessId",
        "AWSAccessKeyId",
        "Policy",
        "Key-Pair-Id",
        "access_token",
        "id_token",
        "token",
        "code",
        "jwt",
        "hmac",
        "sas",
        "key",
        "api_key",
        "apikey",
        "auth",
        "pwd",
    ] {
        check(&format!("https://h/x?a=1&{name}=§&page=2"));
        check(&format!("/p?{name}=§"));
        check(&format!("/p?a=1&amp;{name}=§"));
        check(&format!("/p?a=1\\u0026{name}=§"));
        assert_removed(&[
            &format!("https://h/x?a=1&{name}=§"),
            &format!("\"https://h/x?{name}=§\""),
            &format!("https%3A%2F%2Fh%2Fx%3Fa%3D1%26{name}%3D§%26b%3D1"),
            &format!("https%3A%2F%2Fh%2Fx%3F{name}%3D§"),
            &format!("https%253A%252F%252Fh%252Fx%2526{name}%253D§"),
            &format!("https://h/x\\u003f{name}\\u003d§\\u0026b\\u003d1"),
            &format!("-Wl,-rpath,/p?{name}=§,-z,now"),
        ]);
    }
    assert_removed(&[
        "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=§==;EndpointSuffix=x",
        "Endpoint=sb://h/;SharedAccessKeyName=n;SharedAccessKey=§=",
        "BlobEndpoint=https://h/;SharedAccessSignature=sv=2020&sig=§",
        "SharedAccessSignature sr=h&sig=§&se=1",
        "Server=h;Uid=u;Pwd=§;",
        "https://h/cb#access_token=§",
    ]);
    assert_unchanged(&[
        "https://h/x?page=2&sort=name&sv=2020-08-04",
        "https://h/x?tokenizer=fast",
        "-Wl,-rpath,/opt/sig/x",
    ]);
}

#[test]
fn words_around_a_password_mark_it() {
    check("password: §");
    check("password:§");
    check("the password is §");
    check("passphrase was § then");
    check("x Bearer § y");
    check("machine h login me password §");
    check("x sshpass -p § ssh h");
    check("sshpass -p§ ssh h");
    check("docker login -u me -p § h");
    check("cd x && docker login -p '§' h");
    check("mysql -u me -p§ db");
    check("redis-cli -a § get x");
    check("curl -u me:§ https://h");
    check("curl --user me:§ https://h");
    check("curl --user=me:§ https://h");
    check("openssl rsa -passin pass:§ -in x");
    check("token = \"§\"");
    check("password := §");
    check("db_password = §");
    assert_removed(&[
        "passwd=§",
        "pwd=§",
        "pass=§",
        "--pass=§",
        "dbPassword=§",
        "MyPassWord=§",
        "MYPASSWORD2=§",
        "{\"password\":\"§\"}",
        "{\\\"password\\\":\\\"§\\\"}",
        "{\"db\":{\"passPhrase\": \"§\"}}",
        "password: '§'",
        "db:\n  password: §\n  x: 1",
        "Authorization: Bearer §",
        "authorization: Basic §",
        "Basic dXNlcjo§",
        "curl -H \"PRIVATE-TOKEN: §\"",
        "curl -H 'X-Api-Key:§'",
        "printf 'machine h\\nlogin u password §' > .netrc",
        "\\npassword=§",
        "a\\ttoken=§",
        "accesstoken=§",
        "keytool -storepass § -keypass §",
    ]);
    assert_removed_from(
        Program::Other,
        &[
            &["sshpass", "-p", "§", "ssh"],
            &["sshpass", "-p§", "ssh"],
            &["/usr/bin/sshpass", "-p", "§"],
            &["docker", "login", "-u", "me", "-p", "§", "h"],
            &["docker", "login", "-p=§"],
            &["helm", "registry", "login", "-p", "§"],
            &["mysqldump", "-p§", "db"],
            &["curl", "-ume:§", "h"],
            &["curl", "--user=me:§", "h"],
            &["sh", "-c", "sshpass -p § ssh h"],
            &["keytool", "-storepass", "§"],
        ],
    );
    assert_unchanged(&[
        "PasswordFile=/etc/x",
        "passwordfile=/etc/x",
        "--password-file /etc/x",
        "docker run -p 80:80 x",
        "mkdir -p login/x",
        "PASS: TestX",
        "pass=3",
        "PWD=/home/u",
        "pwd=/home/u",
        "Basic usage",
        "curl -u",
        "go test -p 4 -run Login",
        "import \"cloud.google.com/go/secretmanager/apiv1\"",
        "/go/src/go/token/position.go",
        "golang.org/x/oauth2/jwt",
    ]);
    let args = ["mkdir", "-p", "a/b"];
    assert_eq!(line(Program::Other, &args), args);
    let args = ["go", "test", "-p", "4"];
    assert_eq!(line(Program::Go, &args), args);
    let args = ["compile", "-p", "login", "-D", "_/x", "-pack"];
    assert_eq!(line(Program::GoTool, &args), args);
}

/// Published prefixes of keys.
const PREFIXES: &[&str] = &[
    "rk_live_",
    "sk_test_",
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "ghr_",
    "github_pat_",
    "glpat-",
    "glptt-",
    "gldt-",
    "glrt-",
    "glcbt-",
    "xoxa-",
    "xoxb-",
    "xoxe-",
    "xoxp-",
    "xoxr-",
    "xoxs-",
    "xapp-1-",
    "ya29.",
    "npm_",
    "pypi-AgE",
    "dop_v1_",
    "doo_v1_",
    "dor_v1_",
    "hf_",
    "sk-ant-",
    "sk-proj-",
    "sk-",
    "SG.",
    "shpat_",
    "shpss_",
    "sq0csp-",
    "hvs.",
    "s.",
    "dckr_pat_",
    "PMAK-",
    "lin_api_",
    "NRAK-A1B2C3D4E5F6G7H8",
    "dt0c01.",
    "figd_",
    "sntrys_",
    "fo1_",
];

#[test]
fn keys_inside_longer_words_are_taken_out() {
    const LONG: &str = "A1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q7";
    const HEX: &str = "0a1b2c3d4e5f60718293a4b5c6d7e8f901234567";
    let keys = [
        "sk_live_51HxAbCdEfGhIj".to_owned(),
        "AKIAIOSFODNN7EXAMPLE".to_owned(),
        "AIzaSyA1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q".to_owned(),
        "AGE-SECRET-KEY-1QQQQ2345QQQQ2345QQQQ2345".to_owned(),
        format!("hooks.slack.com/services/T0AB/B0CD/{LONG}"),
        format!("eyJ{LONG}.eyJ{LONG}.{LONG}"),
        format!("dapi{}", &HEX[..32]),
    ];
    let keys = keys
        .into_iter()
        .chain(PREFIXES.iter().map(|it| format!("{it}{LONG}")));
    for key in keys {
        for (before, after) in [
            ("", ""),
            ("apikey_", ""),
            ("a-", ".txt"),
            ("'", "'"),
            ("x%3D", "%26y"),
            ("x\\u003d", "\\u0026y"),
            ("\\n", "\\n"),
            ("out/", "/x"),
            ("a.", ",b"),
        ] {
            let input = format!("{before}{key}{after}");
            let once = redacted(&input);
            assert!(!once.contains(&key[key.len() - 6..]), "{input} gave {once}");
            assert_eq!(redacted(&once), once);
            let once = String::from_utf8_lossy(&name(input.as_bytes())).into_owned();
            assert!(!once.contains(&key[key.len() - 6..]), "{input} gave {once}");
        }
    }
    for glued in [
        "xghp_A1b2C3d4E5f6G7h8I9j0",
        "xsk_live_51HxAbCdEfGhIj",
        "keyAKIAIOSFODNN7EXAMPLE",
    ] {
        assert!(redacted(glued).len() <= 13, "{glued}");
    }
    assert_eq!(redacted("PuTTY-User-Key-File-3: ssh-rsa\nabc\n"), REDACTED);
    assert_unchanged(&[
        "task_sk_live_test.go",
        "benchmark_test_environment",
        "network_live_streaming",
        "highs_andlowsandmore",
        "sk-learn-something-long-name",
        "internal/npm_config_registry_name",
        "h1:Zm9vYmFyMTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODk=",
        "s.someMethodOfALongName",
        "half_done_with_everything",
        "TRN4qGXfSr8x1s-76RHu/4u-1xyzdLyw7saR9HcX7",
        "eyJust.a.name",
    ]);
}

#[test]
#[cfg_attr(miri, ignore = "a measure of work, too slow under an interpreter")]
fn work_stays_linear() {
    for piece in [
        "-DA=",
        "-D",
        "/DA=b ",
        "-p ",
        "login -p",
        "glsa_",
        "sk-",
        "s.",
        "LTAI",
        "token = ",
        "Bearer ",
        "password is ",
        "%3D",
        "%26sig%3D",
        "\\u0026sig",
        "-Wp,-DA=",
        "a:=",
        "user -u a:",
        "-D'A=",
        "Basic A1",
        "password ",
        "eyJA.eyJ",
        "-D\\\"",
        "-DA(",
        "-DA()=",
        "\t",
    ] {
        let input = piece.repeat((8 << 10) / piece.len());
        let once = text(input.as_bytes()).into_owned();
        assert_eq!(text(&once), once, "{piece}");
    }
}
