//! Two containers on one image through overlayfs: one file below appears as two above. After a change, three files exist.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tests::agent::Agent;
use tests::figures::{print_figure, size};
use tests::{Gate, Toolchain, toolchain};

use crate::verdict::Verdict;
use crate::{Builds, CopiedToolchain};

const PATIENCE: Duration = Duration::from_mins(2);

/// A private layer over a shared directory, in its own mount namespace. Removed when dropped.
struct Container(Child);

const MOUNT: &str = r#"
set -eu
mkdir -p "$1/upper" "$1/work"
mount -t overlay overlay -o "lowerdir=$2,upperdir=$1/upper,workdir=$1/work" "$3"
echo ready
read line
"#;

impl Container {
    /// Mounts the content of `lower` at `merged`.
    fn start(layer: &Path, lower: &Path, merged: &Path) -> Self {
        let mut holder = Command::new("unshare")
            .args(["--mount", "--propagation", "private"])
            .args(["sh", "-c", MOUNT, "container"])
            .args([layer, lower, merged])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let stdout = holder.stdout.as_mut().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        Self(holder)
    }

    /// Prepares the same command in the container.
    fn command(&self, outside: &Command) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--mount=/proc/{}/ns/mnt", self.0.id()));
        if let Some(dir) = outside.get_current_dir() {
            command.arg(format!("--wdns={}", dir.display()));
        }
        command.arg("--").arg(outside.get_program());
        command.args(outside.get_args()).env_clear();
        for (name, value) in outside.get_envs() {
            command.env(name, value.unwrap_or_default());
        }
        command
    }

    fn sh(&self, script: &str) {
        let mut sh = Command::new("sh");
        sh.args(["-ec", script]);
        let done = self.command(&sh).env("PATH", "/usr/bin:/bin").output();
        let done = done.unwrap();
        assert!(done.status.success(), "{script}: {done:?}");
    }

    fn build(&self, builds: &mut Builds, toolchain: &Toolchain) {
        let output = builds.next_by(toolchain, |go| self.command(go).output().unwrap());
        assert!(output.status.success(), "{output:?}");
        builds.assert_runs();
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // Its mounts end with it.
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// A toolchain that two containers share, and the builds in each.
struct Image {
    version: Toolchain,
    /// The toolchain's path in both containers.
    own: Toolchain,
    builds: [Builds; 2],
    /// Directory of all files.
    place: PathBuf,
    lower: PathBuf,
    /// Removed when dropped.
    _copied: CopiedToolchain,
}

impl Image {
    fn new() -> Self {
        let version = toolchain("1.25");
        let builds = [Builds::new(&[&version]), Builds::new(&[&version])];
        let place = builds[0].module.sandbox.path().to_owned();
        let (lower, merged) = (place.join("lower"), place.join("merged"));
        fs::create_dir_all(&merged).unwrap();
        Self {
            own: Toolchain {
                go: merged.join("bin/go"),
                goroot: merged,
                version: version.version.clone(),
            },
            _copied: CopiedToolchain::new(&version, lower.clone()),
            version,
            builds,
            place,
            lower,
        }
    }

    /// Starts two containers on the image, with layers of this name.
    fn containers(&self, name: &str) -> [Container; 2] {
        ["one", "other"].map(|which| {
            let layer = self.place.join(format!("{which}-{name}"));
            Container::start(&layer, &self.lower, &self.own.goroot)
        })
    }
}

/// Changes to the tools in one of the containers.
const CHANGES: [(&str, &str); 4] = [
    ("changed in mode", "chmod 700 $dir/*; chmod 755 $dir/*"),
    ("opened for writing", "for it in $dir/*; do : >> $it; done"),
    (
        "overwritten",
        "for it in $dir/*; do cat $it > $it.new; cat $it.new > $it; rm $it.new; done",
    ),
    (
        "replaced by rename",
        "for it in $dir/*; do cp $it $it.new; mv $it.new $it; done",
    ),
];

/// A shared lower file is probed once for each container that shows it, and only one container's probes trace a process. The kernel
/// chooses which, so each of the two containers changes its own copy once.
#[test]
fn a_build_is_complete_although_another_containers_probes_are_detached() {
    let _alone = crate::alone();
    let agent = Agent::start();
    let mut image = Image::new();
    for (changed, kept) in [(0, 1), (1, 0)] {
        let containers = image.containers(&changed.to_string());
        let Image {
            own, builds, place, ..
        } = &mut image;
        // Both containers run each tool from here. A tool that ends too soon is probed at a later run.
        let tools = [own.go.clone(), own.tool("compile"), own.tool("link")];
        for (n_showing, (container, builds)) in (1..).zip(containers.iter().zip(&mut *builds)) {
            let since = Instant::now();
            while !tools.iter().all(|it| n_probed(&agent, it) == n_showing) {
                assert!(since.elapsed() < PATIENCE, "a tool is not probed");
                container.build(builds, own);
                builds.seen_by(&agent);
            }
        }
        let builds = &mut builds[kept];
        let gate = Gate::new(place, &format!("gate-{changed}"));
        let args = ["build", &gate.flag(), "-o", "program", "."];
        builds.change();
        let go = builds.module.go(own, &args);
        let mut child = containers[kept].command(&go).spawn().unwrap();
        gate.wait();
        containers[changed].sh(&format!("chmod 700 {}", own.go.display()));
        let since = Instant::now();
        while n_probed(&agent, &own.go) == 2 {
            assert!(since.elapsed() < PATIENCE, "its probes are not detached");
            thread::sleep(Duration::from_millis(50));
        }
        gate.open();
        assert!(child.wait().unwrap().success());
        builds.assert_runs();
        let all = builds.seen_by(&agent);
        let build = all.last().unwrap();
        assert!(build.anomalies.is_empty(), "{:#?}", build.anomalies);
        assert_eq!(build.outputs.len(), 1, "{:#?}", build.outputs);
    }
    agent.stop();
}

/// Number of files of this name that the agent holds open, which are the probed ones.
fn n_probed(agent: &Agent, path: &Path) -> usize {
    let files = fs::read_dir(format!("/proc/{}/fd", agent.pid())).unwrap();
    let held = files.filter_map(|it| fs::read_link(it.unwrap().path()).ok());
    held.filter(|it| it == path).count()
}

#[test]
fn two_containers_on_one_image_have_exact_phases_before_and_after_copy_up() {
    let _alone = crate::alone();
    let agent = Agent::start();
    let mut image = Image::new();
    let tools: PathBuf = image.own.tool("compile").parent().unwrap().to_owned();
    let rounds = size(1, 4);
    for round in 0..rounds {
        let containers = image.containers(&round.to_string());
        let Image { own, builds, .. } = &mut image;
        let own = &*own;
        let mut turn = || {
            thread::scope(|scope| {
                for (container, builds) in containers.iter().zip(&mut *builds) {
                    scope.spawn(move || container.build(builds, own));
                }
            });
        };
        turn();
        turn();
        for (_, change) in CHANGES {
            let dir = tools.display();
            containers[0].sh(&format!("dir={dir}; {change}"));
            turn();
            turn();
        }
    }
    let mut all = Verdict::default();
    for builds in &image.builds {
        for build in builds.seen_by(&agent) {
            all.add(&build, image.version.minor());
        }
    }
    print_figure(
        "tools on two overlays of one layer, and copied up",
        format!(
            "{} changes, {} builds",
            rounds * CHANGES.len(),
            2 * image.builds[0].n
        ),
        format!(
            "0 tools crashed; calls exact {}, reported without phases {}, wrong {}",
            all.exact,
            all.reported,
            all.wrong.len()
        ),
    );
    all.assert_correct();
    agent.stop();
}
