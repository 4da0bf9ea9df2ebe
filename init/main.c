/*
 * joblet-init: the first process of every job.
 *
 *   joblet-init --job=UUID [--ident=NAME] [--grace=SECONDS] [--first-seq=NUMBER] [--stdin]
 *               [--log-share=BYTES:SECONDS:USED] [--make-namespaces] [--host-ns=NAME:INODE,...] [--encoded]
 *               -- COMMAND [ARG...]
 *
 * Starts the command, reaps what is orphaned, passes signals on, and turns the command's output into journal entries
 * on the datagram socket it finds as fd 1. Its first and last entries are records:
 *
 *   JOBLET_RECORD=start
 *   JOBLET_RECORD=exit  JOBLET_WAIT_STATUS (raw), JOBLET_EXEC_ERRNO (0: it ran), JOBLET_ERROR (only if joblet-init
 *                       itself failed), JOBLET_STOPPED=1 (told to stop from outside of the job), JOBLET_CPU_USEC and
 *                       JOBLET_MAXRSS_KIB (of all processes of the job), JOBLET_LOG_BYTES (used of its share, with
 *                       what earlier attempts had USED)
 *
 * Where output was dropped, because in the last SECONDS the job had used up its share of BYTES, is a record, too:
 *
 *   JOBLET_RECORD=dropped  JOBLET_DROPPED_BYTES, JOBLET_DROPPED_LINES (ends of lines in them)
 *
 * All entries have SYSLOG_IDENTIFIER, JOBLET_JOB and JOBLET_SEQ=1,2,3... (a later attempt of the same job begins with
 * --first-seq), and those with output JOBLET_STREAM and
 * JOBLET_EOL (whether a newline followed MESSAGE). SIGTERM from systemd, which sends it to all processes of the unit,
 * starts the grace period; what is left after it gets SIGKILL. The exit code is the command's, 128+N for signal N, 127
 * or 126 when it could not be executed, 125 when joblet-init failed, 2 for wrong usage; 0 and nothing else when the unit
 * was restarted, for a job runs once.
 *
 * A listening socket as fd 0 is the daemon's way in, see control.c: there the command's standard input is written to
 * (with --stdin, otherwise it is the null device), and other commands are executed beside it. Secret variables come as
 * a credential, see environment.c.
 *
 * With --encoded the words of the command have the byte 1 for $, 2 for ; and 3 before each byte 1, 2 or 3 of their own:
 * for a systemd that does not get $ and ; back from the unit file that it has written.
 *
 * The command is taken for hostile, and has the same uid. So joblet-init is not dumpable (no ptrace, no /proc/1/fd), is
 * the namespace's pid 1 (no kill), opens nothing that it needs once the command runs (prlimit(2) on it is possible),
 * and trusts nothing that comes from there.
 */
#include "init.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * The default of 64 KiB makes an unbuffered writer wait for us, 1 MiB is no faster than this. And it counts: beyond
 * fs.pipe-user-pages-soft (64 MiB for all pipes of a uid) every new pipe of the same uid has only 8 KiB, pipe(7).
 */
#define PIPE_SIZE (256 * 1024)

static char fields[192]; /* of every entry: SYSLOG_IDENTIFIER, JOBLET_JOB */
static bool started;     /* the start record was written */

static pid_t command;    /* 0 before it was started and after it was reaped */
static int command_status;
static struct {
    int exec_errno;
    int setup_errno;     /* of what comes before exec */
} report;                /* from the child that could not become the command */
static bool stopping;
static bool stopped_from_outside;
static uint64_t cpu_usec; /* of all that was reaped, with what they had waited for */
static long maxrss_kib;
static bool reap_more;
static bool all_gone;
static uint64_t kill_at = NEVER;

/* How much later than the command's systemd's SIGTERM may reach us: it signals the processes of a unit one by one. */
#define TERM_SKEW (SEC / 10)

/* --- records --- */

static void start_record(void)
{
    static const char more[] = "\xe2\x80\xa6"; /* an ellipsis */
    char text[256], record[320];
    size_t n = (size_t)snprintf(text, sizeof text, "Starting");

    if (started)
        return;
    started = true;
    for (char **arg = option.command; *arg; arg++) {
        size_t len = strlen(*arg), room = sizeof text - sizeof more - n;
        if (room < 2)
            break;
        text[n++] = ' ';
        if (len < room) {
            memcpy(text + n, *arg, len);
            n += len;
            continue;
        }
        for (len = room - 1; len > 0 && ((*arg)[len] & 0xC0) == 0x80; len--)
            ; /* not in the middle of a UTF-8 character */
        memcpy(text + n, *arg, len);
        n += len;
        memcpy(text + n, more, sizeof more - 1);
        n += sizeof more - 1;
        break;
    }
    int len = snprintf(record, sizeof record, "%sPRIORITY=7\nJOBLET_RECORD=start\n", fields);
    journal_record(record, (size_t)len, text, n);
}

