//! What an installation consists of: from places, facts and files to steps, in the order that leaves a working service at every moment.
//! Touches nothing.

use std::path::{Path, PathBuf};

use super::SharedFile;
use super::layout::{Layout, UNIT};
use super::machine::AttachPrivilege;
use super::step::Step;
use crate::config::EXAMPLE;

/// The unit as a package has it, whose prefix is `/usr`.
const SERVICE: &str = include_str!("gotrace.service");
/// What the unit names.
const PACKAGED_PROGRAM: &str = "/usr/bin/gotrace";
const OLDER_KERNEL: &str = include_str!("older-kernel.conf");
const JOB_COMPLETED: &str = include_str!("job-completed.sh");
const SYSUSERS: &str = include_str!("sysusers.conf");

/// What the machine is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) has_systemd: bool,
    pub(super) privilege: AttachPrivilege,
}

/// What an installation is taken away from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Installation {
    pub(super) has_systemd: bool,
    pub(super) has_unit: bool,
    /// Directories of runners that have the hook.
    pub(super) runners: Vec<PathBuf>,
}

/// GitHub's runners, by their directories.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Runners {
    /// That were told before.
    pub(super) known: Vec<PathBuf>,
    /// That are to be told.
    pub(super) wanted: Vec<PathBuf>,
}

pub(super) fn install(
    layout: &Layout,
    facts: Facts,
    runners: &Runners,
    program: Vec<u8>,
    shared_files: Vec<SharedFile>,
) -> Vec<Step> {
    let write = |path, mode, content| Step::Write {
        path,
        mode,
        content,
        keep: false,
    };
    let mut steps = vec![write(layout.program(), 0o755, program)];
    steps.push(Step::WriteAll {
        dir: layout.shared(),
        shared_files,
    });
    steps.push(Step::Write {
        path: layout.config(),
        // It may hold passwords. The service reads it although it is not root: it may read everything.
        mode: 0o640,
        content: EXAMPLE.into(),
        keep: true,
    });
    steps.push(write(layout.sysusers(), 0o644, SYSUSERS.into()));
    let named = layout.program_path().display().to_string();
    let service = SERVICE.replace(PACKAGED_PROGRAM, &named);
    steps.push(write(layout.unit(), 0o644, service.into()));
    steps.push(attach_privilege(layout, facts.privilege));
    if facts.has_systemd {
        let sysusers = layout.sysusers();
        steps.push(Step::Run {
            program: "systemd-sysusers",
            args: vec![sysusers.into()],
        });
        steps.push(Step::run("systemctl", ["daemon-reload"]));
        steps.push(Step::run("systemctl", ["--quiet", "enable", UNIT]));
        // Also one that runs: it may be that of before. It leaves the builds under way to this one.
        steps.push(Step::Start);
    }
    steps.extend(hooks(layout, runners));
    steps
}

/// What a package cannot hold, since it depends on the machine. That it is started is the package's own matter.
pub(super) fn install_packaged(layout: &Layout, facts: Facts, runners: &Runners) -> Vec<Step> {
    let mut steps = vec![attach_privilege(layout, facts.privilege)];
    steps.extend(hooks(layout, runners));
    steps
}

/// What the service needs beyond its unit on this kernel.
fn attach_privilege(layout: &Layout, privilege: AttachPrivilege) -> Step {
    match privilege {
        AttachPrivilege::SysAdmin => Step::Write {
            path: layout.drop_in(),
            mode: 0o644,
            content: OLDER_KERNEL.into(),
            keep: false,
        },
        // Of an older kernel than the present one.
        AttachPrivilege::Least => Step::Remove(layout.drop_in()),
    }
}

/// Who is told is written down before: a runner whose script is gone fails every job.
fn hooks(layout: &Layout, runners: &Runners) -> Vec<Step> {
    let Runners { known, wanted } = runners;
    let mut all: Vec<&PathBuf> = known.iter().chain(wanted).collect();
    all.sort();
    all.dedup();
    if all.is_empty() {
        return Vec::new();
    }
    let named = layout.program_path().display().to_string();
    let mut list = String::new();
    for runner in all {
        list.push_str(&runner.to_string_lossy());
        list.push('\n');
    }
    let write = |path, mode, content: String| Step::Write {
        path,
        mode,
        content: content.into(),
        keep: false,
    };
    let script = JOB_COMPLETED.replace(PACKAGED_PROGRAM, &named);
    let mut steps = vec![
        write(layout.hook(), 0o755, script),
        write(layout.runners(), 0o644, list),
    ];
    steps.extend(wanted.iter().map(|runner| Step::Hook {
        runner: runner.clone(),
        script: layout.hook_path(),
    }));
    steps
}

