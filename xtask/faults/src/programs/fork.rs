//! Forked children of a program, as servers make them.
#![allow(unsafe_code, reason = "the standard library does not fork")]

use std::io;

unsafe extern "C" {
    fn fork() -> i32;
    fn waitpid(pid: i32, status: *mut i32, options: i32) -> i32;
}

/// The children of this process, or the one that this process is.
pub(super) struct Children {
    pids: Vec<i32>,
    own_number: Option<usize>,
}

/// Forks `count` children. Both the parent and each child return from it.
pub(super) fn children(count: usize) -> io::Result<Children> {
    let mut pids = Vec::new();
    for number in 0..count {
        // SAFETY: what a child of a program with threads may not do is what the case is about.
        match unsafe { fork() } {
            0 => return Ok(Children { pids: Vec::new(), own_number: Some(number) }),
            -1 => return Err(io::Error::last_os_error()),
            pid => pids.push(pid),
        }
    }
    Ok(Children { pids, own_number: None })
}

impl Children {
    /// Which child this process is, from 0; `None` in the parent.
    pub(super) fn own_number(&self) -> Option<usize> {
        self.own_number
    }

    /// Waits for the end of all, and says whether each ended well.
    pub(super) fn wait(self) -> io::Result<bool> {
        let mut all_well = true;
        for pid in self.pids {
            let mut status = 0;
            // SAFETY: `status` outlives the call.
            if unsafe { waitpid(pid, &raw mut status, 0) } != pid {
                return Err(io::Error::last_os_error());
            }
            all_well &= status == 0;
        }
        Ok(all_well)
    }
}
