//! Links while probes are attached to the linker and detached again. If gotrace is killed, the kernel detaches the probes at any
//! moment.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use tests::figures::{print_figure, size};
use tests::{Module, Toolchain, gotrace_command, toolchain};

/// The linker command of a module's program, as `go` would run it.
struct Link {
    program: PathBuf,
    config: PathBuf,
    main: PathBuf,
}

impl Link {
    fn of(module: &Module, toolchain: &Toolchain) -> Self {
        let form = "{{.ImportPath}} {{.Export}}";
        let args = ["list", "-export", "-deps", "-f", form, "."];
        let listed = module.run_go(toolchain, &args);
        let listed = String::from_utf8(listed.stdout).unwrap();
        let (mut config, mut main) = (String::new(), PathBuf::new());
        for line in listed.lines() {
            let (package, archive) = line.split_once(' ').unwrap();
            if archive.is_empty() {
                continue;
            }
            if package == "example.com/tiny" {
                main = archive.into();
            } else {
                writeln!(config, "packagefile {package}={archive}").unwrap();
            }
        }
        let link = Self {
            program: toolchain.tool("link"),
            config: module.sandbox.out().join("importcfg"),
            main,
        };
        fs::write(&link.config, config).unwrap();
        link
    }

    /// Runs the link; returns its exit status.
    fn run(&self, output: &Path) -> std::process::ExitStatus {
        let mut link = Command::new(&self.program);
        link.arg("-o").arg(output).arg("-importcfg");
        link.arg(&self.config).args(["-buildmode=exe"]);
        link.arg(&self.main);
        link.env_clear().stderr(Stdio::null()).status().unwrap()
    }
}

#[test]
fn outputs_do_not_change_while_gotrace_starts_and_is_killed() {
    const THREADS: usize = 2;
    let _alone = crate::alone();
    let each = size(30, 250);
    let toolchain = toolchain("1.26");
    let module = module_for_links(&toolchain);
    let link = Link::of(&module, &toolchain);
    let out = module.sandbox.out();
    let plain = out.join("plain");
    assert!(link.run(&plain).success());
    let expected = fs::read(&plain).unwrap();
    let has_ended = AtomicBool::new(false);
    let (cycles, ends) = thread::scope(|scope| {
        let attacher = scope.spawn(|| {
            let mut cycles: u64 = 0;
            while !has_ended.load(Ordering::Relaxed) {
                let mut gotrace = gotrace_command(module.sandbox.env(&toolchain))
                    .args(["run", "--quiet", "--detail", "cache-key", "--"])
                    .args(["sleep", "3"])
                    .spawn()
                    .unwrap();
                // Covers the time from before the first probe to long after the last.
                thread::sleep(Duration::from_millis(97 * (cycles % 11)));
                gotrace.kill().unwrap();
                gotrace.wait().unwrap();
                cycles += 1;
            }
            cycles
        });
        let linkers: Vec<_> = (0..THREADS)
            .map(|n| {
                let (link, expected, out) = (&link, &expected, out.join(format!("traced{n}")));
                scope.spawn(move || {
                    let mut ends = BTreeMap::new();
                    for _ in 0..each {
                        let status = link.run(&out);
                        let end = if !status.success() {
                            format!("ended by {:?} {:?}", status.signal(), status.code())
                        } else if fs::read(&out).unwrap() == *expected {
                            "same".to_owned()
                        } else {
                            "another output".to_owned()
                        };
                        *ends.entry(end).or_insert(0) += 1;
                    }
                    ends
                })
            })
            .collect();
        let mut ends: BTreeMap<String, usize> = BTreeMap::new();
        for linker in linkers {
            for (end, n) in linker.join().unwrap() {
                *ends.entry(end).or_default() += n;
            }
        }
        has_ended.store(true, Ordering::Relaxed);
        (attacher.join().unwrap(), ends)
    });
    let same = ends.get("same").copied().unwrap_or_default();
    let all = THREADS * each;
    print_figure(
        "gotrace attached and killed during links",
        format!("{all} links, {cycles} cycles"),
        format!("{same} outputs identical; {} others", all - same),
    );
    assert_eq!(same, all, "{ends:?}");
    assert!(cycles > 2, "{cycles} cycles");
}

/// Its packages get into the cache, including the main package.
fn module_for_links(toolchain: &Toolchain) -> Module {
    let module = crate::module(toolchain);
    module.run_go(toolchain, &["build", "-o", "/dev/null", "."]);
    module
}