static void exit_record(int status, const char *error)
{
    char text[256], record[1024];
    int priority = 4, n, len; /* syslog(3): LOG_WARNING */

    if (error) {
        n = snprintf(text, sizeof text, "Could not start: %.200s", error);
    } else if (report.exec_errno) {
        n = snprintf(text, sizeof text, "Could not start: %s", strerrordesc_np(report.exec_errno));
    } else if (WIFSIGNALED(status)) {
        const char *name = sigabbrev_np(WTERMSIG(status)); /* NULL for real-time signals */
        n = name ? snprintf(text, sizeof text, "Killed by signal SIG%s", name)
                 : snprintf(text, sizeof text, "Killed by signal %d", WTERMSIG(status));
        if (WCOREDUMP(status))
            n += snprintf(text + n, sizeof text - (size_t)n, " (core dumped)");
    } else {
        priority = WEXITSTATUS(status) == 0 ? 6 : 5; /* LOG_INFO, LOG_NOTICE */
        n = snprintf(text, sizeof text, "Exited with code %d", WEXITSTATUS(status));
    }
    len = snprintf(record, sizeof record,
                   "%sPRIORITY=%d\nJOBLET_RECORD=exit\nJOBLET_WAIT_STATUS=%d\nJOBLET_EXEC_ERRNO=%d\n"
                   "JOBLET_CPU_USEC=%llu\nJOBLET_MAXRSS_KIB=%ld\nJOBLET_LOG_BYTES=%llu\n%s%s%.400s%s",
                   fields, priority, status, report.exec_errno, (unsigned long long)cpu_usec, maxrss_kib,
                   (unsigned long long)share_used(),
                   stopped_from_outside ? "JOBLET_STOPPED=1\n" : "", error ? "JOBLET_ERROR=" : "", error ? error : "",
                   error ? "\n" : "");
    journal_record(record, (size_t)len, text, (size_t)n);
}

void fail(const char *format, ...)
{
    char error[400];
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(error, sizeof error, format, arguments);
    va_end(arguments);
    if (command > 0 && getpid() == 1) {
        (void)kill(-1, SIGKILL);
        while (wait(NULL) >= 0 || errno == EINTR)
            ;
    }
    start_record(); /* even now: it makes journald look us up while we are still here */
    exit_record(EXIT_INTERNAL << 8, error);
    journal_drain();
    _exit(EXIT_INTERNAL);
}

/* --- before the command runs --- */

static void make_fields(void)
{
    char ident[65];
    size_t n = 0;

    for (const char *p = option.ident; *p && n < sizeof ident - 1; p++) {
        bool plain = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') ||
                     strchr("._-+@", *p);
        ident[n++] = plain ? *p : '_';
    }
    ident[n] = '\0';
    (void)snprintf(fields, sizeof fields, "SYSLOG_IDENTIFIER=%s\nJOBLET_JOB=%s\n", n > 0 ? ident : "job", option.job);
}

/* Also once more in new namespaces: a descriptor leads to the mounts of those that it was opened in. */
static void read_nothing(void)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (null < 0 || dup2(null, 0) < 0)
        _exit(EXIT_INTERNAL);
    close(null);
}

/*
 * Standard descriptors that are missing would be taken by what we open; and fd 0 goes to the command as it is, unless
 * that gets a pipe. The control socket moves out of its way.
 */
static void check_descriptors(void)
{
    struct stat st;

    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
            _exit(EXIT_INTERNAL);
    if (control_attach(STDIN_FILENO) || fstat(0, &st) < 0 || !S_ISCHR(st.st_mode) || st.st_rdev != makedev(1, 3))
        read_nothing();
}

/* systemd ignores SIGPIPE for its services, and an ignored SIGCHLD would reap without us; signals go to signalfd. */
static bool take_signals(void)
{
    /* struct sigaction as the kernel has it: SIG_DFL. Not by libc, which keeps 32 and 33 for itself. */
    static const unsigned long standard[4];
    sigset_t all;

    for (int sig = 1; sig <= SIGRTMAX; sig++)
        (void)syscall(SYS_rt_sigaction, sig, standard, NULL, 8); /* EINVAL for SIGKILL and SIGSTOP */
    sigfillset(&all);
    return sigprocmask(SIG_SETMASK, &all, NULL) == 0;
}