pub(super) fn uninstall(
    layout: &Layout,
    found: &Installation,
    shared_files: &[SharedFile],
    purge: bool,
) -> Vec<Step> {
    let mut steps = unhook(layout, found);
    // systemd knows no unit whose file is gone.
    if found.has_systemd && found.has_unit {
        steps.push(Step::run(
            "systemctl",
            ["--quiet", "disable", "--now", UNIT],
        ));
    }
    // Of a service that was killed and did not come back.
    steps.push(Step::RemoveTree(layout.pinned()));
    steps.extend(without_drop_in(layout));
    steps.push(Step::Remove(layout.unit()));
    if found.has_systemd && found.has_unit {
        steps.push(Step::run("systemctl", ["daemon-reload"]));
    }
    steps.push(Step::Remove(layout.sysusers()));
    steps.push(Step::RemoveAll {
        dir: layout.shared(),
        paths: shared_files.iter().map(|it| it.path.clone()).collect(),
    });
    if purge {
        steps.push(Step::RemoveTree(layout.edited()));
        steps.push(Step::RemoveTree(layout.config_dir()));
        steps.push(Step::RemoveTree(layout.state_dir()));
        if found.has_systemd {
            steps.push(Step::RemoveUser("gotrace"));
        }
    }
    // Last: whoever is stopped before runs it again.
    steps.push(Step::Remove(layout.program()));
    steps
}

/// What [`install_packaged`] did; the rest goes with the package.
pub(super) fn uninstall_packaged(layout: &Layout, found: &Installation) -> Vec<Step> {
    let mut steps = unhook(layout, found);
    steps.extend(without_drop_in(layout));
    steps
}

/// Runners first: then goes the script that they run.
fn unhook(layout: &Layout, found: &Installation) -> Vec<Step> {
    let runners = found.runners.iter();
    let mut steps: Vec<Step> = runners
        .map(|runner| Step::Unhook {
            runner: runner.clone(),
            script: layout.hook_path(),
        })
        .collect();
    steps.push(Step::Remove(layout.hook()));
    steps.push(Step::Remove(layout.runners()));
    let above = layout.hook().parent().map(Path::to_owned);
    steps.extend(above.map(Step::RemoveEmpty));
    steps
}

