//! Stories of builds: a build, a change, a second build, and the sentences that explain it.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tests::Module;
use tracer_core::hex::hex;

use crate::{Build, PLAIN, Story, id_of_graph, nothing, with};

/// A story without a change.
const STORY: Story = Story {
    name: "",
    prepare: nothing,
    first: PLAIN,
    change: nothing,
    second: PLAIN,
    expected: &[],
    n_modules: 0,
};

/// Stories for each release.
pub(super) const EACH: [Story; 3] = [
    Story {
        name: "a file of the lowest package",
        first: PLAIN,
        change: |it| it.append("leaf/leaf.go", "\n// More is new.\nconst More = 1\n"),
        second: PLAIN,
        expected: &["leaf.go changed in example.com/layers/leaf"],
        ..STORY
    },
    Story {
        name: "a value that the linker writes",
        first: with(&["-ldflags=-X main.word=one"]),
        change: nothing,
        second: with(&["-ldflags=-X main.word=two"]),
        expected: &["-ldflags: -X main.word changed"],
        ..STORY
    },
    Story {
        name: "flags of the compiler",
        first: PLAIN,
        change: nothing,
        second: with(&["-gcflags=example.com/layers/...=-N"]),
        expected: &["-gcflags: [] [] → [] [\"-N\"]"],
        ..STORY
    },
];