static _Noreturn void give_up(int fd, int exec_errno, int setup_errno)
{
    report.exec_errno = exec_errno;
    report.setup_errno = setup_errno;
    if (write(fd, &report, sizeof report) != sizeof report || setup_errno)
        _exit(EXIT_INTERNAL);
    _exit(exit_code_of(exec_errno));
}

static _Noreturn void become_command(const int stdio[3], int to_init)
{
    int error = prepare_child(stdio, false, to_init);

    if (error)
        give_up(to_init, 0, error);
    execvp(*option.command, option.command);
    give_up(to_init, errno, 0);
}

/* Returns the descriptor on which a failure is reported. */
static int start_command(void)
{
    int in = STDIN_FILENO, out[2], err[2], from_child[2];
    sigset_t pending;

    /* The write ends block: back-pressure is the point. */
    if (pipe2(out, O_CLOEXEC) < 0 || pipe2(err, O_CLOEXEC) < 0 || pipe2(from_child, O_CLOEXEC) < 0)
        fail("internal: pipe: %s", strerrordesc_np(errno));
    if (fcntl(out[0], F_SETFL, O_NONBLOCK) < 0 || fcntl(err[0], F_SETFL, O_NONBLOCK) < 0 ||
        fcntl(from_child[0], F_SETFL, O_NONBLOCK) < 0)
        fail("internal: fcntl: %s", strerrordesc_np(errno));
    (void)fcntl(out[1], F_SETPIPE_SZ, PIPE_SIZE);
    if (option.interactive)
        in = control_open_input();
    relay_start(out[0], err[0], fields);
    command = fork();
    if (command < 0)
        fail("internal: fork: %s", strerrordesc_np(errno));
    if (command == 0)
        become_command((const int[]){in, out[1], err[1]}, from_child[1]);
    if (in != STDIN_FILENO)
        close(in);
    close(out[1]);
    close(err[1]);
    close(from_child[1]);
    /* A stop that was requested before there was a command: systemd has not told it. */
    if (sigpending(&pending) == 0 && sigismember(&pending, SIGTERM))
        (void)kill(command, SIGTERM);
    return from_child[0];
}

/* --- while it runs --- */

/* Only ever called as pid 1: main() sees to that. Elsewhere kill(-1) would hit the whole host. */
static void signal_all(int sig)
{
    (void)kill(-1, sig); /* ESRCH: nobody left */
}

static void pass_on(int sig)
{
    if (command <= 1)
        return;
    if (kill(-command, sig) < 0 && errno == ESRCH) /* it has not called setsid() yet */
        (void)kill(command, sig);
}

/*
 * systemd's SIGTERM reaches every process of the unit by itself (KillMode=control-group, systemd.kill(5)), and a second
 * one would cut short what a program does on the first. So it is not passed on: it starts the grace period.
 */
static void stop(uint64_t now, bool by_systemd)
{
    if (stopping || (command == 0 && kill_at == NEVER))
        return;
    stopping = true;
    kill_at = now + option.grace;
    if (!by_systemd) {
        signal_all(SIGTERM);
        signal_all(SIGCONT); /* who is stopped could not act on it */
    }
}

static void handle_signals(int fd, uint64_t now)
{
    struct signalfd_siginfo signals[16]; /* a bounded number, the job may send any amount */
    ssize_t n = read(fd, signals, sizeof signals);

    for (size_t i = 0; n > 0 && i < (size_t)n / sizeof *signals; i++) {
        int sig = (int)signals[i].ssi_signo;
        bool from_outside;
        switch (sig) {
        case SIGCHLD:
            reap_more = true;
            break;
        case SIGTERM:
            /*
             * A sender from outside has pid 0 (pid_namespaces(7)), and rt_sigqueueinfo(2) refuses to forge SI_USER.
             * Unless the queue is full: a job with much effort can look as if it had been stopped, and no more.
             */
            from_outside = signals[i].ssi_code == SI_USER && signals[i].ssi_pid == 0;
            if ((command != 0 || kill_at != NEVER) && from_outside)
                stopped_from_outside = true;
            stop(now, from_outside);
            break;
        case SIGPIPE: /* about ourselves, if anything */
        case SIGSEGV:
        case SIGBUS:
        case SIGFPE:
        case SIGILL:
        case SIGTRAP:
        case SIGSYS:
        case SIGABRT:
            break;
        default:
            pass_on(sig);
        }
    }
}

