//! The user who called sudo, and that user's environment: `sudo gotrace run -- go build` must build as that user, with that user's Go.
//!
//! sudo replaces PATH and drops most variables before it starts gotrace, but sudo's own process still has its original environment. The
//! result is not trusted: it is only passed to a child that runs as that user anyway.

use std::ffi::{CStr, CString, OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use thiserror::Error;
use tracer_core::event::Tgid;

use crate::proc::{self, Env};

/// User and group IDs of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub uid: u32,
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
}

/// The user who called sudo.
#[derive(Clone, Debug)]
pub struct Caller {
    pub identity: Identity,
    /// The environment for the command.
    pub env: Vec<(OsString, OsString)>,
    /// True if `env` is the caller's own environment; false if it is only the part that sudo kept.
    pub is_recovered: bool,
}

/// The reason why the caller of sudo is unknown.
#[derive(Debug, Error)]
pub enum CallerError {
    #[error(
        "SUDO_UID and SUDO_GID do not contain the IDs of the user who called sudo (with --as-root the command runs as root)"
    )]
    Ids,
    #[error("cannot look up user {uid}, who called sudo (with --as-root the command runs as root)")]
    Lookup { uid: u32, source: io::Error },
}

/// Returns the caller, if this process is root by sudo and the caller is not root too.
pub fn of_sudo() -> Result<Option<Caller>, CallerError> {
    let Some(uid) = std::env::var_os("SUDO_UID") else {
        return Ok(None);
    };
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let number = |text: &OsStr| text.to_str().and_then(|text| text.parse::<u32>().ok());
    let uid = number(&uid).ok_or(CallerError::Ids)?;
    if uid == 0 {
        return Ok(None);
    }
    let gid = std::env::var_os("SUDO_GID")
        .as_deref()
        .and_then(number)
        .ok_or(CallerError::Ids)?;
    let user = User::look_up(uid).map_err(|source| CallerError::Lookup { uid, source })?;
    let groups = user
        .as_ref()
        .map_or_else(|| vec![gid], |user| user.groups(gid));
    let own: Env = std::env::vars_os().collect();
    let around_sudo = around_sudo();
    let is_recovered = around_sudo.is_some();
    let (called_with, gave) = around_sudo.unwrap_or_default();
    let mut env = restore(called_with, &gave, own, is_recovered);
    if let Some(user) = user
        && !is_recovered
    {
        user.set(&mut env);
    }
    Ok(Some(Caller {
        identity: Identity { uid, gid, groups },
        env,
        is_recovered,
    }))
}

impl Caller {
    /// A variable of the caller's environment.
    pub fn variable(&self, name: &str) -> Option<&OsStr> {
        self.env
            .iter()
            .find(|(existing, _)| existing == name)
            .map(|(_, value)| value.as_os_str())
    }

    /// Runs `f` with this user's file permissions. New files belong to the caller, and the caller's permissions limit which files can be
    /// overwritten. Affects only the calling thread.
    pub fn with_rights<T>(&self, f: impl FnOnce() -> T) -> T {
        let set = |uid: u32, gid: u32| {
            // SAFETY: takes an integer, and has no failure that affects memory.
            unsafe { libc::setfsgid(gid) };
            // SAFETY: as above.
            unsafe { libc::setfsuid(uid) };
        };
        set(self.identity.uid, self.identity.gid);
        let result = f();
        set(
            rustix::process::geteuid().as_raw(),
            rustix::process::getegid().as_raw(),
        );
        result
    }
}

/// Variables that sudo sets in the environment of its command, in addition to `SUDO_*`.
const SET_BY_SUDO: [&str; 8] = [
    "PATH", "HOME", "USER", "LOGNAME", "USERNAME", "SHELL", "MAIL", "TERM",
];

/// The caller's environment, overridden by variables that were set deliberately: on sudo's command line (`sudo GOFLAGS=-x gotrace ...`)
/// or by a script that sudo runs. Variables that only sudo's policy set are left out.
fn restore(called_with: Env, sudo_gave: &Env, own: Env, is_recovered: bool) -> Env {
    let mut env = called_with;
    for (name, value) in own {
        let is_sudos = is_recovered
            && SET_BY_SUDO.iter().any(|set| name == *set)
            && sudo_gave
                .iter()
                .any(|(given, as_value)| *given == name && *as_value == value);
        if is_sudos || name.as_bytes().starts_with(b"SUDO_") {
            continue;
        }
        match env.iter_mut().find(|(existing, _)| *existing == name) {
            Some((_, existing)) => *existing = value,
            None => env.push((name, value)),
        }
    }
    env
}

/// The environment of sudo's own process, and the environment of the process that sudo started.
fn around_sudo() -> Option<(Env, Env)> {
    let mut child = Tgid(std::process::id());
    for tgid in proc::ancestors(child).skip(1) {
        if proc::stat(tgid)?.comm == b"sudo" {
            return Some((proc::environ(tgid).ok()?, proc::environ(child).ok()?));
        }
        child = tgid;
    }
    None
}

