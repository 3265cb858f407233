//! Signal dispositions and masks.

/// Default disposition for every signal, and none blocked: execve keeps ignored signals ignored, and Rust ignores SIGPIPE.
pub fn reset() {
    for number in 1..=64 {
        // SAFETY: SIG_DFL runs no code of ours; KILL, STOP and libc's own signals answer an error, which changes nothing.
        unsafe { libc::signal(number, libc::SIG_DFL) };
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
