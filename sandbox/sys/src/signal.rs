//! Signal dispositions and masks.

/// Default disposition for every signal, and none blocked: execve keeps ignored signals ignored, and Rust ignores
/// SIGPIPE.
pub fn reset() {
    // The kernel's struct sigaction (handler, flags, restorer, mask): all zero is SIG_DFL. The raw call, since libc
    // refuses to touch the two signals that it keeps for itself, and an ignored one of those is inherited as well.
    let default = [0u64; 4];
    for number in 1..=64 {
        // SAFETY: the kernel reads the struct; SIG_DFL runs no code of ours; KILL and STOP answer an error, which
        // changes nothing.
        unsafe { libc::syscall(libc::SYS_rt_sigaction, number, default.as_ptr(), std::ptr::null_mut::<u64>(), 8usize) };
    }
    // SAFETY: both sets are initialised by sigemptyset before use.
    unsafe {
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
    }
}

/// Ignores SIGCHLD: the kernel then reaps children by itself.
pub fn reap_automatically() {
    // SAFETY: SIG_IGN runs no code of ours.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
}

/// Waits for ever.
pub fn pause_forever() -> ! {
    loop {
        // SAFETY: takes nothing.
        unsafe { libc::pause() };
    }
}

/// Ignores SIGPIPE: a write to a closed pipe is an error of that write, not the end of the process.
pub fn ignore_broken_pipes() {
    // SAFETY: SIG_IGN runs no code of ours.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
}
