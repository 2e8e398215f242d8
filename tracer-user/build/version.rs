//! The commit, date and target of `gotrace --version`.
//!
//! The commit comes from `GOTRACE_COMMIT` or Git, and the date from `SOURCE_DATE_EPOCH` or the commit; otherwise both are `unknown`.
//! The clock is not read, so two builds of one commit are equal. Builds for development do not ask Git, because each commit would
//! then compile the whole crate again.

use std::env;
use std::error::Error;
use std::process::Command;

const UNKNOWN: &str = "unknown";

/// Sets the variables that the program reads at compile time.
pub(crate) fn describe() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-env-changed=GOTRACE_COMMIT");
    println!("cargo::rerun-if-env-changed=SOURCE_DATE_EPOCH");
    let is_release = env::var("PROFILE")? == "release";
    if is_release {
        watch();
    }
    let of_git = |args: &[&str]| if is_release { git(args) } else { None };
    let commit = env::var("GOTRACE_COMMIT").ok().filter(|it| !it.is_empty());
    let commit = commit.or_else(|| {
        let commit = of_git(&["rev-parse", "--short=12", "HEAD"])?;
        let changes = of_git(&["status", "--porcelain", "--untracked-files=no"]);
        let is_clean = changes.is_some_and(|it| it.is_empty());
        Some(commit + if is_clean { "" } else { "-modified" })
    });
    let epoch = env::var("SOURCE_DATE_EPOCH")
        .ok()
        .filter(|it| !it.is_empty());
    let epoch = epoch.or_else(|| of_git(&["log", "-1", "--format=%ct"]));
    let date = epoch.and_then(|it| it.parse().ok()).map(date);
    let or_unknown = |it: Option<String>| it.unwrap_or_else(|| UNKNOWN.to_owned());
    println!("cargo::rustc-env=GOTRACE_COMMIT={}", or_unknown(commit));
    println!("cargo::rustc-env=GOTRACE_DATE={}", or_unknown(date));
    println!("cargo::rustc-env=GOTRACE_TARGET={}", env::var("TARGET")?);
    Ok(())
}

/// Runs this script again after a commit, and after a change that makes the commit incomplete.
fn watch() {
    for name in ["HEAD", "logs/HEAD", "index"] {
        if let Some(path) = git(&["rev-parse", "--path-format=absolute", "--git-path", name]) {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    for dir in ["tracer-abi", "tracer-binary", "tracer-core", "tracer-user"] {
        println!("cargo::rerun-if-changed=../{dir}/src");
    }
}

/// The output of a Git command in the repository of these sources. `None` without Git or without a repository.
fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// The day in UTC of a time in seconds: `2026-11-30`. The algorithm is `civil_from_days` of Howard Hinnant.
fn date(epoch: u64) -> String {
    let days = epoch / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}
