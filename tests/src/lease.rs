//! Leases in the kernel's list, `/proc/locks`.

/// Inodes of the files on which this process holds a read lease.
pub fn inodes(locks: &str, pid: &str) -> Vec<u64> {
    let of_line = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, "LEASE", "ACTIVE", "READ", holder, file, ..] = words[..] else {
            return None;
        };
        let (_, inode) = file.rsplit_once(':')?;
        (holder == pid).then(|| inode.parse().ok())?
    };
    locks.lines().filter_map(of_line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_read_leases_of_the_process_are_listed() {
        let locks = "\
            1: FLOCK  ADVISORY  WRITE 70 fe:00:1 0 EOF\n\
            2: LEASE  ACTIVE    READ  71 fe:00:22 0 EOF\n\
            3: LEASE  ACTIVE    READ  7 fe:00:23 0 EOF\n\
            4: LEASE  BREAKING  READ  71 fe:00:24 0 EOF\n";
        assert_eq!(inodes(locks, "71"), [22]);
    }
}
