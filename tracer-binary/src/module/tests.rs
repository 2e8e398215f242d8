use super::*;
use crate::artifact::identify;

fn module(path: &str) -> Module {
    Module {
        path: path.into(),
        version: "v1.0.0".into(),
        ..Module::default()
    }
}

#[test]
fn the_longest_module_that_holds_a_package_is_its_module() {
    let mut identity = identify(b"nothing");
    identity.main = Some(module("shop.example/app"));
    identity.deps = vec![module("a.example/x"), module("a.example/x/y")];
    let sources = Sources::default();
    let modules = Modules::of(&identity, &[], &sources);
    let check = |package: &str, group: Group, path: &str| {
        let found = modules.module_of(package);
        assert_eq!((found.group, found.module), (group, path), "{package}");
    };
    check("main", Group::Main, "shop.example/app");
    check(
        "shop.example/app/internal/db",
        Group::Main,
        "shop.example/app",
    );
    check(
        "shop.example/application",
        Group::Dependencies,
        "shop.example/application",
    );
    check("a.example/x/y/z", Group::Dependencies, "a.example/x/y");
    check("a.example/x", Group::Dependencies, "a.example/x");
    check("net/http", Group::Std, STD);
    check("vendor/golang.org/x/net/idna", Group::Std, STD);
    check(
        "gopkg.in/yaml.v3/sub",
        Group::Dependencies,
        "gopkg.in/yaml.v3",
    );
}

/// Each package of a file with its group and module. True if the module is a guess.
fn module_rows<'p>(
    identity: &Identity,
    packages: &[&'p str],
    sources: &Sources<'_>,
) -> Vec<(&'p str, Group, String, bool)> {
    let modules = Modules::of(identity, packages, sources);
    let found = packages.iter().map(|package| {
        let found = modules.module_of(package);
        (
            *package,
            found.group,
            found.module.to_owned(),
            found.is_guess,
        )
    });
    found.collect()
}

fn check(identity: &Identity, expected: &[(&str, Group, &str, bool)]) {
    check_in(identity, &[], expected);
}

/// The same for a file that states the directories of some packages.
fn check_in(
    identity: &Identity,
    directories: &[(&str, &str)],
    expected: &[(&str, Group, &str, bool)],
) {
    let directories = directories.iter().copied();
    let sources = Sources::of_directories(
        directories
            .map(|(package, directory)| (package.into(), directory.into()))
            .collect(),
    );
    let packages: Vec<_> = expected.iter().map(|(package, ..)| *package).collect();
    let expected: Vec<_> = expected
        .iter()
        .map(|&(package, group, module, is_guess)| (package, group, module.to_owned(), is_guess))
        .collect();
    assert_eq!(module_rows(identity, &packages, &sources), expected);
}

fn built_as(path: Option<&str>) -> Identity {
    Identity {
        path: path.map(str::to_owned),
        ..identify(b"nothing")
    }
}

#[test]
fn files_on_the_command_line_are_of_the_module_in_the_work_tree() {
    let mut identity = built_as(Some("command-line-arguments"));
    let tree = Module {
        version: DEVEL.into(),
        ..module("example.com/acme/app")
    };
    identity.deps = vec![tree.clone(), module("a.example/x")];
    check(
        &identity,
        &[
            ("main", Group::Main, "example.com/acme/app", false),
            (
                "example.com/acme/app/internal/q",
                Group::Main,
                "example.com/acme/app",
                false,
            ),
            ("a.example/x", Group::Dependencies, "a.example/x", false),
        ],
    );
    // Two trees are a workspace, and the files may be in either. A directory that replaces a module is not a tree.
    identity.deps.push(Module {
        path: "example.com/acme/lib".into(),
        ..tree.clone()
    });
    identity.deps.push(Module {
        replace: Some(Box::new(tree)),
        ..module("b.example/y")
    });
    check(
        &identity,
        &[
            ("main", Group::Main, "main", true),
            (
                "example.com/acme/app/q",
                Group::Main,
                "example.com/acme/app",
                false,
            ),
            (
                "example.com/acme/lib",
                Group::Main,
                "example.com/acme/lib",
                false,
            ),
            ("b.example/y", Group::Dependencies, "b.example/y", false),
        ],
    );
}