fn without_drop_in(layout: &Layout) -> Vec<Step> {
    let drop_in = layout.drop_in();
    let above = drop_in.parent().map(Path::to_owned);
    let mut steps = vec![Step::Remove(drop_in)];
    steps.extend(above.map(Step::RemoveEmpty));
    steps
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn layout(prefix: &str) -> Layout {
        Layout::new(None, Path::new(prefix)).unwrap()
    }

    fn shared_files() -> Vec<SharedFile> {
        vec![SharedFile {
            path: "man/man1/gotrace.1".into(),
            content: Vec::new(),
        }]
    }

    fn check(steps: &[Step], expect: &Expect) {
        let lines: Vec<String> = steps.iter().map(ToString::to_string).collect();
        expect.assert_eq(&(lines.join("\n") + "\n"));
    }

    #[test]
    fn the_service_is_started_when_all_is_in_its_place() {
        let facts = Facts {
            has_systemd: true,
            privilege: AttachPrivilege::SysAdmin,
        };
        let runners = Runners {
            known: vec!["/srv/runner".into()],
            wanted: vec!["/home/ci/actions-runner".into()],
        };
        let steps = install(
            &layout("/usr/local"),
            facts,
            &runners,
            Vec::new(),
            shared_files(),
        );
        check(
            &steps,
            &expect![[r#"
                write /usr/local/bin/gotrace
                write 1 pages of the manual and completions below /usr/local/share
                write /etc/gotrace/gotrace.toml
                write /usr/local/lib/sysusers.d/gotrace.conf
                write /usr/local/lib/systemd/system/gotrace.service
                write /usr/local/lib/systemd/system/gotrace.service.d/10-older-kernel.conf
                run systemd-sysusers /usr/local/lib/sysusers.d/gotrace.conf
                run systemctl daemon-reload
                run systemctl --quiet enable gotrace.service
                start gotrace.service
                write /usr/local/lib/gotrace/job-completed.sh
                write /usr/local/lib/gotrace/runners
                tell the runner in /home/ci/actions-runner to run /usr/local/lib/gotrace/job-completed.sh after each job
            "#]],
        );
    }

    #[test]
    fn a_packages_own_files_are_left_alone() {
        let facts = Facts {
            has_systemd: true,
            privilege: AttachPrivilege::SysAdmin,
        };
        let runners = Runners {
            known: Vec::new(),
            wanted: vec!["/home/ci/actions-runner".into()],
        };
        check(
            &install_packaged(&layout("/usr"), facts, &runners),
            &expect![[r#"
                write /usr/lib/systemd/system/gotrace.service.d/10-older-kernel.conf
                write /usr/lib/gotrace/job-completed.sh
                write /usr/lib/gotrace/runners
                tell the runner in /home/ci/actions-runner to run /usr/lib/gotrace/job-completed.sh after each job
            "#]],
        );
        let found = Installation {
            has_systemd: true,
            has_unit: true,
            runners: runners.wanted,
        };
        check(
            &uninstall_packaged(&layout("/usr"), &found),
            &expect![[r#"
                tell the runner in /home/ci/actions-runner to run /usr/lib/gotrace/job-completed.sh no longer
                remove /usr/lib/gotrace/job-completed.sh
                remove /usr/lib/gotrace/runners
                remove /usr/lib/gotrace
                remove /usr/lib/systemd/system/gotrace.service.d/10-older-kernel.conf
                remove /usr/lib/systemd/system/gotrace.service.d
            "#]],
        );
    }

    #[test]
    fn without_systemd_nothing_is_run() {
        let facts = Facts {
            has_systemd: false,
            privilege: AttachPrivilege::Least,
        };
        let steps = install(
            &layout("/usr"),
            facts,
            &Runners::default(),
            Vec::new(),
            shared_files(),
        );
        let runs = steps.iter().filter(|it| matches!(it, Step::Run { .. }));
        assert_eq!(runs.count(), 0, "{steps:?}");
    }

    #[test]
    fn the_unit_names_the_program_where_it_was_put() {
        let facts = Facts {
            has_systemd: false,
            privilege: AttachPrivilege::Least,
        };
        let layout = layout("/opt/gotrace");
        let steps = install(&layout, facts, &Runners::default(), Vec::new(), Vec::new());
        let written = |step: &Step| {
            if let Step::Write { path, content, .. } = step {
                (*path == layout.unit()).then(|| content.clone())
            } else {
                None
            }
        };
        let unit = steps.iter().find_map(written).unwrap();
        let unit = String::from_utf8_lossy(&unit);
        assert!(
            unit.contains("\nExecStart=/opt/gotrace/bin/gotrace agent\n"),
            "{unit}"
        );
        assert!(!unit.contains(PACKAGED_PROGRAM), "{unit}");
    }

    #[test]
    fn what_is_the_operators_goes_only_by_a_purge() {
        let layout = layout("/usr/local");
        let found = Installation {
            has_systemd: true,
            has_unit: true,
            runners: vec!["/home/ci/actions-runner".into()],
        };
        check(
            &uninstall(&layout, &found, &shared_files(), false),
            &expect![[r#"
                tell the runner in /home/ci/actions-runner to run /usr/local/lib/gotrace/job-completed.sh no longer
                remove /usr/local/lib/gotrace/job-completed.sh
                remove /usr/local/lib/gotrace/runners
                remove /usr/local/lib/gotrace
                run systemctl --quiet disable --now gotrace.service
                remove /sys/fs/bpf/gotrace
                remove /usr/local/lib/systemd/system/gotrace.service.d/10-older-kernel.conf
                remove /usr/local/lib/systemd/system/gotrace.service.d
                remove /usr/local/lib/systemd/system/gotrace.service
                run systemctl daemon-reload
                remove /usr/local/lib/sysusers.d/gotrace.conf
                remove 1 pages of the manual and completions below /usr/local/share
                remove /usr/local/bin/gotrace
            "#]],
        );
        check(
            &uninstall(&layout, &found, &shared_files(), true),
            &expect![[r#"
                tell the runner in /home/ci/actions-runner to run /usr/local/lib/gotrace/job-completed.sh no longer
                remove /usr/local/lib/gotrace/job-completed.sh
                remove /usr/local/lib/gotrace/runners
                remove /usr/local/lib/gotrace
                run systemctl --quiet disable --now gotrace.service
                remove /sys/fs/bpf/gotrace
                remove /usr/local/lib/systemd/system/gotrace.service.d/10-older-kernel.conf
                remove /usr/local/lib/systemd/system/gotrace.service.d
                remove /usr/local/lib/systemd/system/gotrace.service
                run systemctl daemon-reload
                remove /usr/local/lib/sysusers.d/gotrace.conf
                remove 1 pages of the manual and completions below /usr/local/share
                remove /etc/systemd/system/gotrace.service.d
                remove /etc/gotrace
                remove /var/lib/gotrace
                remove the user gotrace
                remove /usr/local/bin/gotrace
            "#]],
        );
    }
}
