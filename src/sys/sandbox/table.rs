//! The system calls that are denied, in groups, each with its reason.
//!
//! Numbers and reasons only. A group has to be complete: before changing one, check which calls the kernel has
//! added since.

use libc::c_long;

/// System calls that go for one reason.
#[derive(Debug)]
pub(super) struct SyscallGroup {
    /// What they are.
    pub(super) name: &'static str,
    /// Why a network service does without.
    pub(super) why: &'static str,
    /// Their numbers on this architecture.
    pub(super) calls: &'static [c_long],
}

/// Names that the C library does not have on every architecture yet; one number for all of them.
mod new {
    use libc::c_long;

    pub(super) const PROCESS_MRELEASE: c_long = 448;
    pub(super) const FCHMODAT2: c_long = 452;
    pub(super) const SETXATTRAT: c_long = 463;
    pub(super) const REMOVEXATTRAT: c_long = 466;
    pub(super) const OPEN_TREE_ATTR: c_long = 467;
    #[cfg(target_arch = "x86_64")]
    pub(super) const KEXEC_FILE_LOAD: c_long = 320;
    #[cfg(target_arch = "aarch64")]
    pub(super) const KEXEC_FILE_LOAD: c_long = 294;
}

/// What is denied whatever the arguments are.
pub(super) const DENIED: &[SyscallGroup] = &[
    SyscallGroup {
        name: "programs",
        why: "a foothold looks for a shell first, and this process is never another program",
        calls: &[libc::SYS_execve, libc::SYS_execveat],
    },
    SyscallGroup {
        name: "other processes",
        why: "their memory and descriptors hold what this one has given up, the CAs' keys first",
        calls: &[
            #[cfg(target_arch = "x86_64")]
            libc::SYS_fork,
            #[cfg(target_arch = "x86_64")]
            libc::SYS_vfork,
            libc::SYS_kcmp,
            libc::SYS_pidfd_getfd,
            libc::SYS_pidfd_open,
            libc::SYS_pidfd_send_signal,
            libc::SYS_process_madvise,
            new::PROCESS_MRELEASE,
            libc::SYS_process_vm_readv,
            libc::SYS_process_vm_writev,
            libc::SYS_ptrace,
            libc::SYS_tkill,
        ],
    },
    SyscallGroup {
        name: "priorities, processors",
        why: "the kernel takes any process of the account for them, and one that never gets its turn is \
              stopped",
        calls: &[
            libc::SYS_ioprio_set,
            libc::SYS_sched_setaffinity,
            libc::SYS_sched_setattr,
            libc::SYS_sched_setparam,
            libc::SYS_sched_setscheduler,
            libc::SYS_setpgid,
            libc::SYS_setpriority,
        ],
    },
    SyscallGroup {
        name: "queues, semaphores and memory that have names",
        why: "programs of the account share them, and none of ours does",
        calls: &[
            libc::SYS_mq_open,
            libc::SYS_mq_unlink,
            libc::SYS_msgctl,
            libc::SYS_msgget,
            libc::SYS_msgrcv,
            libc::SYS_msgsnd,
            libc::SYS_semctl,
            libc::SYS_semget,
            libc::SYS_semop,
            libc::SYS_semtimedop,
            libc::SYS_shmat,
            libc::SYS_shmctl,
            libc::SYS_shmdt,
            libc::SYS_shmget,
        ],
    },
    SyscallGroup {
        name: "identities",
        why: "it has the account that it keeps",
        calls: &[
            libc::SYS_capset,
            libc::SYS_setfsgid,
            libc::SYS_setfsuid,
            libc::SYS_setgid,
            libc::SYS_setgroups,
            libc::SYS_setregid,
            libc::SYS_setresgid,
            libc::SYS_setresuid,
            libc::SYS_setreuid,
            libc::SYS_setuid,
        ],
    },
    SyscallGroup {
        name: "owners, modes and attributes",
        why: "Landlock does not look at them, and a key that others may read is a key given away",
        calls: &[
            #[cfg(target_arch = "x86_64")]
            libc::SYS_chmod,
            #[cfg(target_arch = "x86_64")]
            libc::SYS_chown,
            #[cfg(target_arch = "x86_64")]
            libc::SYS_lchown,
            libc::SYS_fchmod,
            libc::SYS_fchmodat,
            new::FCHMODAT2,
            libc::SYS_fchown,
            libc::SYS_fchownat,
            libc::SYS_fremovexattr,
            libc::SYS_fsetxattr,
            libc::SYS_lremovexattr,
            libc::SYS_lsetxattr,
            libc::SYS_removexattr,
            new::REMOVEXATTRAT,
            libc::SYS_setxattr,
            new::SETXATTRAT,
        ],
    },
    SyscallGroup {
        name: "file systems and namespaces",
        why: "another view of the files is a way around what the view allows",
        calls: &[
            #[cfg(target_arch = "x86_64")]
            libc::SYS_mknod,
            #[cfg(target_arch = "x86_64")]
            libc::SYS_sysfs,
            #[cfg(target_arch = "x86_64")]
            libc::SYS_ustat,
            libc::SYS_chroot,
            libc::SYS_fanotify_init,
            libc::SYS_fsconfig,
            libc::SYS_fsmount,
            libc::SYS_fsopen,
            libc::SYS_fspick,
            libc::SYS_mknodat,
            libc::SYS_mount,
            libc::SYS_mount_setattr,
            libc::SYS_move_mount,
            libc::SYS_name_to_handle_at,
            libc::SYS_open_by_handle_at,
            libc::SYS_open_tree,
            new::OPEN_TREE_ATTR,
            libc::SYS_pivot_root,
            libc::SYS_quotactl,
            libc::SYS_quotactl_fd,
            libc::SYS_setns,
            libc::SYS_umount2,
            libc::SYS_unshare,
        ],
    },
    SyscallGroup {
        name: "the kernel itself",
        why: "what replaces, extends or stops the kernel is for those who run the machine",
        calls: &[
            libc::SYS_acct,
            libc::SYS_delete_module,
            libc::SYS_finit_module,
            libc::SYS_init_module,
            new::KEXEC_FILE_LOAD,
            libc::SYS_kexec_load,
            libc::SYS_reboot,
            libc::SYS_setdomainname,
            libc::SYS_sethostname,
            libc::SYS_swapoff,
            libc::SYS_swapon,
            libc::SYS_syslog,
        ],
    },
    SyscallGroup {
        name: "the clock",
        why: "certificates are judged by it",
        calls: &[
            libc::SYS_adjtimex,
            libc::SYS_clock_adjtime,
            libc::SYS_clock_settime,
            libc::SYS_settimeofday,
        ],
    },
    SyscallGroup {
        name: "keyrings",
        why: "keys of the account's other programs",
        calls: &[libc::SYS_add_key, libc::SYS_keyctl, libc::SYS_request_key],
    },
    SyscallGroup {
        name: "large and seldom used doors",
        why: "the kernel's own faults have most often been behind these, and io_uring makes system calls \
              that no filter sees",
        calls: &[
            #[cfg(target_arch = "x86_64")]
            libc::SYS_ioperm,
            #[cfg(target_arch = "x86_64")]
            libc::SYS_iopl,
            #[cfg(target_arch = "x86_64")]
            libc::SYS_modify_ldt,
            #[cfg(target_arch = "x86_64")]
            libc::SYS_uselib,
            #[cfg(target_arch = "x86_64")]
            libc::SYS__sysctl,
            libc::SYS_bpf,
            libc::SYS_io_uring_enter,
            libc::SYS_io_uring_register,
            libc::SYS_io_uring_setup,
            libc::SYS_lookup_dcookie,
            libc::SYS_mbind,
            libc::SYS_migrate_pages,
            libc::SYS_move_pages,
            libc::SYS_nfsservctl,
            libc::SYS_perf_event_open,
            libc::SYS_personality,
            libc::SYS_remap_file_pages,
            libc::SYS_set_mempolicy,
            libc::SYS_userfaultfd,
            libc::SYS_vhangup,
        ],
    },
];

