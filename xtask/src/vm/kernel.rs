//! Lists and downloads Debian's cloud kernels.
//!
//! A package manager with its own directories reads Debian's suites from the servers that this machine is configured to use. It
//! neither reads nor changes the machine's package lists. Only the kernel image of a package is kept.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use super::cpio::children;
use super::task::Series;
use crate::shell;

/// Every suite with kernels for the architecture, and its archive.
const SUITES: [(&str, &str); 9] = [
    ("debian", "bullseye"),
    ("debian-security", "bullseye-security"),
    ("debian", "bookworm"),
    ("debian-security", "bookworm-security"),
    ("debian", "bookworm-backports"),
    ("debian", "trixie"),
    ("debian-security", "trixie-security"),
    ("debian", "trixie-backports"),
    ("debian", "sid"),
];

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Debian's available kernels.
pub(super) struct Kernels {
    apt: Apt,
    packages: BTreeMap<Series, String>,
    images: PathBuf,
}

impl Kernels {
    /// Lists the available kernels.
    pub(super) fn list(home: &Path) -> Result<Self> {
        let apt = Apt::prepare(&home.join("apt"))?;
        let packages = newest_of_each_series(&apt.names()?);
        Ok(Self {
            apt,
            packages,
            images: home.join("kernels"),
        })
    }

    pub(super) fn series(&self) -> Vec<Series> {
        self.packages.keys().copied().collect()
    }

    /// The newest image of a series. An earlier download is reused while it is the newest.
    pub(super) fn image(&self, series: Series) -> Result<PathBuf> {
        let package = self
            .packages
            .get(&series)
            .with_context(|| format!("Debian has no kernel {series:?}"))?;
        let image = self.images.join(package);
        if !image.exists() {
            self.apt.image(package, &image)?;
        }
        Ok(image)
    }
}

/// The newest package of each series. If a kernel has several packages, the one with the image is chosen.
fn newest_of_each_series(names: &[String]) -> BTreeMap<Series, String> {
    let mut newest: BTreeMap<Series, (Vec<u32>, bool, &String)> = BTreeMap::new();
    for package in names {
        let Some((version, is_binary)) = version(package) else {
            continue;
        };
        let &[major, minor, _, ..] = version.as_slice() else {
            continue;
        };
        let best = newest
            .entry((major, minor))
            .or_insert_with(|| (version.clone(), is_binary, package));
        // Since 6.19 `linux-image` only depends on `linux-binary`, which contains the image.
        if (&version, is_binary) > (&best.0, best.1) {
            *best = (version, is_binary, package);
        }
    }
    newest
        .into_iter()
        .map(|(series, (_, _, package))| (series, package.clone()))
        .collect()
}

/// The version numbers in a package's name, and whether the package contains only the image.
fn version(package: &str) -> Option<(Vec<u32>, bool)> {
    let image = package.strip_prefix("linux-image-");
    let binary = package.strip_prefix("linux-binary-");
    let version = image.or(binary)?.strip_suffix("-cloud-amd64")?;
    // Backports contain kernels for another release: `6.1.0-0.deb11.56`.
    if !version.starts_with(|it: char| it.is_ascii_digit()) || version.contains("-0.deb") {
        return None;
    }
    let numbers = version
        .split(|it: char| !it.is_ascii_digit())
        .filter_map(|it| it.parse().ok());
    Some((numbers.collect(), binary.is_some()))
}

/// A package manager with its own directories.
struct Apt {
    config: PathBuf,
    downloads: PathBuf,
}

impl Apt {
    /// Creates the directories and downloads the package lists.
    fn prepare(home: &Path) -> Result<Self> {
        for dir in ["state/lists/partial", "cache/archives/partial", "downloads"] {
            let dir = home.join(dir);
            fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        }
        let server = server()?;
        let sources = SUITES.map(|(archive, suite)| {
            format!("deb [signed-by={KEYRING}] {server}/{archive} {suite} main\n")
        });
        let sources = sources.concat();
        let at = home.display();
        let config = format!(
            "Dir::State \"{at}/state\";\nDir::State::status \"{at}/status\";\nDir::Cache \"{at}/cache\";\n\
             Dir::Etc::sourcelist \"{at}/sources.list\";\nDir::Etc::sourceparts \"/dev/null\";\n\
             Dir::Etc::preferences \"/dev/null\";\nDir::Etc::preferencesparts \"/dev/null\";\n\
             APT::Architecture \"amd64\";\nAPT::Sandbox::User \"root\";\nAcquire::Languages \"none\";\n\
             Acquire::IndexTargets::deb::DEP-11::DefaultEnabled \"false\";\n"
        );
        for (name, text) in [
            ("sources.list", sources),
            ("apt.conf", config),
            ("status", String::new()),
        ] {
            let file = home.join(name);
            fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
        }
        let apt = Self {
            config: home.join("apt.conf"),
            downloads: home.join("downloads"),
        };
        shell::run(apt.command("apt-get").args(["-qq", "update"]))?;
        Ok(apt)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("APT_CONFIG", &self.config);
        command
    }

