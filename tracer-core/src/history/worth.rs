//! Which builds are worth a place in a history that nobody asked for.

use crate::model::Build;

/// Commands that make or check something. The others (`version`, `env`, `list`, `mod`) are many, run by editors and scripts, and leave
/// nothing to look back at.
const KEPT: [&str; 8] = [
    "build", "generate", "install", "run", "test", "tool", "tools", "vet",
];

/// Whether a build did, or set out to do, what somebody will ask for later. A tool that was only asked for its version did not.
pub fn is_worth_keeping(build: &Build) -> bool {
    let only_asked = build.calls.iter().all(|it| it.is_query);
    is_kept(&build.command.name, only_asked)
}

/// Whether a command of this name can be worth it.
pub fn is_kept_command(name: &str) -> bool {
    KEPT.contains(&first_word(name))
}

fn is_kept(command: &str, only_asked: bool) -> bool {
    is_kept_command(command) && !(first_word(command) == "tools" && only_asked)
}

fn first_word(command: &str) -> &str {
    command.split(' ').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_nothing_is_not_kept() {
        for command in ["build", "test", "tool nm"] {
            assert!(is_kept(command, true), "{command}");
        }
        for command in ["version", "mod tidy", "list", "env", ""] {
            assert!(!is_kept(command, false), "{command}");
        }
        assert!(is_kept("tools", false) && !is_kept("tools", true));
    }
}