/// What is denied for some arguments, and why; the rules are in `seccomp.rs`.
const BY_ARGUMENT: &[(&str, &str)] = &[
    (
        "new processes and namespaces by `clone`; `clone3` altogether",
        "threads are enough, and the flags of `clone3` cannot be seen by a filter",
    ),
    (
        "sockets other than TCP and UDP over IPv4 and IPv6",
        "every family and protocol is another part of the kernel, and Landlock does not know the ports of \
         all of them; a Unix socket may lead to somebody's agent",
    ),
    (
        "pairs of sockets, but for streams and sequences of packets between Unix sockets",
        "one half of a pair of datagram sockets can be connected to any other socket, and send to it",
    ),
    (
        "memory that can be executed",
        "no code that was not there at the start",
    ),
    (
        "signals to others, also by `F_SETOWN`, `F_SETOWN_EX`, `F_SETSIG`, `FIOSETOWN`, `SIOCSPGRP`; limits \
         of others",
        "older versions of Landlock do not keep them in",
    ),
    (
        "`TIOCSTI`, `TIOCLINUX`",
        "what is typed into the administrator's terminal comes from the administrator",
    ),
];

/// Both as a Markdown table, for the documentation.
pub(super) fn markdown() -> String {
    let always = DENIED.iter().map(|group| (group.name, group.why));
    let rows = always.chain(BY_ARGUMENT.iter().copied());
    let head = "| denied | why |\n|---|---|\n".to_owned();
    rows.fold(head, |text, (name, why)| {
        text + &format!("| {name} | {why} |\n")
    })
}