/// Further stories.
pub(super) const MORE: [Story; 19] = [
    Story {
        name: "a tag after the names of 190 modules",
        first: PLAIN,
        change: nothing,
        second: with(&["-tags=special"]),
        expected: &[
            "tagged.go added in example.com/layers/leaf",
            "-tags added: special",
        ],
        n_modules: 190,
        ..STORY
    },
    Story {
        name: "an embedded file",
        first: PLAIN,
        change: |it| it.write("top/word.txt", "another\n"),
        second: PLAIN,
        expected: &["word.txt changed in example.com/layers/top"],
        ..STORY
    },
    Story {
        name: "a new file",
        first: PLAIN,
        change: |it| {
            it.write(
                "middle/new.go",
                "package middle\n\n// New is new.\nconst New = 1\n",
            );
        },
        second: PLAIN,
        expected: &["new.go added in example.com/layers/middle"],
        ..STORY
    },
    Story {
        name: "a tag that selects a file",
        first: PLAIN,
        change: nothing,
        second: with(&["-tags=special"]),
        expected: &[
            "tagged.go added in example.com/layers/leaf",
            "-tags added: special",
        ],
        ..STORY
    },
    Story {
        name: "GOFLAGS",
        first: PLAIN,
        change: nothing,
        second: Build {
            env: &[("GOFLAGS", "-trimpath")],
            ..PLAIN
        },
        // Without the flag, the standard library came from the cache.
        expected: &["-trimpath added", "the history has no earlier key"],
        ..STORY
    },
    Story {
        name: "a value that the linker did not write before",
        first: PLAIN,
        change: nothing,
        second: with(&["-ldflags=-X main.word=new"]),
        expected: &["-ldflags: -X main.word added"],
        ..STORY
    },
    Story {
        name: "flags of the linker",
        first: PLAIN,
        change: nothing,
        second: with(&["-ldflags=-s -w"]),
        expected: &["-ldflags added: -s -w"],
        ..STORY
    },
    Story {
        name: "the language of go.mod",
        first: PLAIN,
        change: |it| it.write("go.mod", "module example.com/layers\n\ngo 1.20\n"),
        second: PLAIN,
        expected: &["go line of go.mod: 1.19 → 1.20"],
        ..STORY
    },
    Story {
        name: "a removed program",
        first: PLAIN,
        change: |it| fs::remove_file(it.dir().join("out")).unwrap(),
        second: PLAIN,
        expected: &["same inputs as in an earlier"],
        ..STORY
    },
    Story {
        name: "a file and a flag at once",
        first: PLAIN,
        change: |it| {
            let file = it.dir().join("leaf/leaf.go");
            let text = fs::read_to_string(&file).unwrap();
            fs::write(&file, text.replace("\"leaf\"", "\"a longer leaf\"")).unwrap();
        },
        second: with(&["-gcflags=example.com/layers/...=-N"]),
        expected: &[
            "-gcflags: [] [] → [] [\"-N\"]",
            "leaf.go changed; -gcflags: [] [] → [] [\"-N\"] in example.com/layers/leaf",
        ],
        ..STORY
    },
    Story {
        name: "two changed packages",
        first: PLAIN,
        change: |it| {
            it.append("leaf/leaf.go", "\n// More is new.\nconst More = 1\n");
            it.write("top/word.txt", "another\n");
        },
        second: PLAIN,
        expected: &[
            "leaf.go changed in example.com/layers/leaf",
            "word.txt changed in example.com/layers/top",
        ],
        ..STORY
    },
    Story {
        name: "a trimmed entry of the build cache",
        change: |it| {
            fs::remove_file(it.dir().join("out")).unwrap();
            let id = id_of_graph(it, "build", "example.com/layers/leaf");
            let id = hex(&URL_SAFE_NO_PAD.decode(id).unwrap());
            let entries = fs::read_dir(it.sandbox.gocache().join(&id[..2])).unwrap();
            let paths = entries.map(|it| it.unwrap().path());
            let is_own = |it: &std::path::PathBuf| {
                let name = it.file_name().unwrap().to_string_lossy();
                name.starts_with(&id) && name.ends_with("-a")
            };
            let own: Vec<_> = paths.filter(is_own).collect();
            let [entry] = &own[..] else { panic!("{own:?}") };
            fs::remove_file(entry).unwrap();
        },
        expected: &[
            "same inputs as in an earlier build, but not in the build cache",
            "same inputs as in an earlier link: Go does not cache linked programs",
        ],
        ..STORY
    },
    Story {
        name: "a C header in the directory of the package",
        prepare: import_c,
        change: |it| it.write("native/native.h", "#define ANSWER 42\n"),
        expected: &["native.h changed in example.com/layers/native"],
        ..STORY
    },
    Story {
        name: "a C header in another directory, which is no input for Go",
        prepare: import_c,
        change: |it| it.write("include/outer.h", "#define OUTER 42\n"),
        ..STORY
    },
    Story {
        name: "CGO_CFLAGS",
        prepare: import_c,
        second: Build {
            env: &[("CGO_CFLAGS", "-O1")],
            ..PLAIN
        },
        // Without the variable, runtime/cgo came from the cache.
        expected: &[
            "CC and C flags: ",
            "CGO_CFLAGS: (empty) → -O1",
            "the history has no earlier key",
        ],
        ..STORY
    },
    Story {
        name: "go env -w GOFLAGS",
        change: |it| {
            let dir = it.sandbox.home().join(".config/go");
            fs::create_dir_all(&dir).unwrap();
            fs::write(dir.join("env"), "GOFLAGS=-tags=special\n").unwrap();
        },
        expected: &[
            "tagged.go added in example.com/layers/leaf",
            "-tags added: special",
        ],
        ..STORY
    },
    Story {
        name: "another directory",
        change: copy_below,
        second: Build {
            dir: "below",
            ..PLAIN
        },
        expected: &["/layers → /"],
        ..STORY
    },
    Story {
        name: "another directory with -trimpath",
        first: with(&["-trimpath"]),
        change: copy_below,
        second: Build {
            dir: "below",
            ..with(&["-trimpath"])
        },
        expected: &["same inputs as in an earlier link: Go does not cache linked programs"],
        ..STORY
    },
    Story {
        name: "-cover",
        second: with(&["-cover"]),
        // The program contains more packages of Go, some of which came from the cache.
        expected: &[
            "-cover added",
            "the history has no earlier key",
            "the new content came from the build cache",
        ],
        ..STORY
    },
];

/// Adds a package with C code and two headers, one of them outside of the package.
fn import_c(module: &Module) {
    module.write("native/native.h", "#define ANSWER 41\n");
    module.write("include/outer.h", "#define OUTER 41\n");
    let package = "package native\n\n// #cgo CFLAGS: -I${SRCDIR}/../include\n// #include \"native.h\"\n\
                   // #include \"outer.h\"\n// static int sum(void) { return ANSWER + OUTER; }\nimport \"C\"\n\n\
                   // Sum is the sum of C.\nfunc Sum() int { return int(C.sum()) }\n";
    module.write("native/native.go", package);
    let import = "package main\n\nimport \"example.com/layers/native\"\n\nvar sum = native.Sum()\n";
    module.write("native.go", import);
}

/// Copies the module into a directory of its own.
fn copy_below(module: &Module) {
    let files = [
        "go.mod",
        "main.go",
        "leaf/leaf.go",
        "middle/middle.go",
        "top/top.go",
        "top/word.txt",
    ];
    for file in files {
        let text = fs::read_to_string(module.dir().join(file)).unwrap();
        module.write(&format!("below/{file}"), &text);
    }
}