#[test]
fn without_a_module_line_internal_packages_prove_a_common_root() {
    check(
        &built_as(Some("example.com/acme/app/server")),
        &[
            ("main", Group::Main, "example.com/acme/app", true),
            (
                "example.com/acme/app/internal/q",
                Group::Main,
                "example.com/acme/app",
                true,
            ),
            (
                "example.com/acme/app/api",
                Group::Main,
                "example.com/acme/app",
                true,
            ),
            (
                "example.com/acme/other",
                Group::Dependencies,
                "example.com/acme/other",
                true,
            ),
            (
                "a.example/x/internal/y",
                Group::Dependencies,
                "a.example/x/internal",
                true,
            ),
            ("net/http", Group::Std, STD, false),
            ("internal/abi", Group::Std, STD, false),
        ],
    );
}

#[test]
fn a_vendor_directory_is_of_others_and_shows_whose_tree_it_is() {
    check(
        &built_as(Some("acme/app/tool")),
        &[
            ("main", Group::Main, "acme/app", true),
            ("acme/app/lib", Group::Main, "acme/app", true),
            (
                "acme/app/vendor/github.com/a/b/c",
                Group::Dependencies,
                "github.com/a/b",
                true,
            ),
            ("vendor/golang.org/x/net/idna", Group::Std, STD, false),
        ],
    );
    check(
        &built_as(Some("command-line-arguments")),
        &[
            ("main", Group::Main, "example.com/acme/app", true),
            (
                "example.com/acme/app/lib",
                Group::Main,
                "example.com/acme/app",
                true,
            ),
            (
                "example.com/acme/app/vendor/gopkg.in/yaml.v3/x",
                Group::Dependencies,
                "gopkg.in/yaml.v3",
                true,
            ),
            (
                "github.com/c/d",
                Group::Dependencies,
                "github.com/c/d",
                true,
            ),
        ],
    );
}

#[test]
fn the_host_defines_where_a_repository_begins() {
    check(
        &built_as(Some("github.com/acme/app/tools/cmd/x")),
        &[
            (
                "github.com/acme/app/lib",
                Group::Main,
                "github.com/acme/app",
                true,
            ),
            (
                "github.com/acme/internal/y",
                Group::Dependencies,
                "github.com/acme/internal",
                true,
            ),
        ],
    );
    check(
        &built_as(Some("k8s.io/kubernetes/cmd/kubelet")),
        &[
            (
                "k8s.io/kubernetes/pkg/api",
                Group::Main,
                "k8s.io/kubernetes",
                true,
            ),
            (
                "k8s.io/client-go/rest",
                Group::Dependencies,
                "k8s.io/client-go/rest",
                true,
            ),
        ],
    );
}

#[test]
fn one_root_is_taken_for_the_main_module_and_several_are_not() {
    check(
        &built_as(None),
        &[
            ("main", Group::Main, "example.com/acme/app", true),
            (
                "example.com/acme/app/internal/q",
                Group::Main,
                "example.com/acme/app",
                true,
            ),
            (
                "example.com/acme/app/lib",
                Group::Main,
                "example.com/acme/app",
                true,
            ),
            ("os", Group::Std, STD, false),
        ],
    );
    check(
        &built_as(None),
        &[
            ("main", Group::Main, "main", true),
            (
                "example.com/acme/app/lib",
                Group::Dependencies,
                "example.com/acme/app",
                true,
            ),
            (
                "github.com/a/b",
                Group::Dependencies,
                "github.com/a/b",
                true,
            ),
        ],
    );
}

#[test]
fn the_toolchain_is_one_module_with_what_it_vendors() {
    check(
        &built_as(Some("cmd/go")),
        &[
            ("main", Group::Main, "cmd", false),
            ("cmd/go/internal/work", Group::Main, "cmd", false),
            (
                "cmd/vendor/golang.org/x/mod/module",
                Group::Main,
                "cmd",
                false,
            ),
        ],
    );
}

