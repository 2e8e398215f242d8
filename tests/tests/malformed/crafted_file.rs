//! A file assembled field by field, and the malformed versions of each field. Deterministic: every run makes the same edits.

/// A file with the positions of its numbers.
#[derive(Clone)]
pub(super) struct CraftedFile {
    pub(super) name: &'static str,
    pub(super) bytes: Vec<u8>,
    fields: Vec<Field>,
    is_big: bool,
}

#[derive(Clone)]
struct Field {
    name: &'static str,
    at: usize,
    len: usize,
    notation: Notation,
}

#[derive(Clone, Copy)]
enum Notation {
    Little,
    Big,
    Leb,
    Decimal,
}

impl CraftedFile {
    pub(super) fn new(name: &'static str) -> Self {
        Self {
            name,
            bytes: Vec::new(),
            fields: Vec::new(),
            is_big: false,
        }
    }

    pub(super) fn big(name: &'static str) -> Self {
        Self {
            is_big: true,
            ..Self::new(name)
        }
    }

    pub(super) fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    pub(super) fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub(super) fn align(&mut self, to: usize) {
        self.bytes.resize(self.bytes.len().next_multiple_of(to), 0);
    }

    /// Appends a number of `len` bytes; returns its position.
    pub(super) fn put(&mut self, name: &'static str, len: usize, value: u64) -> usize {
        let at = self.bytes.len();
        self.bytes.resize(at + len, 0);
        let notation = if self.is_big {
            Notation::Big
        } else {
            Notation::Little
        };
        self.field(name, at, len, notation);
        self.set(at, len, value);
        at
    }

    /// Appends several numbers of one length.
    pub(super) fn puts(&mut self, len: usize, fields: &[(&'static str, u64)]) {
        for (name, value) in fields {
            self.put(name, len, *value);
        }
    }

    pub(super) fn set(&mut self, at: usize, len: usize, value: u64) {
        let number = if self.is_big {
            value.to_be_bytes()[8 - len..].to_vec()
        } else {
            value.to_le_bytes()[..len].to_vec()
        };
        self.bytes[at..at + len].copy_from_slice(&number);
    }

    pub(super) fn leb(&mut self, name: &'static str, value: usize) {
        let at = self.bytes.len();
        let mut left = value;
        while left >= 0x80 {
            self.bytes.push(u8::try_from(left & 0x7f).unwrap() | 0x80);
            left >>= 7;
        }
        self.bytes.push(u8::try_from(left).unwrap());
        self.field(name, at, self.bytes.len() - at, Notation::Leb);
    }

    /// Appends a length, then that many bytes.
    pub(super) fn counted(&mut self, name: &'static str, bytes: &[u8]) {
        self.leb(name, bytes.len());
        self.raw(bytes);
    }

    pub(super) fn decimal(&mut self, name: &'static str, len: usize, value: usize) {
        let at = self.bytes.len();
        self.raw(format!("{value:<len$}").as_bytes());
        self.field(name, at, len, Notation::Decimal);
    }

    fn field(&mut self, name: &'static str, at: usize, len: usize, notation: Notation) {
        let field = Field {
            name,
            at,
            len,
            notation,
        };
        self.fields.push(field);
    }

    /// Appends another file, with its fields.
    pub(super) fn embed(&mut self, inner: &Self) {
        let at = self.bytes.len();
        self.raw(&inner.bytes);
        self.fields.extend(inner.fields.iter().map(|field| Field {
            at: at + field.at,
            ..field.clone()
        }));
    }

    /// Malformed versions of the file: every field with every bad value, the file cut at many places, and several faults at once.
    pub(super) fn malformed(&self, several: usize) -> Vec<(String, Vec<u8>)> {
        let mut files = Vec::new();
        for field in &self.fields {
            for (number, value) in self.values(field).into_iter().enumerate() {
                let mut bytes = self.bytes.clone();
                bytes.splice(field.at..field.at + field.len, value);
                files.push((format!("{}: {} {number}", self.name, field.name), bytes));
            }
        }
        let step = (self.bytes.len() / 150).max(1);
        for len in (0..self.bytes.len()).step_by(step) {
            files.push((
                format!("{}: cut at {len}", self.name),
                self.bytes[..len].to_vec(),
            ));
        }
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        for number in 0..several {
            let mut bytes = self.bytes.clone();
            for _ in 0..=random.below(4) {
                let field = &self.fields[random.below(self.fields.len())];
                let values = self.values(field);
                let value = &values[random.below(values.len())];
                // Keeps the length, so that the other fields do not move.
                for (place, byte) in bytes.iter_mut().skip(field.at).zip(value).take(field.len) {
                    *place = *byte;
                }
            }
            if random.below(4) == 0 {
                bytes.truncate(random.below(bytes.len()));
            }
            files.push((format!("{}: several {number}", self.name), bytes));
        }
        files
    }

    fn values(&self, field: &Field) -> Vec<Vec<u8>> {
        let old = &self.bytes[field.at..field.at + field.len];
        let numbers = |is_big: bool| {
            let mut wide = [0; 8];
            for (place, byte) in wide.iter_mut().zip(old.iter().rev()) {
                *place = *byte;
            }
            if !is_big {
                wide[..field.len].reverse();
            }
            let old = u64::from_le_bytes(wide);
            let size = self.len();
            let most = u64::MAX >> (64 - 8 * field.len);
            [
                0,
                1,
                old ^ 1,
                old.wrapping_add(1),
                old.wrapping_sub(1),
                old.wrapping_mul(2),
                size,
                size - 1,
                size + 1,
                most,
                most - 7,
                most / 2,
                most / 2 + 1,
                1 << 24,
                0x3fff_ffff,
            ]
            .into_iter()
            .map(|it| {
                let wide = it.to_le_bytes();
                let bytes = wide[..field.len].iter().copied();
                if is_big {
                    bytes.rev().collect()
                } else {
                    bytes.collect()
                }
            })
            .collect()
        };
        match field.notation {
            Notation::Little => numbers(false),
            Notation::Big => numbers(true),
            Notation::Leb => [
                &[0x00_u8][..],
                &[0x01],
                &[0x7f],
                &[0x80],
                &[0xff, 0x7f],
                &[0xff, 0xff, 0xff, 0xff, 0x0f],
                &[0xff, 0xff, 0xff, 0xff, 0x07],
                &[0x80, 0x80, 0x80, 0x80, 0x00],
                &[0xff; 10],
                &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
                &[],
            ]
            .map(<[u8]>::to_vec)
            .into(),
            Notation::Decimal => [
                "",
                "0",
                "1",
                "-1",
                "x",
                "4294967295",
                "9999999999",
                "99999999999",
            ]
            .map(|it| format!("{it:<0$}", field.len).into_bytes())
            .into(),
        }
    }
}

/// Xorshift: sufficient for choices, and the same on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % n as u64).unwrap()
    }
}
