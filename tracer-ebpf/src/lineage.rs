//! The ancestors of a process that is traced because of its name. Its ancestors are not traced, so no other record names them, and they may
//! exit a moment later.

use aya_ebpf::bindings::BPF_RB_NO_WAKEUP;
use tracer_abi::{Above, Kind, LINEAGE_MAX, Lineage};

use crate::{
    kernel::{born, read},
    maps::{EVENTS, offset},
    record::{count_lost, count_seen, header},
};

/// Sends the record, after the exec that woke the reader.
#[inline(always)]
pub fn send(task: u64) {
    count_seen(Kind::LINEAGE);
    let Some(mut room) = EVENTS.reserve::<Lineage>(0) else {
        count_lost(Kind::LINEAGE);
        return;
    };
    let lineage = room.as_mut_ptr();
    let mut n = 0;
    let mut next = leader_above(task);
    for i in 0..LINEAGE_MAX {
        let above = match next {
            Some(leader) => {
                next = leader_above(leader);
                n += 1;
                Above {
                    born_ns: read(leader, offset!(task_start_boottime)).unwrap_or(0),
                    name: read(leader, offset!(task_comm)).unwrap_or_default(),
                    tgid: read(leader, offset!(task_tgid)).unwrap_or(0),
                    pad: 0,
                }
            }
            None => Above::default(),
        };
        // SAFETY: the slot belongs to the program until it is submitted; `i` is below the length of the array.
        unsafe { (&raw mut (*lineage).above[i]).write(above) };
    }
    let header = header(Kind::LINEAGE, size_of::<Lineage>() as u64, born(task));
    // SAFETY: as above; with these writes the whole record is initialized.
    unsafe {
        (&raw mut (*lineage).header).write(header);
        (&raw mut (*lineage).n).write(n);
        (&raw mut (*lineage).pad).write(0);
    }
    room.submit(u64::from(BPF_RB_NO_WAKEUP));
}

/// The leader of the parent process, except the first process of the machine. `real_parent` is the thread that forked, or its replacement
/// after its exit.
#[inline(always)]
fn leader_above(task: u64) -> Option<u64> {
    let parent: u64 = read(task, offset!(task_real_parent))?;
    let leader: u64 = read(parent, offset!(task_group_leader))?;
    let tgid: u32 = read(leader, offset!(task_tgid))?;
    (tgid > 1).then_some(leader)
}
