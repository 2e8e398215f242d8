//! Places to probe in one tool's file: for each probe of this tool, its places or the reason why it has none.

use std::fs::File;

use serde::{Deserialize, Serialize};
use tracer_core::event::{Refusal, Role};

use super::build_info::ToolIdentity;
use super::call_site::Text;
use super::elf::Elf;
use super::function::{Function, Functions, read_table};
use super::prologue;
use super::structs::Struct;
use super::table::{self, Calls, Layout, Probe};
use super::version;
use crate::bpf::Site;

/// The result for a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolved {
    pub probes: Vec<ResolvedProbe>,
    pub refused: Vec<Refusal>,
}

/// A probe and its places.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResolvedProbe {
    /// The name in the table.
    pub name: String,
    /// The lowest level of detail that needs it.
    pub level: u32,
    pub sites: Vec<Site>,
}

/// Finds the places of every probe of this tool.
pub fn resolve(file: &File, tool: &ToolIdentity) -> Resolved {
    let wanted: Vec<&'static Probe> = wanted(tool.role).collect();
    let mut resolved = Resolved::default();
    if wanted.is_empty() {
        return resolved;
    }
    let Some(elf) = Elf::read(file) else {
        return refuse_all(&wanted, "the file is not a supported ELF file");
    };
    let Some(bytes) = read_table(&elf) else {
        return refuse_all(
            &wanted,
            "the file has no .gopclntab, so gotrace cannot find its functions",
        );
    };
    let Some(functions) = Functions::parse(&elf, &bytes) else {
        return refuse_all(&wanted, "the file's .gopclntab has an unknown layout");
    };
    let names: Vec<&str> = wanted
        .iter()
        .flat_map(|probe| &probe.symbols)
        .map(String::as_str)
        .collect();
    let mut found = functions.find(&names).into_iter();
    let mut layouts = Layouts::default();
    let mut located = Vec::new();
    for probe in wanted {
        let candidates: Vec<Option<Function>> = found.by_ref().take(probe.symbols.len()).collect();
        let function = candidates.into_iter().flatten().next();
        match locate(&elf, &mut layouts, probe, function, &tool.version) {
            Ok(it) => located.push(it),
            Err(why) => resolved.refuse(probe, why),
        }
    }
    let calls = calls(&elf, &functions, &located);
    for it in located {
        let Located {
            probe,
            spec,
            function,
        } = it;
        let offsets = match calls.iter().find(|(name, _)| *name == probe.name) {
            Some((_, offsets)) => Ok(offsets.clone()),
            None => entry(&elf, probe, function).map(|it| vec![it]),
        };
        match offsets {
            Ok(offsets) => {
                let level = probe.level();
                let sites = offsets.into_iter().map(|offset| Site {
                    spec,
                    offset,
                    level,
                });
                resolved.probes.push(ResolvedProbe {
                    name: probe.name.clone(),
                    level,
                    sites: sites.collect(),
                });
            }
            Err(why) => resolved.refuse(probe, why),
        }
    }
    resolved
}

impl Resolved {
    fn refuse(&mut self, probe: &Probe, why: String) {
        self.refused.push(Refusal {
            probe: probe.name.clone(),
            why,
        });
    }
}

fn wanted(role: Role) -> impl Iterator<Item = &'static Probe> {
    table::builtin()
        .probes
        .iter()
        .filter(move |probe| probe.roles.contains(&role))
}

/// Caches for each struct whether the file contains it, because it can guard several probes.
#[derive(Default)]
struct Layouts(Vec<(&'static Struct, bool)>);

impl Layouts {
    fn has(&mut self, elf: &Elf<'_>, wanted: &'static Struct) -> bool {
        let known = self.0.iter().find(|(it, _)| *it == wanted);
        if let Some((_, is_there)) = known {
            return *is_there;
        }
        let is_there = wanted.is_in(elf);
        self.0.push((wanted, is_there));
        is_there
    }
}

/// A probe with a known layout, and its function.
struct Located {
    probe: &'static Probe,
    spec: u16,
    function: Function,
}

fn locate(
    elf: &Elf<'_>,
    layouts: &mut Layouts,
    probe: &'static Probe,
    function: Option<Function>,
    version: &str,
) -> Result<Located, String> {
    let layout = layout(probe, version)?;
    if let Some(guard) = &probe.guard
        && !layouts.has(elf, &guard.holder)
    {
        return Err(format!(
            "{} has an unknown layout, so calls that must stay in the kernel cannot be recognised",
            guard.holder
        ));
    }
    let function = function.ok_or_else(|| format!("{} is not in the file", symbol(probe)))?;
    Ok(Located {
        probe,
        spec: layout.spec,
        function,
    })
}

/// File offset of the place in the function itself.
fn entry(elf: &Elf<'_>, probe: &Probe, function: Function) -> Result<u64, String> {
    let symbol = symbol(probe);
    let start = elf
        .code_offset(function.address)
        .ok_or_else(|| format!("{symbol} is not in the code of the file"))?;
    let code = elf.code(start, prologue::LEN).unwrap_or_default();
    let site = prologue::site(elf.machine, &code).map_err(|why| format!("{symbol}: {why}"))?;
    Ok(start.saturating_add(site))
}

/// File offsets of the calls to probe, by name of the probe. Empty if one of the probes with `calls` has no known call: then all of them
/// are in their functions.
fn calls(
    elf: &Elf<'_>,
    functions: &Functions<'_>,
    located: &[Located],
) -> Vec<(&'static str, Vec<u64>)> {
    let wanted: Vec<(&Located, &Calls)> = located
        .iter()
        .filter_map(|it| Some((it, it.probe.calls.as_ref()?)))
        .collect();
    let text = if wanted.is_empty() {
        None
    } else {
        Text::read(elf, functions)
    };
    let Some(text) = text else {
        return Vec::new();
    };
    let found = wanted.into_iter().map(|(it, Calls { except })| {
        let addresses = text.calls_of(it.function.address, except)?;
        let offsets = addresses.into_iter().map(|it| elf.code_offset(it));
        let offsets: Vec<u64> = offsets.collect::<Option<_>>()?;
        (!offsets.is_empty()).then_some((it.probe.name.as_str(), offsets))
    });
    found.collect::<Option<_>>().unwrap_or_default()
}

fn symbol(probe: &Probe) -> &str {
    probe.symbols.first().map_or("", String::as_str)
}

fn layout<'a>(probe: &'a Probe, version: &str) -> Result<&'a Layout, String> {
    version::minor(version)
        .and_then(|minor| probe.layout(minor))
        .ok_or_else(|| {
            format!(
                "its arguments are known for Go {}, not for {version}",
                probe.known()
            )
        })
}

/// Refuses all probes of this tool, for this reason.
pub(super) fn refuse(role: Role, why: &str) -> Resolved {
    let wanted: Vec<&Probe> = wanted(role).collect();
    refuse_all(&wanted, why)
}

fn refuse_all(probes: &[&Probe], why: &str) -> Resolved {
    let refused = probes.iter().map(|probe| Refusal {
        probe: probe.name.clone(),
        why: why.to_owned(),
    });
    Resolved {
        probes: Vec::new(),
        refused: refused.collect(),
    }
}
