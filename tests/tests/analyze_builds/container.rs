//! Files of several parts: fat Mach-O files and archives.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tests::{Module, run_gotrace, targets_cache, toolchain};

use crate::harness::{NO_ENV, analyze, build};

/// Makes a fat file as `lipo -create` does: a table in big-endian order, then each thin file on a page boundary.
fn fat(slices: &[(u32, u32, Vec<u8>)]) -> Vec<u8> {
    const PAGE_BITS: u32 = 14;
    let mut table: Vec<u32> = vec![0xcafe_babe, u32::try_from(slices.len()).unwrap()];
    let mut content = Vec::new();
    for (machine, variant, bytes) in slices {
        let offset = (content.len() + 1).next_multiple_of(1 << PAGE_BITS);
        let offset = offset.max(1 << PAGE_BITS);
        content.resize(offset, 0);
        content.extend(bytes);
        let number = |it: usize| u32::try_from(it).unwrap();
        table.extend([
            *machine,
            *variant,
            number(offset),
            number(bytes.len()),
            PAGE_BITS,
        ]);
    }
    for (at, word) in table.iter().enumerate() {
        content[4 * at..4 * at + 4].copy_from_slice(&word.to_be_bytes());
    }
    content
}

#[test]
fn the_slices_of_a_fat_file_equal_the_thin_files() {
    const X86_64: (u32, u32) = (0x0100_0007, 3);
    const ARM64: (u32, u32) = (0x0100_000c, 0);
    let (module, toolchain) = (Module::copy("tiny"), toolchain("1.27"));
    let cache = targets_cache(&toolchain);
    let thin = [("amd64", X86_64), ("arm64", ARM64)].map(|(arch, machine)| {
        let env = [
            ("GOOS", "darwin"),
            ("GOARCH", arch),
            ("CGO_ENABLED", "0"),
            ("GOCACHE", cache.to_str().unwrap()),
        ];
        let file = build(&module, &toolchain, &env, &["-trimpath"]);
        (arch, machine, analyze(&file), fs::read(&file).unwrap())
    });
    let slices = thin.each_ref();
    let slices =
        slices.map(|(_, (machine, variant), _, bytes)| (*machine, *variant, bytes.clone()));
    let file = module.sandbox.out().join("fat");
    fs::write(&file, fat(&slices)).unwrap();
    let both = analyze(&file);
    assert_eq!(both["identity"]["kind"], "fat_mach_o");
    let members = both["members"].as_array().unwrap();
    for (at, (arch, _, alone, bytes)) in thin.iter().enumerate() {
        assert_eq!(members[at]["name"], *arch);
        assert_eq!(members[at]["bytes"], bytes.len());
        // Its buckets equal those of the thin file, except for their names.
        let of = |analysis: &Value, label: &str| -> Vec<(String, String, u64)> {
            let rows = analysis["buckets"].as_array().unwrap().iter();
            let mut rows: Vec<_> = rows
                .filter(|row| row["frame"] == "section")
                .filter_map(|row| {
                    let name = row["name"].as_str()?.strip_prefix(label)?;
                    Some((
                        name.to_owned(),
                        row["content"].to_string(),
                        row["bytes"].as_u64()?,
                    ))
                })
                .collect();
            rows.sort();
            rows
        };
        let (inside, outside) = (of(&both, &format!("{arch}:")), of(alone, ""));
        assert!(outside.len() > 10, "{outside:?}");
        assert_eq!(inside, outside, "{arch}");
    }
    let functions = |analysis: &Value| analysis["counts"]["functions"].as_u64().unwrap();
    assert_eq!(
        functions(&both),
        thin.iter().map(|it| functions(&it.2)).sum::<u64>()
    );
}

fn grown(package: &str) -> String {
    let text = "grows by this much".repeat(2000);
    format!("package {package}\n\nvar text = \"{text}\"\n\nfunc init() {{ println(text) }}\n")
}

/// Exit code, and the first line about a budget.
fn diff(before: &Path, after: &Path, budget: &str) -> (i32, String) {
    let words = [before.as_os_str(), after.as_os_str()];
    let words = ["diff".as_ref()].into_iter().chain(words);
    let words = words.chain(["--fail-on".as_ref(), budget.as_ref()]);
    let output = run_gotrace(words, NO_ENV);
    let text = String::from_utf8(output.stdout).unwrap();
    let printed = text.lines().find(|line| line.contains("over budget"));
    (
        output.status.code().unwrap(),
        printed.unwrap_or_default().to_owned(),
    )
}

#[test]
fn an_archive_that_grows_breaks_its_budget() {
    let toolchain = toolchain("1.27");
    let check =
        |name: &str, package: &str, member: &str, build: &dyn Fn(&Module, &str) -> PathBuf| {
            let module = Module::copy(name);
            module.sandbox.make_warm(&toolchain);
            let before = build(&module, "before.a");
            module.write("grown.go", &grown(package));
            let after = build(&module, "after.a");
            assert_eq!(
                diff(&before, &after, "archive +10MB"),
                (0, String::new()),
                "{name}"
            );
            let (code, printed) = diff(&before, &after, "archive +10KB");
            assert_eq!(code, 1, "{name}: {printed}");
            assert!(
                printed.contains(&format!("over budget archive +10KB: {member} grew by")),
                "{name}: {printed}"
            );
            let (code, _) = diff(&before, &after, &format!("archive {member} +10KB"));
            assert_eq!(code, 1, "{name}");
            let (code, _) = diff(&before, &before, "archive +0");
            assert_eq!(code, 0, "{name}");
        };
    check("cshared", "main", "go.o", &|module, out| {
        let out = module.sandbox.out().join(out);
        let words = [
            "build",
            "-buildmode=c-archive",
            "-o",
            out.to_str().unwrap(),
            ".",
        ];
        let built = module
            .go(&toolchain, &words)
            .env("CGO_ENABLED", "1")
            .status();
        assert!(built.unwrap().success());
        out
    });
    // The archive that the compiler writes for a package, as in the build cache.
    check("tiny/dep", "dep", "_go_.o", &|module, out| {
        let out = module.sandbox.out().join(out);
        module.run_go(&toolchain, &["build", "-o", out.to_str().unwrap(), "."]);
        out
    });
}
