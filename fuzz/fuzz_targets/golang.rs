//! Parses any command line, environment and text. Cleaning a clean value does not change it. NUL bytes separate the parts of the
//! input.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tracer_core::byte_string::ByteString;
use tracer_core::event::Role;
use tracer_core::golang::command::GoCommand;
use tracer_core::golang::goflags::{self, Quoting};
use tracer_core::golang::settings::{self, Sources};
use tracer_core::golang::tool::{self, ToolArgs, WorkDir};
use tracer_core::golang::version::GoVersion;
use tracer_core::golang::{c_tool, go_mod, output_name, response_file};
use tracer_core::origin::Place;

fuzz_target!(|bytes: &[u8]| {
    let args: Vec<ByteString> = bytes.split(|it| *it == 0).map(ByteString::from).collect();
    let first = args.first().cloned().unwrap_or_default();
    let env = settings::parse_env_file(bytes);

    let goflags = goflags::split(first.as_bytes(), Quoting::Shell).unwrap_or_default();
    let command = GoCommand::parse(&args, &goflags);
    assert!(
        command.packages.len() + command.program_args.len() + command.unknown.len()
            <= 2 * args.len()
    );
    let _name = output_name::of_build(&command, first.as_bytes(), "windows", "plugin");
    let _name = output_name::of_test(first.as_bytes(), "linux");

    for role in [Role::Compile, Role::Link, Role::Cgo, Role::Vet] {
        let parsed = ToolArgs::parse(role, &args, &env, Some(&first));
        assert!(parsed.n_sources as usize <= args.len());
        assert_eq!(
            ToolArgs::parse(role, &ToolArgs::expand(&args, &[]), &env, None).response_file,
            None
        );
    }
    let clean = tool::resolve(&first, None);
    assert_eq!(tool::resolve(&clean, None), clean);
    if let Some(work) = WorkDir::of(first.as_bytes()) {
        assert!(first.as_bytes().starts_with(work.root.as_bytes()));
    }
    let (package, _) = tool::split_variant(first.as_bytes());
    assert!(first.as_bytes().starts_with(package));
    let _kind = c_tool::kind(first.as_bytes());
    let _file = settings::user_file(&env);
    let _dir = Sources {
        env: &env,
        user: None,
        root: None,
    }
    .gocache();

    let version = GoVersion::parse(&first.to_str());
    if let Some(version) = version {
        assert_eq!(GoVersion::parse(&version.to_string()), Some(version));
    }
    let _args = response_file::parse(bytes, version.as_ref());
    let _module = go_mod::module_path(bytes);
    let _dirs = (go_mod::work_dirs(bytes), go_mod::replaced_dirs(bytes));
    let _place = Place::of_proc(bytes);
});