/// An entry of the user database.
struct User {
    name: CString,
    home: OsString,
    shell: OsString,
}

impl User {
    fn look_up(uid: u32) -> io::Result<Option<Self>> {
        let mut buffer = vec![0; 16 << 10];
        // SAFETY: an all-zero `passwd` (null pointers and zeros) is a valid value of that plain C struct.
        let mut entry: libc::passwd = unsafe { std::mem::zeroed() };
        let mut found = std::ptr::null_mut();
        // SAFETY: all pointers are to live values, and the length is the buffer's.
        let error = unsafe {
            libc::getpwuid_r(
                uid,
                &raw mut entry,
                buffer.as_mut_ptr(),
                buffer.len(),
                &raw mut found,
            )
        };
        match error {
            0 if found.is_null() => Ok(None),
            0 => Ok(Some(Self {
                name: text(entry.pw_name),
                home: OsString::from_vec(text(entry.pw_dir).into_bytes()),
                shell: OsString::from_vec(text(entry.pw_shell).into_bytes()),
            })),
            error => Err(io::Error::from_raw_os_error(error)),
        }
    }

    /// All groups of the user, including `gid`.
    fn groups(&self, gid: u32) -> Vec<u32> {
        let mut groups = vec![0; 64];
        loop {
            let room = i32::try_from(groups.len()).unwrap_or(i32::MAX);
            let mut n = room;
            // SAFETY: a NUL-terminated name, and space for `n` groups.
            let fits = unsafe {
                libc::getgrouplist(self.name.as_ptr(), gid, groups.as_mut_ptr(), &raw mut n)
            };
            if fits >= 0 {
                groups.truncate(usize::try_from(n).unwrap_or(0));
                return groups;
            }
            // Double the space, in case a libc does not return the number of groups. Linux allows 65536.
            let required = usize::try_from(n.max(room.saturating_mul(2))).unwrap_or(0);
            if required > 1 << 17 {
                return vec![gid];
            }
            groups.resize(required, 0);
        }
    }

    /// Sets the variables that sudo had set for root.
    fn set(self, env: &mut Env) {
        let name = OsString::from_vec(self.name.into_bytes());
        let variables = [
            ("HOME", self.home),
            ("USER", name.clone()),
            ("LOGNAME", name),
            ("SHELL", self.shell),
        ];
        for (variable, value) in variables {
            match env.iter_mut().find(|(existing, _)| existing == variable) {
                Some((_, existing)) => *existing = value,
                None => env.push((variable.into(), value)),
            }
        }
    }
}

fn text(pointer: *const libc::c_char) -> CString {
    if pointer.is_null() {
        return CString::default();
    }
    // SAFETY: getpwuid_r fills its fields with NUL-terminated strings inside the caller's buffer, which is still alive.
    unsafe { CStr::from_ptr(pointer) }.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proc::parse_environ;

    fn env(text: &str) -> Env {
        parse_environ(text.replace(' ', "\0").as_bytes())
    }

    fn show(env: &Env) -> String {
        let variables: Vec<String> = env
            .iter()
            .map(|(name, value)| format!("{}={}", name.display(), value.display()))
            .collect();
        variables.join(" ")
    }

    fn check(called_with: &str, sudo_gave: &str, own: &str, expected: &str) {
        assert_eq!(
            show(&restore(env(called_with), &env(sudo_gave), env(own), true)),
            expected
        );
    }

    #[test]
    fn variables_that_sudo_replaced_are_restored_and_added_ones_removed() {
        check(
            "PATH=/usr/local/go/bin:/bin HOME=/home/ann GOFLAGS=-v",
            "PATH=/bin HOME=/root SUDO_UID=1000 TERM=xterm",
            "PATH=/bin HOME=/root SUDO_UID=1000 TERM=xterm",
            "PATH=/usr/local/go/bin:/bin HOME=/home/ann GOFLAGS=-v",
        );
    }

    #[test]
    fn variables_on_sudos_command_line_are_kept() {
        check(
            "PATH=/go GOFLAGS=-v",
            "PATH=/bin GOFLAGS=-x CGO_ENABLED=0",
            "PATH=/bin GOFLAGS=-x CGO_ENABLED=0",
            "PATH=/go GOFLAGS=-x CGO_ENABLED=0",
        );
    }

    #[test]
    fn variables_that_a_script_under_sudo_changed_are_kept() {
        check(
            "PATH=/home/ann/bin",
            "PATH=/bin",
            "PATH=/opt/go/bin:/bin",
            "PATH=/opt/go/bin:/bin",
        );
    }

    #[test]
    fn without_the_callers_environment_ours_is_used_without_sudo_variables() {
        let env = restore(
            Env::new(),
            &Env::new(),
            env("PATH=/bin SUDO_UID=1 GOFLAGS=-v"),
            false,
        );
        assert_eq!(show(&env), "PATH=/bin GOFLAGS=-v");
    }
}
