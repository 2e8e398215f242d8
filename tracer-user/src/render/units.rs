//! Numbers with units, as text.
//!
//! Sizes of files use powers of ten (`MB`) and memory powers of two (`MiB`), as in `ls --si` and `time -v`. Each function uses one of
//! them, so they cannot be mixed up. All arithmetic uses integers and rounds to nearest.

/// A time span in nanoseconds: `340 ms`, `38.2 s`, `2 m 05 s`.
pub fn span(ns: u64) -> String {
    match ns {
        0 => "0 s".to_owned(),
        n if n < 1_000_000 => format!("{} µs", rounded(ns, 1_000).clamp(1, 999)),
        n if n < 9_950_000 => tenths(rounded(ns, 100_000), "ms"),
        n if n < 999_500_000 => format!("{} ms", rounded(ns, 1_000_000)),
        n if n < 59_950_000_000 => tenths(rounded(ns, 100_000_000), "s"),
        n if n < 3_599_500_000_000 => {
            let seconds = rounded(ns, 1_000_000_000);
            format!("{} m {:02} s", seconds / 60, seconds % 60)
        }
        _ => {
            let minutes = rounded(ns, 60_000_000_000);
            format!("{} h {:02} m", minutes / 60, minutes % 60)
        }
    }
}

/// Size of a file: `36.75 MB`.
pub fn size(bytes: u64) -> String {
    match bytes {
        n if n < 1_000 => format!("{bytes} B"),
        n if n < 999_950 => tenths(rounded(bytes, 100), "kB"),
        n if n < 999_995_000 => hundredths(rounded(bytes, 10_000), "MB"),
        _ => hundredths(rounded(bytes, 10_000_000), "GB"),
    }
}

/// An amount of memory: `812 MiB`.
pub fn memory(bytes: u64) -> String {
    const KIB: u64 = 1 << 10;
    const MIB: u64 = 1 << 20;
    const GIB: u64 = 1 << 30;
    match bytes {
        n if n < KIB => format!("{bytes} B"),
        n if n < MIB => format!("{} KiB", bytes / KIB),
        n if n < GIB => format!("{} MiB", bytes / MIB),
        _ => tenths(rounded(bytes, GIB / 10), "GiB"),
    }
}

/// An amount of memory, or `?` if unknown.
pub fn memory_if_known(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| "?".to_owned(), memory)
}

/// A count, with separated thousands from five digits on: `35 758`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    if digits.len() < 5 {
        return digits;
    }
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// A part in percent: `21.7 %`; `76 %` without decimals if a whole number is exact enough.
pub fn share(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "-".to_owned();
    }
    let rounded = (u128::from(part) * 1000 + u128::from(whole) / 2) / u128::from(whole);
    // A part below the whole is never 100 %.
    let per_mille = if part < whole {
        rounded.min(999)
    } else {
        rounded
    };
    match per_mille {
        0 if part > 0 => "<0.1 %".to_owned(),
        0 => "0 %".to_owned(),
        n if n < 100 || (n >= 995 && part < whole) => {
            format!("{}.{} %", per_mille / 10, per_mille % 10)
        }
        _ => format!("{} %", (per_mille + 5) / 10),
    }
}

/// `1 package`, `2 packages`.
pub fn counted(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(n), if n == 1 { one } else { many })
}

fn rounded(value: u64, unit: u64) -> u64 {
    value.saturating_add(unit / 2) / unit
}

fn tenths(n: u64, unit: &str) -> String {
    format!("{}.{} {unit}", n / 10, n % 10)
}

fn hundredths(n: u64, unit: &str) -> String {
    format!("{}.{:02} {unit}", n / 100, n % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_never_show_a_thousand_of_a_unit() {
        let expected = [
            (0, "0 s"),
            (1, "1 µs"),
            (999_999, "999 µs"),
            (1_000_000, "1.0 ms"),
            (9_949_999, "9.9 ms"),
            (9_950_000, "10 ms"),
            (999_499_999, "999 ms"),
            (999_500_000, "1.0 s"),
            (59_949_999_999, "59.9 s"),
            (59_950_000_000, "1 m 00 s"),
            (125_400_000_000, "2 m 05 s"),
            (3_599_499_999_999, "59 m 59 s"),
            (3_599_500_000_000, "1 h 00 m"),
            (u64::MAX, "5124095 h 34 m"),
        ];
        for (ns, text) in expected {
            assert_eq!(span(ns), text, "{ns} ns");
        }
    }

    #[test]
    fn files_are_decimal_and_memory_is_binary() {
        assert_eq!(
            [
                size(999),
                size(1_000),
                size(36_751_234),
                size(1_500_000_000)
            ],
            ["999 B", "1.0 kB", "36.75 MB", "1.50 GB"]
        );
        assert_eq!(
            [size(999_949), size(999_950), size(999_995_000)],
            ["999.9 kB", "1.00 MB", "1.00 GB"]
        );
        assert_eq!(
            [memory(1023), memory(1 << 20), memory(2_362_232_012)],
            ["1023 B", "1 MiB", "2.2 GiB"]
        );
    }

    #[test]
    fn counts_and_shares() {
        assert_eq!(
            [count(9999), count(10_000), count(1_234_567)],
            ["9999", "10 000", "1 234 567"]
        );
        assert_eq!(
            [
                share(0, 5),
                share(1, 5000),
                share(1, 50),
                share(2, 3),
                share(5, 0)
            ],
            ["0 %", "<0.1 %", "2.0 %", "67 %", "-"]
        );
        assert_eq!(
            [
                share(188, 189),
                share(99_999, 100_000),
                share(u64::MAX, u64::MAX)
            ],
            ["99.5 %", "99.9 %", "100 %"]
        );
    }
}
