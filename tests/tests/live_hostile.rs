//! Hostile process trees, and tools that change during the build. The trace is correct, or reports its gaps.
#![cfg(test)]

use std::fs::{self, File};
use std::io::BufReader;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use tests::{Module, Toolchain, toolchain};
use tracer_core::byte_string::ByteString;
use tracer_core::event::{Captured, Event, Exec};
use tracer_core::model::{Anomaly, CallKind};
use tracer_core::recording::Reader;

/// Records the actions of a Python script; returns its events.
fn record(script: &str) -> Vec<Event> {
    let module = Module::copy("wasm");
    let file = module.sandbox.out().join("events");
    module.write("hostile.py", script);
    let output = module
        .gotrace(&toolchain("1.27"), &["record", "--strict", "-o"])
        .arg(&file)
        .args(["--", "python3", "hostile.py"])
        .output()
        .expect("gotrace runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let file = File::open(file).expect("a recording");
    Reader::open(BufReader::new(file))
        .expect("a recording")
        .collect()
}

fn execs(events: &[Event]) -> Vec<&Exec> {
    events.iter().filter_map(exec).collect()
}

fn exec(event: &Event) -> Option<&Exec> {
    match event {
        Event::Exec(exec) => Some(exec),
        Event::Fork(_)
        | Event::Exit(_)
        | Event::Reaped(_)
        | Event::Rename(_)
        | Event::Call(_)
        | Event::Lineage(_)
        | Event::Tool(_)
        | Event::Settings(_)
        | Event::ResponseFile(_)
        | Event::Inspected(_)
        | Event::CheckedOut(_)
        | Event::BuildInfo(_)
        | Event::Lost(_)
        | Event::Unreadable(_) => None,
    }
}

#[test]
fn ten_thousand_forks_are_all_counted() {
    let events = record(
        "import os\nfor i in range(10000):\n    pid = os.fork()\n    if pid == 0: os._exit(0)\n    os.waitpid(pid, 0)\n",
    );
    let forks = events
        .iter()
        .filter(|it| matches!(it, Event::Fork(_)))
        .count();
    let exits = events
        .iter()
        .filter(|it| matches!(it, Event::Exit(_)))
        .count();
    let lost: u64 = events
        .iter()
        .map(|it| {
            if let Event::Lost(lost) = it {
                lost.n
            } else {
                0
            }
        })
        .sum();
    assert!(forks as u64 + lost >= 10_000, "{forks} forks, {lost} lost");
    assert_eq!(exits, forks + 1, "each ends, the script too; {lost} lost");
}

#[test]
fn empty_huge_and_non_text_arguments_are_reported_unchanged() {
    let events = record(
        r#"
import ctypes, os, shutil, subprocess
libc = ctypes.CDLL(None)
if os.fork() == 0:
    libc.execve(b"/bin/true", (ctypes.c_char_p * 1)(None), (ctypes.c_char_p * 1)(None))
    os._exit(1)
os.wait()
subprocess.run(["/bin/true"] + ["x" * 100_000] * 18, env={}, check=True)
name = b"./caf\xe9"
shutil.copy("/bin/true", name)
subprocess.run([name, b"\xff\xfe"], check=True)
"#,
    );
    let execs = execs(&events);
    let empty = execs.iter().any(|it| {
        it.argv
            .get()
            .is_some_and(|argv| argv.iter().all(ByteString::is_empty))
    });
    assert!(empty, "an empty argv");
    let huge = execs.iter().find_map(|it| match &it.argv {
        Captured::Cut { kept, total } => Some((kept.len(), *total)),
        Captured::Whole(_) | Captured::Missing => None,
    });
    let (kept, total) = huge.expect("a cut argv");
    assert!(
        kept >= 2 && total > 1_800_000,
        "{kept} arguments of {total} bytes"
    );
    let odd = execs.iter().find(|it| {
        it.exe
            .get()
            .is_some_and(|it| it.as_bytes().ends_with(b"/caf\xe9"))
    });
    let odd = odd.expect("a program whose name is no UTF-8");
    let argument = odd
        .argv
        .get()
        .and_then(|it| it.get(1))
        .map(|it| it.as_bytes().to_vec());
    assert_eq!(argument, Some(b"\xff\xfe".to_vec()));
}

#[test]
fn an_exec_from_a_thread_is_the_same_process() {
    let events = record(
        "import os, threading\nthreading.Thread(target=lambda: os.execv('/bin/true', ['true', 'threaded'])).start()\n",
    );
    let execs = execs(&events);
    let last = execs.last().expect("an exec");
    assert_eq!(
        last.argv
            .get()
            .and_then(|it| it.get(1))
            .map(ToString::to_string)
            .as_deref(),
        Some("threaded")
    );
    let first = execs.first().expect("an exec");
    assert_eq!(first.process, last.process, "tgid and birth stay");
    let exits = events
        .iter()
        .filter(|it| matches!(it, Event::Exit(exit) if exit.process == last.process))
        .count();
    assert_eq!(exits, 1);
}

/// A GOROOT with replaceable tools: copies of the programs, links to the rest.
fn own_goroot(toolchain: &Toolchain, at: &Path) -> PathBuf {
    let tools = toolchain.tool("compile");
    let tools = tools.parent().expect("a directory of tools");
    let own_tools = at.join(
        tools
            .strip_prefix(&toolchain.goroot)
            .expect("tools lie in GOROOT"),
    );
    fs::create_dir_all(&own_tools).expect("a directory");
    fs::create_dir_all(at.join("bin")).expect("a directory");
    fs::copy(&toolchain.go, at.join("bin/go")).expect("a copy");
    for tool in fs::read_dir(tools)
        .expect("tools")
        .map(|it| it.expect("a tool"))
    {
        fs::copy(tool.path(), own_tools.join(tool.file_name())).expect("a copy");
    }
    for name in ["src", "lib", "VERSION", "go.env", "pkg/include"] {
        symlink(toolchain.goroot.join(name), at.join(name)).expect("a link");
    }
    own_tools
}

#[test]
fn tools_replaced_during_a_build_do_not_break_it_and_the_trace_reports_gaps() {
    let original = toolchain("1.24");
    let module = Module::copy("wasm");
    let goroot = module.sandbox.path().join("goroot");
    let tools = own_goroot(&original, &goroot);
    let own = Toolchain {
        goroot: goroot.clone(),
        go: goroot.join("bin/go"),
        ..original
    };
    // While the build runs, its compiler is replaced repeatedly by rename, as an installer does. In between, a copy is deleted
    // once.
    let script = format!(
        "go build -o hello . & pid=$!\nwhile kill -0 $pid 2>/dev/null; do\n  cp {t}/compile {t}/new && mv {t}/new {t}/compile\n  cp {t}/link {t}/new && mv {t}/new {t}/link\ndone\nwait $pid\n",
        t = tools.display()
    );
    let traced = module.trace(&own, &["sh", "-c", &script]);
    traced.assert_success();
    assert!(module.dir().join("hello").exists());
    let build = traced.named("build");
    assert!(
        build.outputs.iter().any(|it| it.artifact.is_some()),
        "{:?}",
        build.outputs
    );
    let compiles: Vec<_> = build
        .calls
        .iter()
        .filter(|it| it.kind == CallKind::Compile && !it.is_query)
        .collect();
    assert!(compiles.len() > 10, "{} compilations", compiles.len());
    for call in compiles {
        let is_told = build.anomalies.iter().any(|it| match it {
            Anomaly::ProbesLate { process, .. }
            | Anomaly::ProbesChanged { process, .. }
            | Anomaly::PhasesUnseen { process, .. }
            | Anomaly::ToolUnknown { process, .. } => *process == call.process,
            Anomaly::ProbesRefused { .. } => true,
            Anomaly::Lost { .. }
            | Anomaly::Unreadable { .. }
            | Anomaly::StartUnseen { .. }
            | Anomaly::EndUnseen { .. }
            | Anomaly::Reused { .. }
            | Anomaly::Cut { .. }
            | Anomaly::SpanUnpaired { .. }
            | Anomaly::InstallUnseen { .. } => false,
        });
        let is_whole =
            call.phases.last().is_some_and(|it| it.name == "be:dumpobj") && call.phases.len() >= 7;
        assert!(
            is_whole || is_told,
            "{:?}: {} phases and no reported gap",
            call.package,
            call.phases.len()
        );
    }
}
