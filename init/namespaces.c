/*
 * What PrivatePIDs= and ProtectControlGroups=strict do from systemd 257 on, for 252 to 256: user, mount and pid
 * namespaces of the job's own, inside of what the unit's other properties have made. Plus the check that the
 * namespaces, whoever made them, are not the host's.
 */
#include "init.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <linux/capability.h>

static int write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t n = write(fd, text, strlen(text)); /* all or nothing: these files take one write */
    int error = errno;
    close(fd);
    errno = error;
    return n < 0 ? -1 : 0;
}

/* user_namespaces(7): one line "inside outside length"; without privilege only our own ids, each as itself. */
static void map_ids(uid_t uid, gid_t gid)
{
    char line[64];

    /* The files belong to root as long as we are not dumpable (proc(5)). Nobody of the job runs yet. */
    if (prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) < 0)
        fail("isolation-failed: PR_SET_DUMPABLE: %s", strerrordesc_np(errno));
    if (write_file("/proc/self/setgroups", "deny") < 0) /* or gid_map needs CAP_SETGID outside */
        fail("isolation-failed: cannot write /proc/self/setgroups: %s", strerrordesc_np(errno));
    (void)snprintf(line, sizeof line, "%u %u 1", uid, uid);
    if (write_file("/proc/self/uid_map", line) < 0)
        fail("isolation-failed: cannot write /proc/self/uid_map: %s", strerrordesc_np(errno));
    (void)snprintf(line, sizeof line, "%u %u 1", gid, gid);
    if (write_file("/proc/self/gid_map", line) < 0)
        fail("isolation-failed: cannot write /proc/self/gid_map: %s", strerrordesc_np(errno));
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        fail("isolation-failed: PR_SET_DUMPABLE: %s", strerrordesc_np(errno));
}

/* The new user namespace came with all capabilities in it; capabilities(7). */
static void drop_capabilities(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{0, 0, 0}};

    for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++) /* EINVAL beyond the kernel's last */
        if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
            fail("isolation-failed: cannot drop capability %d: %s", cap, strerrordesc_np(errno));
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
        fail("isolation-failed: cannot clear ambient capabilities: %s", strerrordesc_np(errno));
    if (syscall(SYS_capset, &header, none) < 0) /* effective, permitted, inheritable */
        fail("isolation-failed: cannot drop capabilities: %s", strerrordesc_np(errno));
}

#define LOCKED_DOWN (MS_NOSUID | MS_NODEV | MS_NOEXEC)

/*
 * ProtectKernelTunables= and ProtectKernelLogs= have covered these on the /proc that the new one hides, so they are
 * covered again: systemd.exec(5). What the kernel does not have is skipped.
 */
static void protect_proc(void)
{
    static const char *const read_only[] = {
        "/proc/acpi",     "/proc/asound", "/proc/bus", "/proc/fs",            "/proc/irq", "/proc/mtrr",
        "/proc/pressure", "/proc/scsi",   "/proc/sys", "/proc/sysrq-trigger",
    };
    static const char *const hidden[] = {
        "/proc/kallsyms", "/proc/kcore",         "/proc/key-users",  "/proc/keys",
        "/proc/kmsg",     "/proc/latency_stats", "/proc/timer_list",
    };

    for (size_t i = 0; i < sizeof read_only / sizeof *read_only; i++) {
        if (mount(read_only[i], read_only[i], NULL, MS_BIND, NULL) < 0) {
            if (errno == ENOENT)
                continue;
            fail("isolation-failed: cannot bind %s: %s", read_only[i], strerrordesc_np(errno));
        }
        if (mount(NULL, read_only[i], NULL, MS_BIND | MS_REMOUNT | MS_RDONLY | LOCKED_DOWN, NULL) < 0)
            fail("isolation-failed: cannot make %s read-only: %s", read_only[i], strerrordesc_np(errno));
    }
    for (size_t i = 0; i < sizeof hidden / sizeof *hidden; i++)
        if (mount("/dev/null", hidden[i], NULL, MS_BIND, NULL) < 0 && (errno != ENOENT || access(hidden[i], F_OK) == 0))
            fail("isolation-failed: cannot hide %s: %s", hidden[i], strerrordesc_np(errno));
}

