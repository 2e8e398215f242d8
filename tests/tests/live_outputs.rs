//! Every way in which Go installs a result, on every toolchain, compared with the files on disk.
#![cfg(test)]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use tests::traced::paths;
use tests::{Module, Traced, targets_cache, toolchains, with_each_toolchain};
use tracer_core::model::{FailureClass, Installed, Output};

/// The outputs of the only build, each checked against its file.
fn outputs(traced: &Traced) -> Vec<Output> {
    traced.assert_success().assert_complete();
    let outputs = traced.build().outputs.clone();
    for output in &outputs {
        match output.how {
            Installed::Temporary | Installed::FromCache => assert_eq!(output.artifact, None),
            Installed::Renamed
            | Installed::Copied
            | Installed::UpToDate
            | Installed::Direct
            | Installed::Announced => assert_is_as_on_disk(output),
        }
    }
    outputs
}

fn assert_is_as_on_disk(output: &Output) {
    let path = output.path.to_string();
    let artifact = output.artifact.as_ref();
    let artifact = artifact.unwrap_or_else(|| panic!("{path} was not read: {:?}", output.unread));
    let on_disk = fs::metadata(&path).unwrap_or_else(|error| panic!("no {path}: {error}"));
    assert_eq!(artifact.size, on_disk.len(), "size of {path}");
    let sum = Command::new("sha256sum")
        .arg(&path)
        .output()
        .expect("sha256sum runs");
    let sum = String::from_utf8_lossy(&sum.stdout).into_owned();
    assert_eq!(
        Some(artifact.sha256.as_str()),
        sum.split_whitespace().next(),
        "{path}"
    );
}

/// The only output of the only build.
fn one(traced: &Traced, path: &Path, how: Installed) -> Output {
    let outputs = outputs(traced);
    assert_eq!(paths(&outputs), [path.to_string_lossy()]);
    assert_eq!(outputs[0].how, how);
    outputs[0].clone()
}

#[test]
fn a_named_output_is_renamed_into_place_and_then_up_to_date() {
    with_each_toolchain("tiny", |toolchain, module| {
        let path = module.sandbox.out().join("tiny");
        let command = ["go", "build", "-o", path.to_str().unwrap(), "."];
        let output = one(
            &module.trace(toolchain, &command),
            &path,
            Installed::Renamed,
        );
        assert_eq!(output.package, Some("example.com/tiny".into()));
        let artifact = output.artifact.expect("an artifact");
        assert_eq!(artifact.main_package.as_deref(), Some("example.com/tiny"));
        assert_eq!(artifact.main_module.as_deref(), Some("example.com/tiny"));
        assert_eq!(
            artifact.go_version.as_deref(),
            Some(format!("go{}", toolchain.version).as_str())
        );

        let again = module.trace(toolchain, &command);
        one(&again, &path, Installed::UpToDate);
        assert!(
            again.build().calls.iter().all(|it| it.is_query),
            "an up-to-date build ran tools"
        );
    });
}

#[test]
fn an_output_with_a_default_name_is_in_the_working_directory() {
    with_each_toolchain("tiny", |toolchain, module| {
        let traced = module.trace(toolchain, &["go", "build"]);
        one(&traced, &module.dir().join("tiny"), Installed::Renamed);
    });
}

#[test]
fn several_main_packages_are_built_into_a_directory() {
    with_each_toolchain("cmds", |toolchain, module| {
        let dir = module.sandbox.out().join("bin/");
        let command = ["go", "build", "-o", &format!("{}/", dir.display()), "./..."];
        let traced = module.trace(toolchain, &command);
        let outputs = outputs(&traced);
        let expected: Vec<String> = ["one", "three", "two"]
            .map(|it| dir.join(it).to_string_lossy().replace("//", "/"))
            .into();
        assert_eq!(paths(&outputs), expected);
        assert!(
            outputs
                .iter()
                .all(|it| it.how == Installed::Renamed && it.package.is_some())
        );
    });
}

#[test]
fn install_puts_commands_into_gopath() {
    with_each_toolchain("cmds", |toolchain, module| {
        let traced = module.trace(toolchain, &["go", "install", "./cmd/one", "./cmd/two"]);
        let bin = module.sandbox.gopath().join("bin");
        let expected =
            [bin.join("one"), bin.join("two")].map(|it| it.to_string_lossy().into_owned());
        assert_eq!(paths(&outputs(&traced)), expected);
        assert_eq!(traced.build().command.name, "install");
    });
}

#[test]
fn an_output_on_another_file_system_is_copied() {
    with_each_toolchain("tiny", |toolchain, module| {
        let shm = tempfile::tempdir_in("/dev/shm").expect("a directory on another file system");
        let path = shm.path().join("tiny");
        let traced = module.trace(
            toolchain,
            &["go", "build", "-o", path.to_str().unwrap(), "."],
        );
        one(&traced, &path, Installed::Copied);
    });
}

#[test]
fn an_output_in_a_setgid_directory_is_copied() {
    with_each_toolchain("tiny", |toolchain, module| {
        let dir = module.sandbox.out().join("shared");
        fs::create_dir(&dir).expect("a directory");
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o2775)).expect("setgid");
        let path = dir.join("tiny");
        let traced = module.trace(
            toolchain,
            &["go", "build", "-o", path.to_str().unwrap(), "."],
        );
        one(&traced, &path, Installed::Copied);
    });
}

#[test]
fn a_requested_test_binary_is_an_output() {
    with_each_toolchain("cmds", |toolchain, module| {
        let traced = module.trace(toolchain, &["go", "test", "-c", "./lib"]);
        one(&traced, &module.dir().join("lib.test"), Installed::Renamed);
    });
}

