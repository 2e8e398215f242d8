//! What stands around the process that reads an output on this machine: one is started, with nothing to read, and says it.

use super::Check;
use crate::inspect::{ReaderSpawner, READER_CPU_SECONDS, READER_MEMORY};
use crate::sandbox::Restrictions;

const NAME: &str = "reader";

pub(super) fn check() -> Check {
    let walls = ReaderSpawner::own().map_err(|error| error.to_string());
    match restrictions.and_then(|it| it.restrictions().map_err(|lost| lost.to_string())) {
        Ok(Some(restrictions)) => standing(restrictions),
        Ok(None) => unread("it could not put up its walls"),
        Err(why) => unread(&why),
    }
}

fn standing(restrictions: Restrictions) -> Check {
    let Restrictions { landlock } = walls;
    let rest = format!(
        "system calls filtered, no capability, no new privileges, {} MiB of memory, {READER_CPU_SECONDS} s of processor time, no file, \
         process or descriptor of its own",
        READER_MEMORY >> 20
    );
    let denied = match landlock {
        0 => {
            return Check::limited(
                NAME,
                format!("an output is read behind restrictions: {rest}; no Landlock"),
                "the other walls stand without it; it needs Linux 5.13 and landlock in the kernel's lsm= list",
            );
        }
        1..=3 => "files",
        4..=5 => "files and TCP ports",
        6.. => "files, TCP ports, abstract sockets and signals",
    };
    Check::fine(
        NAME,
        format!(
            "an output is read behind restrictions: {rest}; Landlock (version {landlock}) denies {denied}"
        ),
    )
}

fn unread(why: &str) -> Check {
    Check::limited(
        NAME,
        format!("outputs cannot be read: {why}"),
        "it takes a kernel with CONFIG_SECCOMP_FILTER, and seccomp(2) not denied to gotrace",
    )
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn without_landlock_it_is_said_what_stands_all_the_same() {
        let check = standing(Restrictions { landlock: 0 });
        assert_eq!(check.verdict, Verdict::Limited);
        assert!(check.found.contains("system calls filtered"), "{check:?}");
        assert!(check.found.ends_with("no Landlock"), "{check:?}");
    }

    #[test]
    fn what_landlock_denies_depends_on_its_version() {
        for (landlock, denied) in [
            (1, "denies files"),
            (4, "denies files and TCP ports"),
            (7, "denies files, TCP ports, abstract sockets and signals"),
        ] {
            let check = standing(Restrictions { landlock });
            assert_eq!(check.verdict, Verdict::Fine);
            assert!(check.found.ends_with(denied), "{check:?}");
        }
    }
}
