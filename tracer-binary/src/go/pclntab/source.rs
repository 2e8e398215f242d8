//! Source files of functions, from the function table.
//!
//! Only the first file of a function is read: the one that its first instruction is from.

use super::Pclntab;
use crate::limit;
use crate::reader::index;

/// Fields of a function's record behind its start.
const FILE_TABLE: usize = 4;
const UNIT: usize = 7;

impl<'i> Pclntab<'i> {
    /// The source file of the function with the record at `record`, as the compiler stored its path.
    pub(crate) fn source_file(&self, record: usize) -> Option<&'i [u8]> {
        let field = |number: usize| {
            let at = record.checked_add(self.entry())?.checked_add(4 * number)?;
            self.reader.u32(at)
        };
        let (change, _) = self.reader.uvarint(self.table(field(FILE_TABLE)?)?)?;
        // The value before the first one is -1, and an odd change is negative.
        let number = (change & 1 == 0).then(|| (change >> 1).checked_sub(1))??;
        let number = index(field(UNIT)?.into())?.checked_add(index(number)?)?;
        let entry = number.checked_mul(4)?.checked_add(self.units)?;
        let name = self.reader.u32(entry).filter(|_| entry < self.files)?;
        let at = self.files.checked_add(index(name.into())?)?;
        let left = self.tables.checked_sub(at)?;
        self.reader.cstr(at, left.min(limit::NAME))
    }
}
