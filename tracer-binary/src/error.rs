//! Errors that prevent any analysis. All other problems are notes in the result.

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("the file is empty")]
    Empty,
    #[error("the file has {size} bytes, over the limit of {limit}")]
    TooLarge { size: u64, limit: u64 },
    #[error("{}", unknown(*.format, .magic))]
    Unknown {
        /// The name of the format, if known.
        format: Option<&'static str>,
        /// The first bytes of the file.
        magic: String,
    },
    #[error("the {what} of this {format} file cannot be read; it is cut or damaged")]
    Broken {
        format: &'static str,
        what: &'static str,
    },
}

fn unknown(format: Option<&str>, magic: &str) -> String {
    match format {
        Some(format) => format!(
            "the format is {format}, which gotrace does not read; it reads ELF, PE, Mach-O, WebAssembly and `ar` archives of them"
        ),
        None => format!(
            "not an executable, library, object or archive (it begins with {magic}); pass an output of `go build`"
        ),
    }
}
