//! Decides which builds to delete: the oldest ones, as many as necessary.

/// Limits of the history. An absent limit is not enforced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Builds that started longer ago than this are deleted.
    pub max_age_ns: Option<u64>,
    /// While the stored builds take more than this, the oldest is deleted.
    pub max_bytes: Option<u64>,
}

/// The facts of a stored build that decide its deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aged {
    /// Nanoseconds since 1970.
    pub started_ns: i64,
    /// Bytes that its deletion frees, approximately.
    pub bytes: u64,
}

/// The number of the oldest builds to delete, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Excess {
    /// Builds older than the limit. They are the oldest, so they are deleted first.
    pub by_age: usize,
    /// Younger builds that the size limit leaves no room for.
    pub by_size: usize,
}

impl Excess {
    pub fn total(self) -> usize {
        self.by_age + self.by_size
    }
}

/// Counts the builds to delete. `builds` come oldest first, and no more of them are read than needed.
///
/// Sizes of builds are estimates: the caller deletes, measures again and repeats.
pub fn excess(
    builds: impl IntoIterator<Item = Aged>,
    used_bytes: u64,
    limits: Limits,
    now_ns: i64,
) -> Excess {
    let oldest = limits.max_age_ns.and_then(|age| {
        let age = i64::try_from(age).ok()?;
        now_ns.checked_sub(age)
    });
    let mut left = used_bytes;
    let mut excess = Excess::default();
    for build in builds {
        let is_too_old = oldest.is_some_and(|oldest| build.started_ns < oldest);
        let is_too_much = limits.max_bytes.is_some_and(|limit| left > limit);
        left = left.saturating_sub(build.bytes);
        if is_too_old {
            excess.by_age += 1;
        } else if is_too_much {
            excess.by_size += 1;
        } else {
            break;
        }
    }
    excess
}

/// The total of [`excess`].
pub fn n_to_delete(
    builds: impl IntoIterator<Item = Aged>,
    used_bytes: u64,
    limits: Limits,
    now_ns: i64,
) -> usize {
    excess(builds, used_bytes, limits, now_ns).total()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_that_is_too_old_counts_by_age_even_without_room() {
        let builds = (1..=5).map(|started_ns| Aged {
            started_ns,
            bytes: 10,
        });
        let limits = |age: Option<u64>, max_bytes| Limits {
            max_age_ns: age,
            max_bytes,
        };
        let of = |limits| {
            let Excess { by_age, by_size } = excess(builds.clone(), 50, limits, 10);
            (by_age, by_size)
        };
        assert_eq!(of(limits(None, None)), (0, 0));
        assert_eq!(of(limits(Some(7), None)), (2, 0));
        assert_eq!(of(limits(None, Some(20))), (0, 3));
        assert_eq!(of(limits(Some(7), Some(20))), (2, 1));
        assert_eq!(of(limits(Some(7), Some(40))), (2, 0));
        assert_eq!(of(limits(Some(u64::MAX), None)), (0, 0), "no such time");
    }
}
