//! How much a thread is worth to the system.

/// Lets the calling thread run when nobody else wants to. Where the system knows no priority of a
/// thread, nothing is done.
pub(crate) fn lower() {
    /// The lowest of the system.
    #[cfg(target_os = "linux")]
    const NICE: i32 = 19;

    // On Linux 0 is the calling thread. A system that refuses gives it the ordinary share.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::setpriority_process(None, NICE);
}
