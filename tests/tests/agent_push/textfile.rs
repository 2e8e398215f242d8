//! The file for `node_exporter`.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tracer_core::finished::FinishedTrace;

use tracer_user::agent::export::textfile::{Textfile, TextfileSettings};
use tracer_user::agent::metrics::Metrics;
use tracer_user::log::Log;

use crate::harness::{DAY, Server, built, free_address, promtool, wait_for};

#[test]
fn node_exporter_shows_the_written_file() {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let precious = dir.path().join("precious");
    fs::write(&precious, "precious").unwrap();
    let file = dir.path().join("gotrace.prom");
    symlink(&precious, &file).unwrap();
    let metrics = Arc::new(Metrics::new(DAY).unwrap());
    let settings = TextfileSettings {
        directory: dir.path().to_owned(),
        every_seconds: 1,
    };
    let textfile = Textfile::start(&settings, Arc::clone(&metrics), Log::to(|_| {})).unwrap();
    metrics
        .observe(&FinishedTrace::of(built(10)), &|_| None)
        .unwrap();
    let text = wait_for("the file has the build", || {
        let text = fs::read_to_string(&file).unwrap();
        let has_build = text.contains("\ngo_build_builds_total{");
        if has_build { Ok(text) } else { Err(text) }
    });
    promtool(&text);
    assert_eq!(fs::read_to_string(&precious).unwrap(), "precious");
    let metadata = fs::symlink_metadata(&file).unwrap();
    assert!(metadata.is_file());
    assert_eq!(metadata.permissions().mode() & 0o777, 0o644);

    let directory = format!("--collector.textfile.directory={}", dir.path().display());
    let args = [
        "--collector.disable-defaults",
        "--collector.textfile",
        &directory,
    ];
    let exporter = Server::start("prometheus-node-exporter", &args, free_address());
    let page = exporter.get("/metrics");
    assert!(page.contains("\nnode_textfile_scrape_error 0\n"), "{page}");
    assert!(page.contains("\nnode_textfile_mtime_seconds{"), "{page}");
    let size = |page: &str| -> Option<(String, f64)> {
        let mut lines = page.lines();
        let line = lines.find(|it| it.starts_with("go_build_binary_size_bytes{"))?;
        let (series, value) = line.rsplit_once(' ')?;
        Some((series.to_owned(), value.parse().ok()?))
    };
    assert!(
        size(&text).is_some() && size(&text) == size(&page),
        "{page}"
    );

    // At the end once more, with what came last.
    metrics
        .observe(&FinishedTrace::of(built(0)), &|_| None)
        .unwrap();
    let counts = textfile.finish(Instant::now() + Duration::from_mins(1));
    assert!(counts.sent >= 2 && counts.failed == 0, "{counts:?}");
    let text = fs::read_to_string(&file).unwrap();
    let builds = text
        .lines()
        .find(|it| it.starts_with("go_build_builds_total{"));
    assert!(builds.unwrap().ends_with("} 2"), "{text}");
    let names: Vec<_> = fs::read_dir(dir.path())
        .unwrap()
        .map(|it| it.unwrap().file_name())
        .collect();
    assert_eq!(names.len(), 2, "{names:?}");
}

#[test]
fn a_missing_directory_is_counted_and_used_again_when_it_returns() {
    let dir = tempfile::tempdir().unwrap();
    let settings = TextfileSettings {
        directory: dir.path().join("textfile"),
        every_seconds: 1,
    };
    fs::create_dir(&settings.directory).unwrap();
    let metrics = Arc::new(Metrics::new(DAY).unwrap());
    let textfile = Textfile::start(&settings, metrics, Log::to(|_| {})).unwrap();
    fs::remove_dir_all(&settings.directory).unwrap();
    wait_for("a failure", || {
        let counts = textfile.counts();
        (counts.failed > 0)
            .then_some(())
            .ok_or(format!("{counts:?}"))
    });
    fs::create_dir(&settings.directory).unwrap();
    wait_for("the file", || {
        let file = settings.directory.join("gotrace.prom");
        fs::metadata(&file).map(drop).map_err(|it| it.to_string())
    });
}
