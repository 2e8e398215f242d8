//! The import graph of a build.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::byte_string::ByteString;

/// The packages of a build and their imports, of packages from the build cache too.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Imports {
    /// Import paths in alphabetical order, with the test variant: `p [p.test]`.
    pub packages: Vec<ByteString>,
    /// The direct imports of each package, with those that the `go` command adds (`runtime` to a main package, `runtime/cgo` to a package
    /// with cgo): indices into `packages`. `null`: not known.
    pub imports: Vec<Option<Vec<u32>>>,
}
