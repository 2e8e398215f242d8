//! The kernel programs alone: the level of detail changes while probes are attached, and a full ring counts its losses.
#![cfg(test)]

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tests::{Module, Toolchain, toolchain, toolchains};
use tracer_abi::{Kind, Tally, level};
use tracer_core::decode::Decoder;
use tracer_core::event::{Event, Point};
use tracer_user::bpf::{Config, Ring, Tracer};
use tracer_user::driver::page_size;
use tracer_user::inspect::open_program;
use tracer_user::toolchain::{self as tools, Candidate, Probes};

/// A tracer of this process, with probes on one toolchain.
struct Traced {
    tracer: Tracer,
    ring: Ring,
    probes: Probes,
    /// Both tests run in this process, and each would also trace the other's builds.
    _alone: MutexGuard<'static, ()>,
}

static ALONE: Mutex<()> = Mutex::new(());

impl Traced {
    fn start(config: Config, toolchain: &Toolchain) -> Self {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut tracer, ring) = Tracer::load(&config, &tools::table()).unwrap();
        let mut probes = Probes::new();
        for path in [
            toolchain.go.clone(),
            toolchain.tool("compile"),
            toolchain.tool("link"),
        ] {
            let file = open_program(&path).unwrap();
            let tool = Candidate::examine(file, &path).unwrap();
            let tool = probes.probe(&mut tracer, tool);
            assert_eq!(tool.refused, [], "{}", path.display());
        }
        tracer.follow(std::process::id()).unwrap();
        Self {
            tracer,
            ring,
            probes,
            _alone: alone,
        }
    }

    /// Changes the level of detail; returns the number of tools with other probes than before.
    fn set_level(&mut self, level: u32) -> usize {
        let changed = self.probes.set_level(&mut self.tracer, level).unwrap();
        for tool in &changed {
            assert_eq!(tool.refused, []);
            assert_eq!(tool.attached.is_empty(), level == level::PROCESS);
        }
        changed.len()
    }

    /// Calls since the last query, by kind of the called function.
    fn calls(&mut self) -> BTreeMap<&'static str, usize> {
        let mut decoder = Decoder::new(tools::points().to_vec(), page_size());
        let mut calls = BTreeMap::new();
        self.ring.drain(|record| {
            if let Event::Call(call) = decoder.decode(record) {
                *calls.entry(kind(&call.point)).or_default() += 1;
            }
        });
        calls
    }

    fn tally(&self, kind: Kind) -> Tally {
        let tallies = self.tracer.tallies().unwrap();
        let found = tallies.into_iter().find(|(it, _)| *it == kind);
        found.unwrap().1
    }
}

fn kind(point: &Point) -> &'static str {
    match point {
        Point::SpanStart { .. } | Point::SpanDone => "span",
        Point::Install { .. } | Point::MoveOrCopy { .. } => "install",
        Point::CompilePhase { .. } | Point::LinkPhase { .. } => "phase",
        Point::GcStart { .. } | Point::GcEnd { .. } => "gc",
        Point::KeyOpen { .. } | Point::KeyWrite { .. } | Point::KeySum { .. } => "key",
        Point::Fatal { .. } => "fatal",
    }
}

/// Compiles and links one package, which differs each time.
fn relink(module: &Module, toolchain: &Toolchain, n: usize) {
    let main = format!("package main\n\nfunc main() {{ println({n}) }}\n");
    module.write("main.go", &main);
    let mut go = module.sandbox.go(toolchain);
    go.args(["build", "-o", "out", "."])
        .current_dir(module.dir());
    let output = go.output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn the_level_of_detail_can_change_while_probes_are_attached() {
    let toolchain = toolchain("1.27");
    let module = Module::copy("wasm");
    module.sandbox.make_warm(&toolchain);
    let config = Config {
        detail: level::PROCESS,
        ..Config::default()
    };
    let mut traced = Traced::start(config, &toolchain);
    let levels = [
        level::PROCESS,
        level::CACHE_KEY,
        level::PHASE,
        level::PROCESS,
        level::CACHE_KEY,
    ];
    // Only the `go` command has probes for cache keys.
    let n_changed = [0, 3, 1, 3, 3];
    for (n, (detail, n_changed)) in levels.into_iter().zip(n_changed).enumerate() {
        assert_eq!(traced.set_level(detail), n_changed, "level {detail}");
        relink(&module, &toolchain, n);
        let calls = traced.calls();
        let has = |kind: &str| calls.contains_key(kind);
        let is_phase = detail >= level::PHASE;
        for kind in ["span", "install", "phase"] {
            assert_eq!(has(kind), is_phase, "{kind} at level {detail}: {calls:?}");
        }
        assert_eq!(has("key"), detail >= level::CACHE_KEY, "{calls:?}");
    }
    assert_eq!(traced.tally(Kind::CALL).lost, 0);
}

#[test]
fn spans_are_probed_at_the_calls_that_matter() {
    for toolchain in toolchains() {
        let file = File::open(&toolchain.go).unwrap();
        let identity = tools::identify(&file).unwrap();
        let resolved = tools::resolve(&file, &identity);
        let version = &toolchain.version;
        assert_eq!(resolved.refused, [], "{version}");
        let sites = |name: &str| {
            let probe = resolved.probes.iter().find(|it| it.name == name).unwrap();
            probe.sites.len()
        };
        // 19 to 20 functions start spans, apart from the two that load packages. Each has one end.
        assert!(sites("span_start") > 10, "{version}");
        assert_eq!(sites("span_start"), sites("span_done"), "{version}");
        assert_eq!(sites("install"), 1, "{version}");
    }
}

#[test]
fn a_full_ring_harms_no_build_and_counts_every_loss() {
    let toolchain = toolchain("1.27");
    let module = Module::copy("wasm");
    module.sandbox.make_warm(&toolchain);
    let config = Config {
        ring_bytes: 1 << 16,
        detail: level::CACHE_KEY,
    };
    let mut traced = Traced::start(config, &toolchain);
    // Nothing reads the ring during the build.
    relink(&module, &toolchain, 0);
    let received: usize = traced.calls().values().sum();
    let Tally { seen, lost } = traced.tally(Kind::CALL);
    assert!(
        lost > 0 && received > 0,
        "{received} of {seen}, {lost} lost"
    );
    assert_eq!(seen, lost + received as u64);
    // With room in the ring, no further record is lost.
    traced.set_level(level::PROCESS);
    let before = traced.tally(Kind::EXEC);
    assert!(
        std::process::Command::new("true")
            .status()
            .unwrap()
            .success()
    );
    let after = traced.tally(Kind::EXEC);
    assert_eq!((after.seen, after.lost), (before.seen + 1, before.lost));
}