    fn names(&self) -> Result<Vec<String>> {
        let names = shell::read(self.command("apt-cache").args(["pkgnames", "linux-"]))?;
        Ok(names.lines().map(str::to_owned).collect())
    }

    /// Downloads a package and keeps its image.
    fn image(&self, package: &str, image: &Path) -> Result<()> {
        let fresh = self.downloads.join(package);
        let unpacked = fresh.join("unpacked");
        fs::create_dir_all(&unpacked)
            .with_context(|| format!("cannot make {}", unpacked.display()))?;
        shell::run(
            self.command("apt-get")
                .args(["-qq", "download", package])
                .current_dir(&fresh),
        )?;
        let deb = children(&fresh)?
            .into_iter()
            .find(|it| it.extension().is_some_and(|it| it == "deb"))
            .with_context(|| format!("apt-get left no package in {}", fresh.display()))?;
        unpack_image(&deb, &unpacked)?;
        let found = files_below(&unpacked)?
            .into_iter()
            .next()
            .with_context(|| format!("{package} contains no kernel image"))?;
        let kernels = image.parent().context("the image path has no parent")?;
        fs::create_dir_all(kernels)
            .with_context(|| format!("cannot make {}", kernels.display()))?;
        fs::rename(&found, image).with_context(|| format!("cannot move {}", found.display()))?;
        fs::remove_dir_all(&fresh).with_context(|| format!("cannot remove {}", fresh.display()))
    }
}

fn unpack_image(deb: &Path, to: &Path) -> Result<()> {
    let mut package = Command::new("dpkg-deb")
        .arg("--fsys-tarfile")
        .arg(deb)
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run dpkg-deb")?;
    let tar = package.stdout.take().context("no stdout of dpkg-deb")?;
    let unpacked = shell::run(
        Command::new("tar")
            .args(["--extract", "--directory"])
            .arg(to)
            .args(["--wildcards", "*/vmlinuz*"])
            .stdin(tar),
    );
    let status = package.wait().context("cannot wait for dpkg-deb")?;
    unpacked?;
    if !status.success() {
        bail!("dpkg-deb cannot read {}: {status}", deb.display());
    }
    Ok(())
}

fn files_below(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in children(dir)? {
        if path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            files.extend(files_below(&path)?);
        } else {
            files.push(path);
        }
    }
    Ok(files)
}

/// The server of Debian's archive in this machine's configuration: `http://server`.
fn server() -> Result<String> {
    let mut places = vec![PathBuf::from("/etc/apt/sources.list")];
    places.extend(children(Path::new("/etc/apt/sources.list.d")).unwrap_or_default());
    places
        .iter()
        .filter_map(|it| fs::read_to_string(it).ok())
        .find_map(|it| server_in(&it))
        .context("no Debian archive in /etc/apt/sources.list or /etc/apt/sources.list.d")
}

fn server_in(sources: &str) -> Option<String> {
    let mut words = sources
        .lines()
        .filter(|it| !it.trim_start().starts_with('#'))
        .flat_map(str::split_ascii_whitespace);
    words.find_map(|it| {
        let server = it.trim_end_matches('/').strip_suffix("/debian")?;
        server.contains("://").then(|| server.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_package_with_the_image_is_chosen_for_a_series() {
        let names = [
            "linux-image-6.1.0-9-cloud-amd64",
            "linux-image-6.1.0-56-cloud-amd64",
            "linux-image-6.1.0-0.deb11.57-cloud-amd64",
            "linux-image-6.1-cloud-amd64",
            "linux-image-7.2.13+deb14-cloud-amd64",
            "linux-binary-7.2.13+deb14-cloud-amd64",
            "linux-binary-unsigned-7.2.13+deb14-cloud-amd64",
            "linux-image-6.12.9+deb13-amd64",
        ]
        .map(str::to_owned);
        let newest: Vec<_> = newest_of_each_series(&names).into_iter().collect();
        assert_eq!(
            newest,
            [((6, 1), names[1].clone()), ((7, 2), names[5].clone())]
        );
    }

    #[test]
    fn the_debian_server_is_found_in_both_formats() {
        let new = "Types: deb\n# http://old/debian\nURIs: http://a.test/debian\n";
        assert_eq!(server_in(new), Some("http://a.test".to_owned()));
        let old = "deb https://b.test/debian/ bookworm main\n";
        assert_eq!(server_in(old), Some("https://b.test".to_owned()));
        assert_eq!(server_in("deb https://b.test/apt x main\n"), None);
    }
}