static uint64_t to_usec(struct timeval t)
{
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_usec;
}

static void reap(void)
{
    struct rusage usage; /* not RUSAGE_CHILDREN at the end: systemd's helpers before execve(2) would count */
    int status;

    reap_more = false;
    for (int i = 0; i < 256; i++) { /* and then a look at the rest of the world */
        pid_t pid = wait4(-1, &status, WNOHANG | __WALL, &usage);
        if (pid == 0)
            return;
        if (pid < 0) {
            if (errno == ECHILD)
                all_gone = true;
            return;
        }
        cpu_usec += to_usec(usage.ru_utime) + to_usec(usage.ru_stime);
        if (usage.ru_maxrss > maxrss_kib)
            maxrss_kib = usage.ru_maxrss;
        if (pid == command) {
            command = 0;
            command_status = status;
            if (!stopping && WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM)
                kill_at = now_ns() + TERM_SKEW; /* is it systemd's, and ours still to come? */
            else if (!stopping) /* who was left behind has no one to outlive the job for */
                signal_all(SIGKILL);
        } else {
            control_reaped(pid, status);
        }
    }
    reap_more = true;
}

static void read_report(int *fd)
{
    if (*fd < 0 || read(*fd, &report, sizeof report) < 0)
        return; /* not yet */
    close(*fd);
    *fd = -1;
}

static void run(int signals, int from_child)
{
    enum { SIGNALS = RELAY_FDS, REPORT, CONTROL };
    struct pollfd fds[CONTROL + CONTROL_FDS];

    while (!all_gone || (kill_at != NEVER && !stopping)) {
        uint64_t now = now_ns();
        uint64_t wake = relay_prepare(fds, now);

        if (now >= kill_at) {
            signal_all(SIGKILL);
            kill_at = NEVER;
            continue;
        }
        if (kill_at < wake)
            wake = kill_at;
        fds[SIGNALS] = (struct pollfd){.fd = signals, .events = POLLIN};
        fds[REPORT] = (struct pollfd){.fd = from_child, .events = POLLIN};
        size_t n_control = control_prepare(fds + CONTROL, now, &wake);
        poll_until(fds, CONTROL + n_control, reap_more ? now : wake);
        now = now_ns();
        control_run(fds + CONTROL, n_control, now, command > 0 && !stopping && kill_at == NEVER);
        if (fds[SIGNALS].revents)
            handle_signals(signals, now);
        if (reap_more)
            reap();
        if (fds[REPORT].revents)
            read_report(&from_child);
        relay_run(fds, now);
    }
    read_report(&from_child);
}

int main(int argc, char **argv)
{
    sigset_t all;
    int signals;

    /* First of all: no ptrace, no /proc/1/fd, no pidfd_getfd(2) for processes of the same uid. ptrace(2). */
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || !take_signals())
        return EXIT_INTERNAL;
    check_descriptors();
    if (argc < 1)
        return EXIT_USAGE;
    parse_options(argv);
    make_fields();
    if (!journal_attach(STDOUT_FILENO, option.first_seq)) {
        dprintf(STDERR_FILENO, "joblet-init: standard output is not a connected AF_UNIX datagram socket\n");
        return EXIT_INTERNAL;
    }
    if (journal_used_before())
        return EXIT_SUCCESS; /* a failed unit would stay loaded */
    if (option.make_namespaces)
        make_namespaces();
    read_nothing();
    if (close_the_door() < 0)
        fail("isolation-failed: cannot load the closing filter: %s", strerrordesc_np(errno));
    check_namespaces(option.host, option.n_host);
    if (getpid() != 1) /* kill(-1) would reach beyond the job */
        fail("isolation-failed: not the first process of a pid namespace");
    sigfillset(&all);
    signals = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signals < 0)
        fail("internal: signalfd: %s", strerrordesc_np(errno));
    make_environment();
    start_record();
    run(signals, start_command());
    relay_finish();
    if (report.setup_errno) {
        char error[128];
        (void)snprintf(error, sizeof error, "internal: cannot prepare the command: %s",
                       strerrordesc_np(report.setup_errno));
        exit_record(command_status, error);
    } else {
        exit_record(command_status, NULL);
    }
    journal_drain();
    /* Not by return: what libc and sanitizers do at the end may need what the job's limits for us do not allow. */
    _exit(WIFEXITED(command_status) ? WEXITSTATUS(command_status) : 128 + WTERMSIG(command_status));
}