#[test]
fn the_flag_that_changes_the_directory_is_respected() {
    with_each_toolchain("tiny", |toolchain, module| {
        let parent = module.dir().parent().unwrap().to_str().unwrap().to_owned();
        let script = format!("cd {parent} && go build -C tiny -o ./relative .");
        let traced = module.trace(toolchain, &["sh", "-c", &script]);
        if toolchain.minor() < 20 {
            // Go 1.20 introduced -C, so Go 1.19 refuses the flag.
            let failure = traced.build().failure.as_ref().map(|it| it.class);
            assert_eq!(failure, Some(FailureClass::Unknown));
            return;
        }
        one(&traced, &module.dir().join("relative"), Installed::Renamed);
        assert_eq!(
            traced.build().dir,
            Some(module.dir().to_str().unwrap().into())
        );
    });
}

#[test]
fn two_dots_after_a_link_resolve_as_in_the_kernel() {
    let toolchain = toolchains().pop().expect("a toolchain");
    let module = Module::copy("tiny");
    let deep = module.sandbox.out().join("far/deep");
    fs::create_dir_all(&deep).unwrap();
    symlink(&deep, module.dir().join("link")).unwrap();
    // A decoy at the path that text processing alone gives.
    fs::write(module.dir().join("x"), "other").unwrap();
    let path = module.dir().join("link/../x");
    let built = ["go", "build", "-o", "link/../x", "."];
    one(&module.trace(&toolchain, &built), &path, Installed::Renamed);
    assert!(deep.parent().unwrap().join("x").exists());

    fs::write(deep.join("go.mod"), "module example.com/deep\n").unwrap();
    fs::write(deep.join("main.go"), "package main\nfunc main() {}\n").unwrap();
    let changed = ["go", "build", "-C", "link", "-o", "../x", "."];
    let output = one(
        &module.trace(&toolchain, &changed),
        &path,
        Installed::Renamed,
    );
    assert_eq!(output.package, Some("example.com/deep".into()));
}

#[test]
fn a_discarded_result_is_no_output() {
    with_each_toolchain("cmds", |toolchain, module| {
        let traced = module.trace(
            toolchain,
            &["sh", "-c", "go build -o /dev/stdout ./cmd/one > /dev/null"],
        );
        assert_eq!(outputs(&traced), []);
        let traced = module.trace(toolchain, &["go", "build", "./..."]);
        assert_eq!(outputs(&traced), []);
        let traced = module.trace(toolchain, &["go", "build", "-o", "/dev/null", "./cmd/one"]);
        assert_eq!(outputs(&traced), []);
    });
}

#[test]
fn a_library_is_an_output_if_the_command_names_it() {
    with_each_toolchain("cmds", |toolchain, module| {
        let path = module.sandbox.out().join("lib.a");
        let command = ["go", "build", "-o", path.to_str().unwrap(), "./lib"];
        let fresh = outputs(&module.trace(toolchain, &command));
        assert_eq!(paths(&fresh), [path.to_string_lossy()]);
        fs::remove_file(&path).expect("the output exists");
        // The second build takes the library from the build cache, and never renames the cached file.
        let cached = outputs(&module.trace(toolchain, &command));
        assert_eq!(paths(&cached), [path.to_string_lossy()]);
        assert_eq!(cached[0].how, Installed::Copied);
    });
}

#[test]
fn go_run_leaves_no_output_and_uses_the_cache_since_1_24() {
    with_each_toolchain("tiny", |toolchain, module| {
        let command = ["go", "run", "."];
        let first = outputs(&module.trace(toolchain, &command));
        assert_eq!(
            first.iter().map(|it| it.how).collect::<Vec<_>>(),
            [Installed::Temporary]
        );
        let second = outputs(&module.trace(toolchain, &command));
        let expected = if toolchain.minor() >= 24 {
            Installed::FromCache
        } else {
            Installed::Temporary
        };
        assert_eq!(
            second.iter().map(|it| it.how).collect::<Vec<_>>(),
            [expected]
        );
    });
}

#[test]
fn a_library_for_c_includes_its_header() {
    with_each_toolchain("cshared", |toolchain, module| {
        let out = module.sandbox.out();
        for (mode, name) in [("c-shared", "libtwice.so"), ("c-archive", "libtwice.a")] {
            let path = out.join(name);
            let command = [
                "go",
                "build",
                "-buildmode",
                mode,
                "-o",
                path.to_str().unwrap(),
                ".",
            ];
            let traced = module.trace(toolchain, &command);
            let mut expected =
                [path.clone(), out.join("libtwice.h")].map(|it| it.to_string_lossy().into_owned());
            expected.sort();
            assert_eq!(paths(&outputs(&traced)), expected, "{mode}");
        }
    });
}

#[test]
fn a_plugin_is_an_output() {
    with_each_toolchain("plugin", |toolchain, module| {
        let traced = module.trace(toolchain, &["go", "build", "-buildmode=plugin"]);
        let outputs = outputs(&traced);
        assert_eq!(
            paths(&outputs),
            [module.dir().join("plugin.so").to_string_lossy()]
        );
    });
}

#[test]
fn outputs_for_other_systems_have_their_file_names() {
    with_each_toolchain("wasm", |toolchain, module| {
        let cache = targets_cache(toolchain);
        let cache = cache.to_str().unwrap();
        for (os, arch, name) in [("js", "wasm", "wasm"), ("windows", "amd64", "wasm.exe")] {
            let traced = module.trace_with(
                toolchain,
                &[("GOOS", os), ("GOARCH", arch), ("GOCACHE", cache)],
                &["go", "build"],
            );
            one(&traced, &module.dir().join(name), Installed::Renamed);
            let target = &traced.build().toolchain;
            assert_eq!(
                (target.goos.as_deref(), target.goarch.as_deref()),
                (Some(os), Some(arch))
            );
        }
    });
}
