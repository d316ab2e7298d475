//! Memory that goes back when it is free.

#![allow(unsafe_code)] // `mallopt` has no safe face

/// From this size on a block is the system's to give and to take back.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const OWN_MAP_BYTES: libc::c_int = 128 * 1024;

/// Has the C library keep no large block for later. By itself it learns to: once a table of some
/// MiB was freed, the next ones come from its heap, and stay there.
pub fn keep_no_large_blocks() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: sets a number; that it is refused does no harm.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, OWN_MAP_BYTES);
    }
}
