//! Ends of functions, from the function table.

use super::{Function, Pclntab};

/// Computes the ends of functions. Only callers that need the end of a function pay for it.
#[derive(Debug)]
pub(crate) struct Ends<'t, 'i> {
    table: &'t Pclntab<'i>,
    /// The steps left for all functions together.
    steps: usize,
}

impl<'t, 'i> Ends<'t, 'i> {
    pub(crate) fn new(table: &'t Pclntab<'i>) -> Self {
        // On average, a record alone has more bytes than its function has steps. A hostile file lets all functions
        // share a long table.
        let steps = table.reader.len();
        Self { table, steps }
    }

    /// The end of a function, relative to the start of the text. It excludes the padding behind the function, unless no
    /// table of the function states its length.
    pub(crate) fn of(&mut self, function: &Function<'_>) -> u64 {
        self.code_len(function.record)
            .and_then(|len| function.start.checked_add(len))
            .filter(|&end| function.start < end && end <= function.next)
            .unwrap_or(function.next)
    }

    /// Length of a function's code: `funcpctab` of `cmd/internal/obj` ends each table of values where the code ends.
    fn code_len(&mut self, record: usize) -> Option<u64> {
        /// Stack depth, file, line; then the count of tables that not all functions have.
        const TABLES: [usize; 3] = [3, 4, 5];
        let table = self.table;
        let offset = |number: usize| {
            let at = record.checked_add(table.entry())?.checked_add(4 * number)?;
            table.table(table.reader.u32(at)?)
        };
        let mut at = TABLES.into_iter().find_map(offset)?;
        let mut len = 0u64;
        let mut is_first = true;
        loop {
            self.steps = self.steps.checked_sub(1)?;
            let (value, behind) = table.reader.uvarint(at)?;
            // The first value may equal the initial value.
            if value == 0 && !is_first {
                return len.checked_mul(table.quantum.into());
            }
            is_first = false;
            let (step, behind) = table.reader.uvarint(behind)?;
            len = len.checked_add(step)?;
            at = behind;
        }
    }
}