static void mount_all(void)
{
    static const char *const scratch[] = {"/tmp", "/var/tmp"};
    struct stat st;

    /*
     * EPERM here is mount_too_revealing() of the kernel: a user namespace may mount proc only when its mount
     * namespace already has one without anything mounted over parts of it. See the unit's ProcSubset=.
     */
    if (mount("proc", "/proc", "proc", LOCKED_DOWN, NULL) < 0)
        fail("isolation-failed: cannot mount a /proc of the job's own: %s%s", strerrordesc_np(errno),
             errno == EPERM ? " (is part of the existing one covered?)" : "");
    /* A second lock beside the filter: user.max_user_namespaces of our own namespace, namespaces(7). */
    if (write_file("/proc/sys/user/max_user_namespaces", "0") < 0)
        fail("isolation-failed: cannot limit user namespaces: %s", strerrordesc_np(errno));
    protect_proc();
    if (stat("/sys/fs/cgroup", &st) == 0 && S_ISDIR(st.st_mode) &&
        mount("tmpfs", "/sys/fs/cgroup", "tmpfs", MS_RDONLY | LOCKED_DOWN, "mode=0555,size=4k") < 0)
        fail("isolation-failed: cannot hide /sys/fs/cgroup: %s", strerrordesc_np(errno));
    /* PrivateTmp=, which systemd prefers to a TemporaryFileSystem= at the same place, sets no bounds. */
    for (size_t i = 0; i < sizeof scratch / sizeof *scratch; i++)
        if (mount("tmpfs", scratch[i], "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777,size=512M,nr_inodes=200k") < 0 &&
            errno != ENOENT)
            fail("isolation-failed: cannot mount %s: %s", scratch[i], strerrordesc_np(errno));
}

/* The process that systemd knows: hands signals in and the result out, and is nothing else any more. */
static _Noreturn void stand_outside(pid_t inner)
{
    sigset_t all;
    int status = EXIT_INTERNAL << 8;

    journal_detach();
    control_detach();
    drop_capabilities();
    if (close_the_door() < 0)
        fail("isolation-failed: cannot load the closing filter: %s", strerrordesc_np(errno));
    sigfillset(&all);
    for (;;) {
        int sig = sigwaitinfo(&all, NULL);
        if (sig < 0)
            continue; /* EINTR: stopped and continued */
        if (sig != SIGCHLD) {
            (void)kill(inner, sig); /* ESRCH only when it has ended, and then SIGCHLD is next */
            continue;
        }
        pid_t ended = waitpid(inner, &status, WNOHANG);
        if (ended == inner || (ended < 0 && errno != EINTR))
            break;
    }
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

/* Returns in the new namespaces, as their first process, without capabilities. */
void make_namespaces(void)
{
    uid_t uid = geteuid();
    gid_t gid = getegid();
    int lifeline[2];

    if (unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID) < 0)
        fail("isolation-failed: cannot make namespaces: %s%s", strerrordesc_np(errno),
             errno == ENOSPC ? " (user.max_user_namespaces?)" : "");
    map_ids(uid, gid);
    if (pipe2(lifeline, O_CLOEXEC) < 0)
        fail("isolation-failed: pipe: %s", strerrordesc_np(errno));
    pid_t inner = fork();
    if (inner < 0)
        fail("isolation-failed: fork: %s", strerrordesc_np(errno));
    if (inner > 0) {
        close(lifeline[0]);
        stand_outside(inner);
    }

    /* Our end of the lifeline shows whether the outer process died before PR_SET_PDEATHSIG; getppid() is always 0. */
    struct pollfd outer = {.fd = lifeline[0]};
    close(lifeline[1]);
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
        fail("isolation-failed: PR_SET_PDEATHSIG: %s", strerrordesc_np(errno));
    if (poll(&outer, 1, 0) != 0)
        _exit(EXIT_INTERNAL);
    close(lifeline[0]);

    mount_all();
    drop_capabilities();
}

void check_namespaces(const struct host_namespace *host, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char path[64];
        struct stat st;

        (void)snprintf(path, sizeof path, "/proc/self/ns/%s", host[i].name);
        if (stat(path, &st) < 0)
            fail("isolation-failed: cannot read %s: %s", path, strerrordesc_np(errno));
        if (st.st_ino == host[i].inode)
            fail("isolation-failed: %s namespace is the host's", host[i].name);
    }
}
