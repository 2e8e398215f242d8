//! The container and the pod that a cgroup path names.
//!
//! The path is read from the outside in, so of nested containers the innermost counts. A prefix of the id names the runtime; a bare id is a
//! container of an unknown runtime. The creator of a cgroup is not checked. Anybody who may create a cgroup can give it a runtime's name.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The program that made a container.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Runtime {
    Docker,
    Containerd,
    Crio,
    Podman,
}

/// The container and pod of a process, from its cgroup. At least one of both is present.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Place {
    /// 64 hexadecimal digits.
    pub container: Option<String>,
    /// Absent if the path does not name it: the cgroupfs driver names containers of a pod by their bare ids.
    pub runtime: Option<Runtime>,
    /// As Kubernetes writes it; for a static pod 32 digits without dashes.
    pub pod_uid: Option<String>,
}

impl Place {
    /// From the path of one cgroup.
    pub fn of_path(path: &[u8]) -> Option<Self> {
        let path = std::str::from_utf8(path).ok()?;
        let mut place = Self::default();
        let mut parent = "";
        for name in path.split('/').filter(|it| !it.is_empty()) {
            if let Some(uid) = pod(name) {
                // The container found so far is the node that the pod runs on (kind, k3d).
                place = Self {
                    pod_uid: Some(uid),
                    ..Self::default()
                };
            }
            if let Some((id, runtime)) = container(name, parent) {
                place.container = Some(id.to_owned());
                place.runtime = runtime;
            }
            parent = name;
        }
        (place != Self::default()).then_some(place)
    }

    /// From the text of `/proc/PID/cgroup`, of v1, v2 or both.
    ///
    /// A hierarchy of v1 need not contain the container, and the v2 one of a hybrid system may be empty. The path with the most facts
    /// counts.
    pub fn of_proc(text: &[u8]) -> Option<Self> {
        let places = text.split(|it| *it == b'\n').filter_map(|line| {
            // `hierarchy:controllers:path`; a path may itself contain colons.
            Self::of_path(line.splitn(3, |it| *it == b':').nth(2)?)
        });
        // Of equal ones the first counts.
        places.fold(None, |best: Option<Self>, it| match best {
            Some(best) if best.n_facts() >= it.n_facts() => Some(best),
            Some(_) | None => Some(it),
        })
    }

    fn n_facts(&self) -> usize {
        usize::from(self.container.is_some()) * 4
            + usize::from(self.pod_uid.is_some()) * 2
            + usize::from(self.runtime.is_some())
    }
}

/// `<id>`, `docker-<id>.scope`, `kubepods-pod<uid>.slice:cri-containerd:<id>`.
fn container<'a>(name: &'a str, parent: &str) -> Option<(&'a str, Option<Runtime>)> {
    let name = name.strip_suffix(" (deleted)").unwrap_or(name);
    let name = name.strip_suffix(".scope").unwrap_or(name);
    let at = name.len().checked_sub(64)?;
    let (before, id) = name.split_at_checked(at)?;
    if !is_hex(id) {
        return None;
    }
    let before = before.rsplit_once(':').map_or(before, |(rest, last)| {
        // Of `slice:runtime:id` the middle is left.
        if last.is_empty() {
            rest.rsplit(':').next().unwrap_or_default()
        } else {
            last
        }
    });
    let runtime = match before.strip_suffix('-').unwrap_or(before) {
        "" => match parent {
            "docker" => Some(Runtime::Docker),
            _ => None,
        },
        "docker" => Some(Runtime::Docker),
        "libpod" | "libpod-payload" => Some(Runtime::Podman),
        "crio" => Some(Runtime::Crio),
        "cri-containerd" | "containerd" | "nerdctl" => Some(Runtime::Containerd),
        // `libpod-conmon`, `crio-conmon`: beside the container, not in it. Others are not containers.
        _ => return None,
    };
    Some((id, runtime))
}

/// `pod<uid>` or `kubepods-burstable-pod<uid>.slice`. With systemd the UID has underscores, because systemd reads dashes as levels.
fn pod(name: &str) -> Option<String> {
    let name = name.split(':').next()?;
    let name = name.strip_suffix(" (deleted)").unwrap_or(name);
    let uid = match name.strip_suffix(".slice") {
        Some(slice) => slice.rsplit_once("-pod")?.1,
        None => name.strip_prefix("pod")?,
    };
    let uid = uid.replace('_', "-");
    let mut groups = uid.split('-').map(|it| (it.len(), is_hex(it)));
    let is_uuid = groups.by_ref().eq([8, 4, 4, 4, 12].map(|len| (len, true)));
    (is_uuid || (uid.len() == 32 && is_hex(&uid))).then_some(uid)
}

fn is_hex(text: &str) -> bool {
    text.bytes()
        .all(|it| it.is_ascii_digit() || (b'a'..=b'f').contains(&it))
}