#[test]
fn a_test_program_is_of_the_module_of_what_it_tests() {
    let mut identity = built_as(Some("example.com/app.test"));
    let rows = |is_guess| {
        [
            ("main", Group::Main, "example.com/app", is_guess),
            ("example.com/app", Group::Main, "example.com/app", is_guess),
            (
                "example.com/app_test",
                Group::Main,
                "example.com/app",
                is_guess,
            ),
            ("os_test", Group::Std, STD, false),
        ]
    };
    check(&identity, &rows(true));
    identity.main = Some(module("example.com/app"));
    check(&identity, &rows(false));
    // A command may have such a name.
    check(
        &built_as(Some("example.com/cmd/run.test")),
        &[("main", Group::Main, "example.com", true)],
    );
    check(
        &built_as(Some("command-line-arguments.test")),
        &[
            ("command-line-arguments", Group::Main, "main", true),
            ("command-line-arguments_test", Group::Main, "main", true),
        ],
    );
}

#[test]
fn a_plugin_of_files_and_local_packages_are_not_of_the_standard_library() {
    check(
        &built_as(Some("command-line-arguments")),
        &[("plugin/unnamed-d804b6a2cc89", Group::Main, "main", true)],
    );
    check(
        &built_as(Some("_/home/acme/x")),
        &[
            ("main", Group::Main, "_/home/acme/x", true),
            ("_/home/acme/x/sub", Group::Main, "_/home/acme/x", true),
            ("_/home/acme/y", Group::Dependencies, "_/home/acme/y", true),
        ],
    );
}

#[test]
fn files_of_the_main_package_show_its_tree() {
    let std = ("runtime", "/usr/lib/go/src/runtime");
    // GOPATH, with files on the command line.
    check_in(
        &built_as(Some("command-line-arguments")),
        &[
            std,
            ("main", "/go/src/acme/tool"),
            ("acme/tool/lib", "/go/src/acme/tool/lib"),
            ("acme/other", "/go/src/acme/other"),
            ("github.com/a/b", "/go/src/github.com/a/b"),
            ("os", "/usr/lib/go/src/os"),
        ],
        &[
            ("main", Group::Main, "acme/tool", true),
            ("acme/tool/lib", Group::Main, "acme/tool", true),
            ("acme/other", Group::Dependencies, "acme/other", true),
            (
                "github.com/a/b",
                Group::Dependencies,
                "github.com/a/b",
                true,
            ),
            ("os", Group::Std, STD, false),
        ],
    );
    // Bazel: directories below the workspace, others below `external`.
    check_in(
        &built_as(None),
        &[
            ("runtime", "GOROOT/src/runtime"),
            ("main", "cmd/tool"),
            ("example.com/acme/app/lib", "lib"),
            ("example.com/acme/app/x/y", "x/y"),
            ("github.com/a/b", "external/com_github_a_b"),
        ],
        &[
            ("main", Group::Main, "example.com/acme/app", true),
            (
                "example.com/acme/app/lib",
                Group::Main,
                "example.com/acme/app",
                true,
            ),
            (
                "github.com/a/b",
                Group::Dependencies,
                "github.com/a/b",
                true,
            ),
        ],
    );
    // The host of a repository defines the root, whatever the packages have in common.
    check_in(
        &built_as(None),
        &[
            std,
            ("main", "/src/cmd/tool"),
            ("github.com/acme/app/a/b", "/src/a/b"),
            ("github.com/acme/app/a/c", "/src/a/c"),
        ],
        &[(
            "github.com/acme/app/a/b",
            Group::Main,
            "github.com/acme/app",
            true,
        )],
    );
}

#[test]
fn a_main_package_alone_in_its_directory_is_of_no_known_module() {
    check_in(
        &built_as(Some("command-line-arguments")),
        &[
            ("runtime", "/usr/lib/go/src/runtime"),
            ("main", "/tmp/x"),
            ("example.com/lib", "/go/src/example.com/lib"),
        ],
        &[
            ("main", Group::Main, "main", true),
            (
                "example.com/lib",
                Group::Dependencies,
                "example.com/lib",
                true,
            ),
        ],
    );
    // The only other module is a stated dependency.
    let mut identity = built_as(Some("command-line-arguments"));
    identity.deps = vec![module("a.example/x")];
    check(
        &identity,
        &[
            ("main", Group::Main, "main", true),
            ("a.example/x/y", Group::Dependencies, "a.example/x", false),
        ],
    );
}
