//! `gotrace install` and `gotrace uninstall`: the service on this machine, and off it. Also what of the command line itself is
//! installed: a page of the manual for each command, and completions.

use std::path::PathBuf;

use clap::{Command, CommandFactory as _};
use clap_complete::Shell;
use clap_mangen::Man;

use super::{Cli, FINE, log};
use crate::install::{self, SharedFile, InstallRequest};

/// Install gotrace as a service that follows every build on this machine
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Install gotrace as a service that follows every build on this machine: this program, a unit for systemd that runs it as a \
                  user of its own with five capabilities, a configuration where there is none, pages of the manual and completions. Starts \
                  it, and waits until it follows builds.\n\nRun again it upgrades; a configuration that is there stays.",
    before_help = "  sudo gotrace install\n  \
                   sudo gotrace install --runner-hooks /home/ci/actions-runner\n  \
                   gotrace install --dry-run\n  \
                   gotrace install --root build/package --prefix /usr"
)]
pub(super) struct Args {
    #[command(flatten)]
    tree: TreeArgs,
    /// Have GitHub's runner in DIR, or each one that systemd runs here, add what a job built to the page of the job
    #[arg(long, value_name = "DIR", num_args = 0..)]
    runner_hooks: Option<Vec<PathBuf>>,
}

/// Take away what `gotrace install` put there, but configuration and history
#[derive(Debug, clap::Args)]
#[command(before_help = "  sudo gotrace uninstall\n  \
                   sudo gotrace uninstall --purge")]
pub(super) struct UninstallArgs {
    #[command(flatten)]
    tree: TreeArgs,
    /// Take away configuration, history and the service's user, too
    #[arg(long)]
    purge: bool,
}

#[derive(Debug, clap::Args)]
struct TreeArgs {
    /// Where program, manual and completions go
    #[arg(long, value_name = "DIR", default_value = "/usr/local")]
    prefix: PathBuf,
    /// Work on the tree in DIR as if it were /, and start nothing: for packages
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Do what a package cannot hold, as its scripts do; its files are there
    #[arg(long, hide = true, conflicts_with = "root")]
    packaged: bool,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
}

impl TreeArgs {
    fn request(&self, runners: Option<&Vec<PathBuf>>) -> InstallRequest {
        InstallRequest {
            runners: runners.cloned(),
            root: self.root.clone(),
            prefix: self.prefix.clone(),
            packaged: self.packaged,
            dry_run: self.dry_run,
        }
    }
}

/// Returns the exit code.
pub(super) fn execute(args: &Args) -> anyhow::Result<u8> {
    let request = args.tree.request(args.runner_hooks.as_ref());
    install::install(&request, shared_files()?, |it| log(it))?;
    Ok(FINE)
}

/// Returns the exit code.
pub(super) fn execute_uninstall(args: &UninstallArgs) -> anyhow::Result<u8> {
    let request = args.tree.request(None);
    install::uninstall(&request, &shared_files()?, args.purge, |it| log(it))?;
    Ok(FINE)
}

/// What comes with the program.
fn shared_files() -> anyhow::Result<Vec<SharedFile>> {
    let mut command = Cli::command();
    command.build();
    let mut shared_files = Vec::new();
    pages(&command, command.get_name(), &mut shared_files)?;
    for (shell, path) in [
        (Shell::Bash, "bash-completion/completions/gotrace"),
        (Shell::Zsh, "zsh/site-functions/_gotrace"),
        (Shell::Fish, "fish/vendor_completions.d/gotrace.fish"),
    ] {
        let mut content = Vec::new();
        clap_complete::generate(shell, &mut command, "gotrace", &mut content);
        shared_files.push(SharedFile {
            path: path.into(),
            content,
        });
    }
    Ok(shared_files)
}

/// A page for a command, and those of the words below it: `gotrace-config-check.1`.
fn pages(command: &Command, name: &str, shared_files: &mut Vec<SharedFile>) -> anyhow::Result<()> {
    let mut content = Vec::new();
    Man::new(command.clone()).title(name).render(&mut content)?;
    shared_files.push(SharedFile {
        path: format!("man/man1/{name}.1").into(),
        content,
    });
    for command in command.get_subcommands().filter(|it| !it.is_hide_set()) {
        pages(command, &format!("{name}-{}", command.get_name()), shared_files)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_has_a_page_and_each_shell_completions() {
        let shared_files = shared_files().unwrap();
        let text = |path: &str| {
            let found = shared_files.iter().find(|it| it.path.ends_with(path));
            let found = found.unwrap_or_else(|| panic!("no {path}"));
            String::from_utf8(found.content.clone()).unwrap()
        };
        let command = Cli::command();
        let words = command.get_subcommands();
        for command in words.filter(|it| !it.is_hide_set()) {
            let page = text(&format!("man1/gotrace-{}.1", command.get_name()));
            assert!(page.contains(".SH SYNOPSIS"), "{page}");
        }
        assert!(text("man1/gotrace.1").contains("gotrace\\-builds(1)"));
        assert!(text("man1/gotrace-config-check.1").contains("gotrace config check"));
        for path in [
            "completions/gotrace",
            "site-functions/_gotrace",
            "gotrace.fish",
        ] {
            assert!(text(path).contains("keep-megabytes"), "{path}");
        }
    }
}
