//! What has to go: the oldest builds, as many as it takes.

/// How much is kept. What is absent is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Builds that started longer ago than this go.
    pub max_age_ns: Option<u64>,
    /// While what is stored takes more than this, the oldest build goes.
    pub max_bytes: Option<u64>,
}

/// A stored build, for what matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aged {
    /// Nanoseconds since 1970.
    pub started_ns: i64,
    /// What deleting it frees, roughly.
    pub bytes: u64,
}

/// How many of the oldest builds have to be deleted. `builds` come oldest first, and no more of them are looked at than needed.
///
/// Sizes of builds are estimates: who deletes measures again, and asks again.
pub fn n_to_delete(
    builds: impl IntoIterator<Item = Aged>,
    used_bytes: u64,
    limits: Limits,
    now_ns: i64,
) -> usize {
    let oldest = limits.max_age_ns.and_then(|age| {
        let age = i64::try_from(age).ok()?;
        now_ns.checked_sub(age)
    });
    let mut left = used_bytes;
    builds
        .into_iter()
        .take_while(|build| {
            let is_too_old = oldest.is_some_and(|oldest| build.started_ns < oldest);
            let is_too_much = limits.max_bytes.is_some_and(|limit| left > limit);
            left = left.saturating_sub(build.bytes);
            is_too_old || is_too_much
        })
        .count()
}
