//! The runtime's default profile: a list of the calls that ordinary programs need.
//!
//! What is left out and why: kernel modules, kexec, reboot, swap, clocks, quotas, accounting (the node's business);
//! keyrings, bpf, perf events, userfaultfd, io_uring, ptrace-less introspection of the kernel (large attack surface);
//! mounts, new namespaces and handles (a way out of the container). A capability that a container adds brings the calls
//! it is for.

use std::collections::BTreeSet;

/// A condition on one argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum When {
    /// `argument & mask == value`.
    Masked { argument: u32, mask: u64, value: u64 },
    /// `argument == value`.
    Equal { argument: u32, value: u64 },
}

/// A profile: everything that is not named gets EPERM, or ENOSYS where it is newer than all that is named.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Profile {
    pub allow: BTreeSet<&'static str>,
    pub allow_when: BTreeSet<(&'static str, When)>,
    /// Denied so that libraries fall back to an older call.
    pub enosys: BTreeSet<&'static str>,
}

const FILES: &str = "access chdir chmod chown chown32 close close_range copy_file_range creat dup dup2 dup3 faccessat \
    faccessat2 fadvise64 fadvise64_64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown fchown32 \
    fchownat fcntl fcntl64 fdatasync fgetxattr flistxattr flock fremovexattr fsetxattr fstat fstat64 fstatat64 \
    fstatfs fstatfs64 fsync ftruncate ftruncate64 futimesat getcwd getdents getdents64 getxattr getxattrat \
    inotify_add_watch inotify_init inotify_init1 inotify_rm_watch ioctl lchown lchown32 lgetxattr link linkat \
    listxattr listmount listxattrat llistxattr lremovexattr lseek lsetxattr lstat lstat64 _llseek memfd_create mkdir \
    mkdirat mknod mknodat newfstatat open openat openat2 pipe pipe2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 \
    read readahead readlink readlinkat readv removexattr removexattrat rename renameat renameat2 rmdir sendfile \
    sendfile64 setxattr setxattrat splice stat stat64 statfs statfs64 statmount statx symlink symlinkat sync \
    sync_file_range syncfs tee truncate truncate64 umask unlink unlinkat utime utimensat utimensat_time64 utimes \
    vmsplice write writev";
const MEMORY: &str = "brk cachestat madvise map_shadow_stack membarrier memfd_secret mincore mlock mlock2 mlockall \
    mmap mmap2 mprotect mremap mseal msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect \
    process_madvise process_mrelease remap_file_pages";
const PROCESSES: &str = "arch_prctl alarm capget capset execve execveat exit exit_group fork futex futex_requeue \
    futex_time64 futex_wait futex_waitv futex_wake get_robust_list get_thread_area getcpu getegid getegid32 geteuid \
    geteuid32 getgid getgid32 getgroups getgroups32 getitimer getpgid getpgrp getpid getppid getpriority getrandom \
    getresgid getresgid32 getresuid getresuid32 getrlimit getrusage getsid gettid getuid getuid32 ioprio_get \
    ioprio_set kill landlock_add_rule landlock_create_ruleset landlock_restrict_self lsm_get_self_attr \
    lsm_list_modules lsm_set_self_attr modify_ldt pause pidfd_open pidfd_send_signal prctl prlimit64 restart_syscall \
    riscv_hwprobe rseq sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr sched_getparam \
    sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr \
    sched_setparam sched_setscheduler sched_yield seccomp set_robust_list set_thread_area set_tid_address setfsgid \
    setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setitimer setpgid setpriority setregid \
    setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit setsid setuid setuid32 \
    sysinfo tgkill time times tkill ugetrlimit uname uretprobe vfork wait4 waitid waitpid";
const SIGNALS: &str = "rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend \
    rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sigaltstack signal signalfd signalfd4 sigprocmask \
    sigreturn sigpending sigsuspend";
/// adjtimex and clock_adjtime read the clock; the kernel asks who sets it for the capability.
const EVENTS_AND_TIME: &str = "adjtimex clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime \
    clock_gettime64 clock_nanosleep clock_nanosleep_time64 epoll_create epoll_create1 epoll_ctl epoll_ctl_old \
    epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 gettimeofday io_cancel io_destroy \
    io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit nanosleep poll ppoll ppoll_time64 pselect6 \
    pselect6_time64 select _newselect timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 \
    timer_settime timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64";
/// Which families socket(2) may make is checked before the names are.
const IPC_AND_NETWORK: &str = "accept accept4 bind connect getpeername getsockname getsockopt ipc listen \
    mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink \
    msgctl msgget msgrcv msgsnd recv recvfrom recvmmsg recvmmsg_time64 recvmsg semctl semget semop semtimedop \
    semtimedop_time64 send sendmmsg sendmsg sendto setsockopt shmat shmctl shmdt shmget shutdown socket socketcall \
    socketpair";
/// Only inside the container, where the kernel checks the target: since Linux 4.8 a filter also covers what a tracer
/// changes.
const TRACING: &str = "kcmp pidfd_getfd process_vm_readv process_vm_writev ptrace name_to_handle_at chroot";

/// Calls that a capability is for.
pub(crate) const BY_CAPABILITY: [(&str, &str); 12] = [
    ("CAP_DAC_READ_SEARCH", "open_by_handle_at"),
    (
        "CAP_SYS_ADMIN",
        "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie mount \
         mount_setattr move_mount open_tree perf_event_open quotactl quotactl_fd setdomainname sethostname setns \
         syslog umount umount2 unshare pivot_root",
    ),
    ("CAP_BPF", "bpf"),
    ("CAP_PERFMON", "perf_event_open"),
    ("CAP_SYS_BOOT", "reboot"),
    ("CAP_SYS_MODULE", "delete_module finit_module init_module"),
    ("CAP_SYS_PACCT", "acct"),
    ("CAP_SYS_RAWIO", "iopl ioperm"),
    ("CAP_SYS_TIME", "clock_settime clock_settime64 settimeofday stime"),
    ("CAP_SYS_TTY_CONFIG", "vhangup"),
    ("CAP_SYSLOG", "syslog"),
    ("CAP_SYS_NICE", "get_mempolicy mbind migrate_pages move_pages set_mempolicy set_mempolicy_home_node"),
];

/// All flags of clone(2) that make a namespace.
const CLONE_NEW: u64 = 0x7e02_0000;

/// RuntimeDefault. `added`: capabilities beyond the default set, full names.
pub(crate) fn runtime_default(added: &[String]) -> Profile {
    let lists = [FILES, MEMORY, PROCESSES, SIGNALS, EVENTS_AND_TIME, IPC_AND_NETWORK, TRACING];
    let mut allow: BTreeSet<&'static str> = lists.iter().flat_map(|list| list.split_whitespace()).collect();
    for (capability, calls) in BY_CAPABILITY {
        if added.iter().any(|a| a == capability) {
            allow.extend(calls.split_whitespace());
        }
    }
    let mut allow_when = BTreeSet::new();
    let mut enosys = BTreeSet::new();
    if !allow.contains("clone") {
        allow_when.insert(("clone", When::Masked { argument: 0, mask: CLONE_NEW, value: 0 }));
        // Its flags are in memory, where a filter cannot look; glibc falls back to clone.
        enosys.insert("clone3");
    }
    for persona in [0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff] {
        allow_when.insert(("personality", When::Equal { argument: 0, value: persona }));
    }
    Profile { allow, allow_when, enosys }
}
