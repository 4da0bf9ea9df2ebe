/*
 * The closing filter. joblet-init has to be allowed to make namespaces and to mount where systemd cannot do it
 * (before 257); nothing that it starts may. On newer ones it is a second lock: a start that waits while systemd is
 * reloaded loses RestrictNamespaces=. Written by hand: it is short, and libseccomp is no part of a static binary
 * without dependencies. seccomp(2), bpf(4) (the classic machine), Documentation/userspace-api/seccomp_filter.
 */
#include "init.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#else
#error "which argument of clone(2) are the flags here, and is the low half of an argument first?"
#endif

#define X32_BIT 0x40000000 /* __X32_SYSCALL_BIT: the x32 ABI has AUDIT_ARCH_X86_64, too */

/* One number each for all architectures since 5.1, but newer than the kernel headers may be. */
#ifndef SYS_open_tree_attr
#define SYS_open_tree_attr 467
#endif

#define CLONE_NEW_ANY \
    (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET)

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offsetof(struct seccomp_data, field))
#define RETURN(what) BPF_STMT(BPF_RET | BPF_K, (uint32_t)(what))
#define DENY(nr, error) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (nr), 0, 1), RETURN(SECCOMP_RET_ERRNO | (error))

/* 0, or -1 and errno. Needs no_new_privs; covers this process and all it will ever start. */
int close_the_door(void)
{
    static struct sock_filter code[] = {
        LOAD(arch),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0),
        RETURN(SECCOMP_RET_KILL_PROCESS), /* other numbers for the same calls */
        LOAD(nr),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, X32_BIT, 0, 1),
        RETURN(SECCOMP_RET_ERRNO | EPERM),
        DENY(SYS_unshare, EPERM),
        DENY(SYS_setns, EPERM),
        DENY(SYS_mount, EPERM),
        DENY(SYS_umount2, EPERM),
        DENY(SYS_pivot_root, EPERM),
        DENY(SYS_chroot, EPERM),
        DENY(SYS_fsopen, EPERM),
        DENY(SYS_fsconfig, EPERM),
        DENY(SYS_fsmount, EPERM),
        DENY(SYS_fspick, EPERM),
        DENY(SYS_move_mount, EPERM),
        DENY(SYS_open_tree, EPERM),
        DENY(SYS_open_tree_attr, EPERM),
        DENY(SYS_mount_setattr, EPERM),
        DENY(SYS_clone3, ENOSYS), /* its flags are in memory, out of reach; libc falls back to clone(2) */
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 3),
        LOAD(args[0]),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_NEW_ANY, 0, 1),
        RETURN(SECCOMP_RET_ERRNO | EPERM),
        RETURN(SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {.len = sizeof code / sizeof *code, .filter = code};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) /* set by systemd already; without it: EACCES */
        return -1;
    /* seccomp(2) offers nothing more here, and this needs one system call fewer in systemd's own filter. */
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0);
}
