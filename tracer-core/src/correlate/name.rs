//! What a build and its outputs are called: by what was made, else by what Go itself would say, and only then by where it ran.

use crate::byte_string::ByteString;
use crate::golang::tool;
use crate::model::{Command, Output};

use super::process::Process;
use super::setting;

/// Go's name for the package of files on the command line.
const FILES: &str = "command-line-arguments";

/// Path of the main module.
pub(super) fn module(head: &Process, command: &Command, outputs: &[Output]) -> Option<String> {
    let mut stamped = outputs.iter().filter_map(|it| {
        let artifact = it.artifact.as_ref()?;
        artifact.main_module.as_deref()
    });
    if let Some(first) = stamped.next() {
        return stamped.all(|it| it == first).then(|| first.to_owned());
    }
    // The module of the directory has no part in it: `go install example.com/tool@latest`, GOPATH.
    let is_versioned = matches!(command.name.as_str(), "install" | "run")
        && command
            .packages
            .iter()
            .any(|it| it.as_bytes().contains(&b'@'));
    if is_versioned || setting::is_gopath_mode(head) {
        return None;
    }
    head.settings.as_ref()?.module.clone()
}

/// Gives each output the package that it was made from: what the file says of itself, else what the `go` command said. Files on the
/// command line are told by the first of them, as all such packages have one name.
pub(super) fn outputs(head: &Process, command: &Command, outputs: &mut [Output]) {
    for output in outputs {
        let artifact = output.artifact.as_ref();
        let own = artifact.and_then(|it| it.main_package.as_deref());
        if let Some(own) = own {
            output.package = Some(own.into());
        }
        if output.package.as_ref().is_some_and(|it| *it == FILES) {
            output.package = files(head, command).or_else(|| output.package.take());
        }
    }
}

/// `example.com/m/cmd/one` for `cmd/one/main.go`, `example.com/m/tools/two.go` for a file of another name; outside of a module, or where
/// the module's directory is not known, the path of the file.
fn files(head: &Process, command: &Command) -> Option<ByteString> {
    let first = command.packages.first();
    let first = first.filter(|it| it.as_bytes().ends_with(b".go"))?;
    let path = tool::resolve(first, setting::dir(head).as_ref());
    let settings = head.settings.as_ref();
    let below = |settings: &crate::event::Settings| {
        let (module, dir) = (settings.module.as_ref()?, settings.module_dir.as_ref()?);
        let below = path.as_bytes().strip_prefix(dir.as_bytes())?;
        below
            .starts_with(b"/")
            .then(|| [module.as_bytes(), below].concat())
    };
    let name = settings
        .and_then(below)
        .unwrap_or_else(|| path.as_bytes().to_vec());
    let dir = name.strip_suffix(b"/main.go").filter(|it| !it.is_empty());
    Some(dir.unwrap_or(&name).into())
}
