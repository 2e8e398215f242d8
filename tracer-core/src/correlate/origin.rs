//! Decides whether to read the checkout that a `go` command runs in, to find the origin of the build.

use crate::effect::Effect;
use crate::event::ProcKey;
use crate::golang::command::GoCommand;
use crate::origin::Ci;

use super::process::Image;
use super::setting;

/// The checkout is read only if the environment does not contain all of it, and only for builds: editors run `go list` all day.
pub(super) fn request(process: ProcKey, image: &Image) -> Option<Effect> {
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
