//! Whether the checkout that a `go` command runs in has to be asked where the build comes from.

use crate::effect::Effect;
use crate::event::ProcKey;
use crate::golang::command::GoCommand;
use crate::origin::Ci;

use super::process::Image;
use super::setting;

/// Only where the environment does not say it all, and only of builds: editors run `go list` all day.
pub(super) fn question(process: ProcKey, image: &Image) -> Option<Effect> {
    let command = GoCommand::parse(&image.argv, &[]);
    if !command.is_build() {
        return None;
    }
    let is_told = Ci::of(&image.env)
        .is_some_and(|it| it.repository.is_some() && it.branch.is_some() && it.revision.is_some());
    if is_told {
        return None;
    }
    Some(Effect::ReadCheckout {
        process,
        dir: setting::dir_of(image)?,
        uid: image.uid,
    })
}
