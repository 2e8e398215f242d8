//! Makes seeds for the fuzz targets from real files: `cargo run -p tracer-binary --example seed fuzz/corpus FILE...`.
//!
//! Seeds are small, because a fuzzer makes no progress on large ones. A small file is a seed itself. Of a large file
//! the seed is its head, which contains the headers. The snapshot of each file is another seed, with all but its
//! largest symbols folded.

use std::error::Error;
use std::fs;
use std::path::Path;

use tracer_binary::{Options, Snapshot, analyze};

const MAX: usize = 6 << 10;
/// Minimum size of the symbols that a seed snapshot lists, in bytes.
const MIN_SYMBOL: u64 = 16 << 10;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let corpus = arguments
        .next()
        .ok_or("the corpus directory comes first, then files")?;
    let corpus = Path::new(&corpus);
    for directory in ["analyze", "identify", "snapshot"] {
        fs::create_dir_all(corpus.join(directory))?;
    }
    for file in arguments {
        let bytes = fs::read(&file)?;
        let name = Path::new(&file)
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let head = bytes.get(..MAX).unwrap_or(&bytes);
        fs::write(corpus.join("analyze").join(&name), head)?;
        fs::write(corpus.join("identify").join(&name), head)?;
        if let Ok(analysis) = analyze(&bytes, Options::default()) {
            let mut snapshot = Snapshot::of(&analysis, MIN_SYMBOL);
            snapshot.packages.truncate(8);
            snapshot.symbols.folded.truncate(8);
            fs::write(
                corpus.join("snapshot").join(format!("{name}.json")),
                serde_json::to_vec(&snapshot)?,
            )?;
        }
    }
    Ok(())
}
