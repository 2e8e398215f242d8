//! Computes the steps of an installation from paths, facts and files. Their order leaves a working service at every moment. Touches
//! nothing.

use std::path::{Path, PathBuf};

use super::SharedFile;
use super::layout::{Layout, UNIT};
use super::machine::AttachPrivilege;
use super::step::Step;
use crate::config::EXAMPLE;

/// The unit for the prefix `/usr`, as in a package.
const SERVICE: &str = include_str!("gotrace.service");
/// The program in that unit.
const PACKAGED_PROGRAM: &str = "/usr/bin/gotrace";
const OLDER_KERNEL: &str = include_str!("older-kernel.conf");
const JOB_COMPLETED: &str = include_str!("job-completed.sh");
const SYSUSERS: &str = include_str!("sysusers.conf");

/// Properties of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) has_systemd: bool,
    pub(super) privilege: AttachPrivilege,
}

/// An existing installation, for its removal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Installation {
    pub(super) has_systemd: bool,
    pub(super) has_unit: bool,
    /// Directories of runners with the hook.
    pub(super) runners: Vec<PathBuf>,
}

/// Directories of GitHub runners.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Runners {
    /// Configured by an earlier call.
    pub(super) known: Vec<PathBuf>,
    /// To be configured.
    pub(super) new: Vec<PathBuf>,
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
        // The file may contain passwords. The service is not root, but can read it, because it has CAP_DAC_READ_SEARCH.
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
        // Also restart a running service, which may be an older version. It leaves its running builds to the new one.
        steps.push(Step::Start);
    }
    steps.extend(hooks(layout, runners));
    steps
}

/// The steps that depend on the machine, so a package cannot contain them. The package itself starts the service.
pub(super) fn install_packaged(layout: &Layout, facts: Facts, runners: &Runners) -> Vec<Step> {
    let mut steps = vec![attach_privilege(layout, facts.privilege)];
    steps.extend(hooks(layout, runners));
    steps
}

/// The drop-in that the service needs on this kernel.
fn attach_privilege(layout: &Layout, privilege: AttachPrivilege) -> Step {
    match privilege {
        AttachPrivilege::SysAdmin => Step::Write {
            path: layout.drop_in(),
            mode: 0o644,
            content: OLDER_KERNEL.into(),
            keep: false,
        },
        // A drop-in of an earlier, older kernel.
        AttachPrivilege::Least => Step::Remove(layout.drop_in()),
    }
}

/// Writes the list of runners before configuring them: a runner whose script is missing fails every job.
fn hooks(layout: &Layout, runners: &Runners) -> Vec<Step> {
    let Runners { known, new } = runners;
    let mut all: Vec<&PathBuf> = known.iter().chain(new).collect();
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
    steps.extend(new.iter().map(|runner| Step::Hook {
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
    // systemd cannot stop a unit without its file.
    if found.has_systemd && found.has_unit {
        steps.push(Step::run(
            "systemctl",
            ["--quiet", "disable", "--now", UNIT],
        ));
    }
    // A killed service that did not restart leaves these objects.
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
    // Last, so that an interrupted removal can be run again.
    steps.push(Step::Remove(layout.program()));
    steps
}

/// Undoes [`install_packaged`]; the package removes the rest.
pub(super) fn uninstall_packaged(layout: &Layout, found: &Installation) -> Vec<Step> {
    let mut steps = unhook(layout, found);
    steps.extend(without_drop_in(layout));
    steps
}

/// Unhooks the runners before removing their script.
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
    fn the_service_starts_after_all_files_are_written() {
        let facts = Facts {
            has_systemd: true,
            privilege: AttachPrivilege::SysAdmin,
        };
        let runners = Runners {
            known: vec!["/srv/runner".into()],
            new: vec!["/home/ci/actions-runner".into()],
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
                write 1 manual pages and completions below /usr/local/share
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
                configure the runner in /home/ci/actions-runner to run /usr/local/lib/gotrace/job-completed.sh after each job
            "#]],
        );
    }

    #[test]
    fn files_of_a_package_are_not_changed() {
        let facts = Facts {
            has_systemd: true,
            privilege: AttachPrivilege::SysAdmin,
        };
        let runners = Runners {
            known: Vec::new(),
            new: vec!["/home/ci/actions-runner".into()],
        };
        check(
            &install_packaged(&layout("/usr"), facts, &runners),
            &expect![[r#"
                write /usr/lib/systemd/system/gotrace.service.d/10-older-kernel.conf
                write /usr/lib/gotrace/job-completed.sh
                write /usr/lib/gotrace/runners
                configure the runner in /home/ci/actions-runner to run /usr/lib/gotrace/job-completed.sh after each job
            "#]],
        );
        let found = Installation {
            has_systemd: true,
            has_unit: true,
            runners: runners.new,
        };
        check(
            &uninstall_packaged(&layout("/usr"), &found),
            &expect![[r#"
                configure the runner in /home/ci/actions-runner to stop running /usr/lib/gotrace/job-completed.sh
                remove /usr/lib/gotrace/job-completed.sh
                remove /usr/lib/gotrace/runners
                remove /usr/lib/gotrace
                remove /usr/lib/systemd/system/gotrace.service.d/10-older-kernel.conf
                remove /usr/lib/systemd/system/gotrace.service.d
            "#]],
        );
    }

    #[test]
    fn without_systemd_no_program_runs() {
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
    fn the_unit_contains_the_path_of_the_program() {
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
    fn only_a_purge_removes_the_operators_files() {
        let layout = layout("/usr/local");
        let found = Installation {
            has_systemd: true,
            has_unit: true,
            runners: vec!["/home/ci/actions-runner".into()],
        };
        check(
            &uninstall(&layout, &found, &shared_files(), false),
            &expect![[r#"
                configure the runner in /home/ci/actions-runner to stop running /usr/local/lib/gotrace/job-completed.sh
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
                remove 1 manual pages and completions below /usr/local/share
                remove /usr/local/bin/gotrace
            "#]],
        );
        check(
            &uninstall(&layout, &found, &shared_files(), true),
            &expect![[r#"
                configure the runner in /home/ci/actions-runner to stop running /usr/local/lib/gotrace/job-completed.sh
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
                remove 1 manual pages and completions below /usr/local/share
                remove /etc/systemd/system/gotrace.service.d
                remove /etc/gotrace
                remove /var/lib/gotrace
                remove the user gotrace
                remove /usr/local/bin/gotrace
            "#]],
        );
    }
}
