//! Seccomp: refuses system calls that a network service never makes. The only file that imports its
//! crate.
//!
//! The list names denied calls, not permitted ones. A list of permitted calls would depend on one version
//! of the C library, the allocator and the runtime: with the next version, a harmless new call would end
//! sessions. Denied are calls that extend an attacker's access: to other programs, processes and
//! identities, and to seldom used parts of the kernel. A refused call fails with EPERM, so that a library
//! which only tries it continues. Calls of another architecture, whose numbers have other meanings, kill
//! the process.

use std::path::Path;

use super::rights::Seccomp;

/// There where the kernel has filters.
const ACTIONS: &str = "/proc/sys/kernel/seccomp/actions_avail";

/// What the kernel has.
pub(super) fn offered() -> Seccomp {
    if !cfg!(any(target_arch = "x86_64", target_arch = "aarch64")) {
        return Seccomp::Missing("there is no table of system calls for this architecture");
    }
    match Path::new(ACTIONS).exists() {
        true => Seccomp::Filter,
        false => Seccomp::Missing("the kernel has no seccomp filters"),
    }
}

/// Filters the system calls of this process. Without `unix_sockets`, new ones are refused.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(super) fn restrict(_unix_sockets: bool) -> Result<Seccomp, SandboxError> {
    Ok(offered())
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub(super) use filter::restrict;

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub(super) mod filter {
    //! The table, and the rules that look at arguments, as programs of the kernel.

    use std::collections::BTreeMap;

    use libc::{c_int, c_long};
    use seccompiler::{
        BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
        SeccompFilter, SeccompRule, TargetArch, apply_filter_all_threads,
    };

    use crate::sys::sandbox::rights::{SandboxError, Seccomp};
    use crate::sys::sandbox::seccomp::offered;
    use crate::sys::sandbox::table::DENIED;

    #[cfg(target_arch = "x86_64")]
    const ARCH: TargetArch = TargetArch::x86_64;
    #[cfg(target_arch = "aarch64")]
    const ARCH: TargetArch = TargetArch::aarch64;

    /// Flags of `clone` that make a namespace.
    const NAMESPACES: [c_int; 7] = [
        libc::CLONE_NEWCGROUP,
        libc::CLONE_NEWIPC,
        libc::CLONE_NEWNET,
        libc::CLONE_NEWNS,
        libc::CLONE_NEWPID,
        libc::CLONE_NEWUSER,
        libc::CLONE_NEWUTS,
    ];

    /// `TIOCSTI` and `TIOCLINUX`, whose type differs between C libraries.
    const TERMINAL_INPUT: [u64; 2] = [0x5412, 0x541c];

    /// Commands of `ioctl` that say which process the kernel signals about a file: `FIOSETOWN`, `SIOCSPGRP`.
    const OWNER_BY_IOCTL: [u64; 2] = [0x8901, 0x8902];

    /// The same of `fcntl`, and with which signal.
    const OWNER_BY_FCNTL: [c_int; 3] = [libc::F_SETOWN, F_SETSIG, F_SETOWN_EX];
    const F_SETSIG: c_int = 10;
    const F_SETOWN_EX: c_int = 15;

    /// The bits of a socket's type that say its kind; above them are flags.
    const SOCKET_KIND: u64 = 0xf;

    /// Filters the system calls of this process. Without `unix_sockets`, new ones are refused.
    pub(in crate::sys::sandbox) fn restrict(unix_sockets: bool) -> Result<Seccomp, SandboxError> {
        for program in &programs(unix_sockets)? {
            match apply_filter_all_threads(program) {
                Ok(()) => {}
                Err(error) if is_missing(&error) => {
                    return Ok(Seccomp::Missing("the kernel has no seccomp filters"));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Seccomp::Filter)
    }

    /// Whether the kernel has none, as opposed to a program that it does not like.
    fn is_missing(error: &seccompiler::Error) -> bool {
        let seccompiler::Error::Seccomp(error) = error else {
            return false;
        };
        let has_none = matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EINVAL));
        has_none && offered() != Seccomp::Filter
    }

    /// The programs that a process enters.
    pub(in crate::sys::sandbox) fn programs(
        unix_sockets: bool,
    ) -> Result<[BpfProgram; 2], BackendError> {
        let mut rules = by_argument(unix_sockets)?;
        let always = DENIED.iter().flat_map(|group| group.calls);
        rules.extend(always.map(|call| (*call, Vec::new())));
        // Its flags are in memory, where a filter cannot look. The C library then calls `clone`.
        let clone3 = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
        Ok([
            program(clone3, libc::ENOSYS.unsigned_abs())?,
            program(rules, libc::EPERM.unsigned_abs())?,
        ])
    }

    /// A program that denies some calls, always or where a rule says so, with an error number.
    pub(in crate::sys::sandbox) fn program(
        rules: BTreeMap<c_long, Vec<SeccompRule>>,
        errno: u32,
    ) -> Result<BpfProgram, BackendError> {
        let (otherwise, found) = (SeccompAction::Allow, SeccompAction::Errno(errno));
        let filter = SeccompFilter::new(rules, otherwise, found, ARCH)?;
        let mut program = x32::kill();
        program.extend(BpfProgram::try_from(filter)?);
        Ok(program)
    }

    /// What depends on arguments.
    fn by_argument(unix_sockets: bool) -> Result<BTreeMap<c_long, Vec<SeccompRule>>, BackendError> {
        let mut rules: BTreeMap<c_long, Vec<SeccompRule>> = BTreeMap::new();
        let mut deny = |call, tests: Vec<SeccompCondition>| -> Result<(), BackendError> {
            rules
                .entry(call)
                .or_default()
                .push(SeccompRule::new(tests)?);
            Ok(())
        };

        // Threads are made, processes and namespaces are not.
        deny(libc::SYS_clone, vec![lacks(0, libc::CLONE_THREAD)?])?;
        for namespace in NAMESPACES {
            deny(libc::SYS_clone, vec![has(0, namespace)?])?;
        }

        // Every family is another part of the kernel.
        let mut other = vec![differs(0, libc::AF_INET)?, differs(0, libc::AF_INET6)?];
        if unix_sockets {
            other.push(differs(0, libc::AF_UNIX)?);
        }
        deny(libc::SYS_socket, other)?;
        // Raw sockets see what is not theirs, and of other protocols than TCP Landlock knows no ports.
        for kind in kinds_but([libc::SOCK_STREAM, libc::SOCK_DGRAM]) {
            deny(libc::SYS_socket, vec![is_of_kind(1, kind)?])?;
        }
        let protocols = [0, libc::IPPROTO_TCP, libc::IPPROTO_UDP];
        let protocols = protocols.map(|protocol| differs(2, protocol));
        deny(
            libc::SYS_socket,
            protocols.into_iter().collect::<Result<_, _>>()?,
        )?;

        // Pairs stay where they lead nowhere else. A datagram socket can be connected anew, and sends
        // to whatever address it is told.
        deny(libc::SYS_socketpair, vec![differs(0, libc::AF_UNIX)?])?;
        for kind in kinds_but([libc::SOCK_STREAM, libc::SOCK_SEQPACKET]) {
            deny(libc::SYS_socketpair, vec![is_of_kind(1, kind)?])?;
        }

        // No code that was not there at the start.
        for call in [libc::SYS_mmap, libc::SYS_mprotect, libc::SYS_pkey_mprotect] {
            deny(call, vec![has(2, libc::PROT_EXEC)?])?;
        }

        // What is typed into the administrator's terminal comes from the administrator.
        for command in TERMINAL_INPUT {
            let tests = vec![condition(1, SeccompCmpOp::Eq, command)?];
            deny(libc::SYS_ioctl, tests)?;
        }

        // The process that the kernel signals about a file can be any of the account.
        for command in OWNER_BY_FCNTL {
            let command = u64::from(command.cast_unsigned());
            let tests = vec![condition(1, SeccompCmpOp::Eq, command)?];
            deny(libc::SYS_fcntl, tests)?;
        }
        for command in OWNER_BY_IOCTL {
            let tests = vec![condition(1, SeccompCmpOp::Eq, command)?];
            deny(libc::SYS_ioctl, tests)?;
        }

        // Signals and limits: its own.
        let own = rustix::process::getpid().as_raw_pid();
        for call in [
            libc::SYS_kill,
            libc::SYS_rt_sigqueueinfo,
            libc::SYS_rt_tgsigqueueinfo,
            libc::SYS_tgkill,
        ] {
            deny(call, vec![differs(0, own)?])?;
        }
        deny(libc::SYS_prlimit64, vec![differs(0, own)?, differs(0, 0)?])?;
        Ok(rules)
    }

    /// The kinds of sockets that there may be, without these.
    fn kinds_but(kept: [c_int; 2]) -> impl Iterator<Item = u64> {
        let kept = kept.map(|kind| u64::from(kind.cast_unsigned()));
        (0..=SOCKET_KIND).filter(move |kind| !kept.contains(kind))
    }

    fn is_of_kind(argument: u8, kind: u64) -> Result<SeccompCondition, BackendError> {
        condition(argument, SeccompCmpOp::MaskedEq(SOCKET_KIND), kind)
    }

    fn has(argument: u8, flag: c_int) -> Result<SeccompCondition, BackendError> {
        let flag = u64::from(flag.cast_unsigned());
        condition(argument, SeccompCmpOp::MaskedEq(flag), flag)
    }

    fn lacks(argument: u8, flag: c_int) -> Result<SeccompCondition, BackendError> {
        let flag = u64::from(flag.cast_unsigned());
        condition(argument, SeccompCmpOp::MaskedEq(flag), 0)
    }

    fn differs(argument: u8, value: c_int) -> Result<SeccompCondition, BackendError> {
        condition(argument, SeccompCmpOp::Ne, u64::from(value.cast_unsigned()))
    }

    /// The kernel reads these arguments as 32 bits; the other half of the register may contain
    /// anything.
    fn condition(
        argument: u8,
        operation: SeccompCmpOp,
        value: u64,
    ) -> Result<SeccompCondition, BackendError> {
        SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operation, value)
    }

    mod x32 {
        //! The other numbers of `x86_64`: kernels with x32 take each call under a second number too,
        //! under which no rule finds it.

        use seccompiler::sock_filter;

        /// Kills the process that uses them.
        #[cfg(target_arch = "x86_64")]
        pub(super) fn kill() -> Vec<sock_filter> {
            /// The first of these numbers.
            const FIRST: u32 = 0x4000_0000;
            let step = |code, jt, jf, k| sock_filter { code, jt, jf, k };
            vec![
                // BPF_LD | BPF_W | BPF_ABS: the number of the call.
                step(0x20, 0, 0, 0),
                // BPF_JMP | BPF_JGE | BPF_K
                step(0x35, 0, 1, FIRST),
                // BPF_RET | BPF_K
                step(0x06, 0, 0, libc::SECCOMP_RET_KILL_PROCESS),
            ]
        }

        /// No such numbers.
        #[cfg(not(target_arch = "x86_64"))]
        pub(super) fn kill() -> Vec<sock_filter> {
            Vec::new()
        }
    }
}
