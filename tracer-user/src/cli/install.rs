//! `gotrace install` and `gotrace uninstall`: install and remove the service. The installation includes a manual page for each command,
//! and completions.

use std::path::PathBuf;

use clap::{Command, CommandFactory as _};
use clap_complete::Shell;
use clap_mangen::Man;

use super::{Cli, FINE, completion, log};
use crate::install::{self, InstallRequest, SharedFile};

/// Install gotrace as a service that traces every build on this machine
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Install gotrace as a service that traces every build on this machine. Installs this program, a systemd unit that runs it as a \
                  separate user with five capabilities, a configuration file if none exists, manual pages and completions. Starts the \
                  service and waits until it is ready.\n\nRun it again to upgrade; an existing configuration is kept.",
    before_help = "Examples:\n  sudo gotrace install\n  \
                   sudo gotrace install --runner-hooks /home/ci/actions-runner\n  \
                   gotrace install --dry-run\n  \
                   gotrace install --root build/package --prefix /usr"
)]
pub(super) struct Args {
    #[command(flatten)]
    tree: TreeArgs,
    /// Add a summary of the builds to each job page of the GitHub runner in DIR, or of all runners that systemd runs here
    #[arg(long, value_name = "DIR", num_args = 0..)]
    runner_hooks: Option<Vec<PathBuf>>,
}

/// Remove the files of `gotrace install`, but keep configuration and history
#[derive(Debug, clap::Args)]
#[command(before_help = "Examples:\n  sudo gotrace uninstall\n  \
                   sudo gotrace uninstall --purge")]
pub(super) struct UninstallArgs {
    #[command(flatten)]
    tree: TreeArgs,
    /// Also remove configuration, history and the service's user
    #[arg(long)]
    purge: bool,
}

#[derive(Debug, clap::Args)]
struct TreeArgs {
    /// Directory for program, manual and completions
    #[arg(long, value_name = "DIR", default_value = "/usr/local")]
    prefix: PathBuf,
    /// Use the tree in DIR instead of /, and start nothing: for building packages
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Install only the files that a package cannot contain; for the scripts of a package
    #[arg(long, hide = true, conflicts_with = "root")]
    packaged: bool,
    /// Print the steps without performing them
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

/// Manual pages and completions.
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
        shared_files.push(SharedFile {
            path: path.into(),
            content: completion::script(shell),
        });
    }
    Ok(shared_files)
}

/// Renders the page of a command and of its subcommands: `gotrace-config-check.1`.
fn pages(command: &Command, name: &str, shared_files: &mut Vec<SharedFile>) -> anyhow::Result<()> {
    let mut content = Vec::new();
    Man::new(command.clone()).title(name).render(&mut content)?;
    shared_files.push(SharedFile {
        path: format!("man/man1/{name}.1").into(),
        content,
    });
    for command in command.get_subcommands().filter(|it| !it.is_hide_set()) {
        pages(
            command,
            &format!("{name}-{}", command.get_name()),
            shared_files,
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_has_a_page_and_each_shell_has_completions() {
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
