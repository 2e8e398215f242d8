//! Checks the sandbox of the process that reads outputs: starts such a process without a file, and reads the restrictions it reports.

use super::Check;
use crate::inspect::{READER_CPU_SECONDS, READER_MEMORY, ReaderSpawner};
use crate::sandbox::Restrictions;

const NAME: &str = "reader";

pub(super) fn check() -> Check {
    let spawner = ReaderSpawner::own().map_err(|error| error.to_string());
    match spawner.and_then(|it| it.restrictions().map_err(|error| error.to_string())) {
        Ok(Some(restrictions)) => sandboxed(restrictions),
        Ok(None) => unread("the reader reported no restrictions"),
        Err(why) => unread(&why),
    }
}

fn sandboxed(restrictions: Restrictions) -> Check {
    let Restrictions { landlock } = restrictions;
    let rest = format!(
        "filtered system calls, no privilege, file, process or descriptor, \
         {} MiB of memory, {READER_CPU_SECONDS} s of CPU",
        READER_MEMORY >> 20
    );
    let denied = match landlock {
        0 => {
            return Check::limited(
                NAME,
                format!("outputs are read in a sandbox: {rest}; no Landlock"),
                "the other restrictions hold without Landlock, which needs Linux 5.13 and landlock in the kernel's lsm= list",
            );
        }
        1..=3 => "files",
        4..=5 => "files and TCP ports",
        6.. => "files, TCP ports, abstract sockets and signals",
    };
    Check::fine(
        NAME,
        format!(
            "outputs are read in a sandbox: {rest}; Landlock (version {landlock}) denies {denied}"
        ),
    )
}

fn unread(why: &str) -> Check {
    Check::limited(
        NAME,
        format!("cannot read outputs: {why}"),
        "use a kernel with CONFIG_SECCOMP_FILTER, and allow gotrace the system call seccomp(2)",
    )
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn without_landlock_the_other_restrictions_are_reported() {
        let check = sandboxed(Restrictions { landlock: 0 });
        assert_eq!(check.verdict, Verdict::Limited);
        assert!(check.found.contains("filtered system calls"), "{check:?}");
        assert!(check.found.ends_with("no Landlock"), "{check:?}");
    }

    #[test]
    fn the_denied_access_depends_on_the_version_of_landlock() {
        for (landlock, denied) in [
            (1, "denies files"),
            (4, "denies files and TCP ports"),
            (7, "denies files, TCP ports, abstract sockets and signals"),
        ] {
            let check = sandboxed(Restrictions { landlock });
            assert_eq!(check.verdict, Verdict::Fine);
            assert!(check.found.ends_with(denied), "{check:?}");
        }
    }
}
