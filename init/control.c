/*
 * The control socket: how the daemon reaches into a job that runs. joblet-init finds it, listening, as fd 0.
 *
 * AF_UNIX, SOCK_SEQPACKET, one request per connection. A message is a kind (one byte) and what belongs to it; numbers
 * are little-endian. Requests, with the descriptors that come along (SCM_RIGHTS, unix(7)):
 *
 *   I                    the write end of the command's standard input    -> R 0 with the descriptor
 *   Z                    no more input: our own write end is closed       -> R 0
 *   X terminal:u8 argc:u16 strings
 *                        execute beside the command: argc arguments, then KEY=VALUE variables besides the job's own,
 *                        each with a NUL byte behind it; 3 descriptors (standard input, output and error), or 1 with
 *                        terminal=1                                       -> R 0, F if it comes to that (even before), W
 *   S signal:u8          later on the same connection: for the executed command's process group
 *
 * Answers:
 *
 *   R errno:i32          done (0), or refused: EINVAL (not understood), EMSGSIZE, ESRCH (the command is ending), EBUSY
 *                        (too many connections), ENXIO (run without --stdin), EPIPE (input has ended), EMFILE, EAGAIN...
 *   F errno:i32          could not be executed
 *   W status:i32         has ended, with this wait status: the last message
 *
 * When a connection is closed while its command runs, that gets SIGHUP, and SIGKILL HANGUP_GRACE later. After a refusal
 * and after W it is closed from here.
 *
 * The other end is the daemon, root on the host: nobody else reaches the socket. It is still not trusted to be well.
 * The job is the enemy: it may have lowered our limits with prlimit(2), so that accept, fork or receiving descriptors
 * fail. Then there is an error, or no answer at all and a pause, but never an end or a loop.
 */
#include "init.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MESSAGE_MAX 65536
#define ARGUMENTS_MAX 4096
#define DESCRIPTORS_MAX 3
#define HANGUP_GRACE (2 * SEC)
#define ACCEPT_PAUSE (100 * MSEC)

enum { REFUSED = 'R', FAILED = 'F', ENDED = 'W' };

/* One of: waiting for its request; with a command that runs (pid); left by the daemon, with a command that is to go. */
struct connection {
    int fd;
    pid_t pid;
    uint64_t kill_at;
};

struct request {
    const char *data;
    size_t length;
    int fds[DESCRIPTORS_MAX + 1]; /* CMSG_SPACE rounds up to 4, and a 4th is one too many */
    size_t n_fds;
    bool fds_lost;
};

static int listener = -1;
static uint64_t accept_after;
static int input = -1; /* write end of the command's standard input */
static bool input_ended;
static struct connection connections[CONTROL_CONNECTIONS];
static size_t n_connections;

/* --- the socket --- */

bool control_attach(int fd)
{
    int domain = 0, type = 0, listens = 0, flags;
    socklen_t size = sizeof domain;

    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) < 0 || domain != AF_UNIX ||
        getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0 || type != SOCK_SEQPACKET ||
        getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) < 0 || !listens)
        return false;
    flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return false;
    listener = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    return listener >= 0;
}

/* The process that only waits has no business with the socket. */
void control_detach(void)
{
    if (listener >= 0)
        close(listener);
    listener = -1;
}

/* Returns the read end of the command's standard input. */
int control_open_input(void)
{
    int ends[2];

    if (listener < 0)
        fail("internal: --stdin without a control socket");
    /* Our end does not block: it is the daemon's as well, and the job decides when there is room. */
    if (pipe2(ends, O_CLOEXEC) < 0 || fcntl(ends[1], F_SETFL, O_NONBLOCK) < 0)
        fail("internal: pipe: %s", strerrordesc_np(errno));
    input = ends[1];
    return ends[0];
}

/* --- answers --- */

/* False: nobody is there to hear it, or does not listen. */
static bool answer(int fd, char kind, int32_t number, int passed)
{
    uint32_t value = htole32((uint32_t)number);
    char message[1 + sizeof value] = {kind};
    struct iovec iov = {message, sizeof message};
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct msghdr header = {.msg_iov = &iov, .msg_iovlen = 1};

    memcpy(message + 1, &value, sizeof value);
    if (passed >= 0) {
        header.msg_control = &control;
        header.msg_controllen = sizeof control;
        struct cmsghdr *rights = CMSG_FIRSTHDR(&header);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(rights), &passed, sizeof passed);
    }
    return sendmsg(fd, &header, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
}

static void signal_group(pid_t pid, int sig)
{
    if (kill(-pid, sig) < 0 && errno == ESRCH) /* it has not called setsid() yet */
        (void)kill(pid, sig);
}

static void hang_up(struct connection *c, uint64_t now)
{
    close(c->fd);
    c->fd = -1;
    if (c->pid > 0) {
        signal_group(c->pid, SIGHUP);
        signal_group(c->pid, SIGCONT); /* who is stopped could not act on it */
        c->kill_at = now + HANGUP_GRACE;
    }
}

/* --- requests: each returns 0 or the errno of the refusal --- */

static int give_input(const struct connection *c, const struct request *r)
{
    if (r->length != 1 || r->n_fds > 0)
        return EINVAL;
    if (input < 0)
        return input_ended ? EPIPE : ENXIO;
    return answer(c->fd, REFUSED, 0, input) ? 0 : errno;
}

static int end_input(const struct connection *c, const struct request *r)
{
    if (r->length != 1 || r->n_fds > 0)
        return EINVAL;
    if (input < 0)
        return input_ended ? EPIPE : ENXIO;
    close(input);
    input = -1;
    input_ended = true;
    return answer(c->fd, REFUSED, 0, -1) ? 0 : errno;
}

static _Noreturn void become_executed(int connection, const struct request *r, bool terminal, char **argv, char **variables)
{
    const int stdio[] = {r->fds[0], terminal ? r->fds[0] : r->fds[1], terminal ? r->fds[0] : r->fds[2]};
    int error = prepare_child(stdio, terminal, connection);

    for (; !error && *variables; variables++)
        if (putenv(*variables) != 0)
            error = errno;
    if (!error) {
        execvp(*argv, argv);
        error = errno;
    }
    (void)answer(connection, FAILED, error, -1);
    _exit(exit_code_of(error));
}

static int execute(struct connection *c, const struct request *r, bool running)
{
    static char *strings[ARGUMENTS_MAX + 2]; /* arguments, NULL, variables, NULL */
    char **next = strings, **argv = strings, **variables = NULL;
    const char *data = r->data, *end = data + r->length;
    bool terminal;
    size_t argc;

    if (c->pid > 0 || r->length < 5 || end[-1] != '\0' || (unsigned char)data[1] > 1)
        return EINVAL;
    terminal = data[1] == 1;
    argc = (unsigned char)data[2] | (size_t)(unsigned char)data[3] << 8;
    if (argc < 1 || data[4] == '\0')
        return EINVAL;
    for (data += 4; data < end; data += strlen(data) + 1) {
        if (next == strings + ARGUMENTS_MAX)
            return EMSGSIZE;
        if (variables && !is_assignment(data))
            return EINVAL;
        *next++ = (char *)(uintptr_t)data; /* execve(2) and putenv(3) lack the const */
        if (!variables && next == strings + argc) {
            *next++ = NULL;
            variables = next;
        }
    }
    if (!variables)
        return EINVAL;
    *next = NULL;
    if (r->n_fds != (terminal ? 1 : 3))
        return r->fds_lost && r->n_fds < DESCRIPTORS_MAX ? EMFILE : EINVAL;
    if (!running)
        return ESRCH;
    pid_t pid = fork();
    if (pid < 0)
        return errno;
    if (pid == 0)
        become_executed(c->fd, r, terminal, argv, variables);
    c->pid = pid;
    (void)answer(c->fd, REFUSED, 0, -1); /* who does not hear this hears of the end neither, and hangs up */
    return 0;
}

static int pass_signal(const struct connection *c, const struct request *r)
{
    int sig = r->length == 2 ? (unsigned char)r->data[1] : 0;

    if (sig < 1 || sig > SIGRTMAX || r->n_fds > 0 || c->pid <= 0)
        return EINVAL;
    signal_group(c->pid, sig);
    return 0;
}

static int handle(struct connection *c, const struct request *r, bool running)
{
    switch (r->data[0]) {
    case 'I':
        return give_input(c, r);
    case 'Z':
        return end_input(c, r);
    case 'X':
        return execute(c, r, running);
    case 'S':
        return pass_signal(c, r);
    default:
        return EINVAL;
    }
}

static void take_descriptors(struct msghdr *header, struct request *r)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR(header, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        r->n_fds = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); /* the kernel sends one such header at most */
        memcpy(r->fds, CMSG_DATA(c), r->n_fds * sizeof(int));
    }
    r->fds_lost = header->msg_flags & MSG_CTRUNC;
}

static void receive(struct connection *c, uint64_t now, bool running)
{
    static char buffer[MESSAGE_MAX];
    struct iovec iov = {buffer, sizeof buffer};
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(DESCRIPTORS_MAX * sizeof(int))];
    } control;
    struct msghdr header = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    struct request r = {.data = buffer};
    ssize_t n = recvmsg(c->fd, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    int error;

    if (n < 0 && (errno == EAGAIN || errno == EINTR || errno == ENOMEM || errno == ENOBUFS))
        return;
    if (n <= 0) { /* also a message without a byte, which is none */
        hang_up(c, now);
        return;
    }
    r.length = (size_t)n;
    take_descriptors(&header, &r);
    error = header.msg_flags & MSG_TRUNC ? EMSGSIZE : handle(c, &r, running);
    for (size_t i = 0; i < r.n_fds; i++)
        close(r.fds[i]);
    if (error) {
        (void)answer(c->fd, REFUSED, error, -1);
        hang_up(c, now);
    }
}

static void accept_one(uint64_t now)
{
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd < 0) {
        if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
            accept_after = now + ACCEPT_PAUSE; /* EMFILE and the like: it stays readable, and must not keep us busy */
        return;
    }
    if (n_connections == CONTROL_CONNECTIONS) {
        (void)answer(fd, REFUSED, EBUSY, -1);
        close(fd);
        return;
    }
    connections[n_connections++] = (struct connection){.fd = fd, .kill_at = NEVER};
}

/* --- in the loop --- */

/* Says what to poll for, in at most CONTROL_FDS; returns how many, and makes `wake` earlier if need be. */
size_t control_prepare(struct pollfd fds[CONTROL_FDS], uint64_t now, uint64_t *wake)
{
    size_t n = 0;

    if (listener < 0)
        return 0;
    for (size_t i = 0; i < n_connections; i++) /* those that are done go */
        if (connections[i].fd >= 0 || connections[i].pid > 0)
            connections[n++] = connections[i];
    n_connections = n;
    fds[0] = (struct pollfd){.fd = now < accept_after ? -1 : listener, .events = POLLIN};
    if (now < accept_after && accept_after < *wake)
        *wake = accept_after;
    for (size_t i = 0; i < n; i++) {
        fds[1 + i] = (struct pollfd){.fd = connections[i].fd, .events = POLLIN};
        if (connections[i].kill_at < *wake)
            *wake = connections[i].kill_at;
    }
    return 1 + n;
}

/* One message of each connection after poll. `running`: the command runs, and nobody has asked for its end. */
void control_run(const struct pollfd *fds, size_t n_fds, uint64_t now, bool running)
{
    for (size_t i = 0; i + 1 < n_fds; i++) {
        struct connection *c = &connections[i];
        if (fds[1 + i].revents)
            receive(c, now, running);
        if (now >= c->kill_at) {
            signal_group(c->pid, SIGKILL);
            c->kill_at = NEVER;
        }
    }
    if (n_fds > 0 && fds[0].revents)
        accept_one(now);
}

/* Called for every process that was reaped: was it one of ours? */
void control_reaped(pid_t pid, int status)
{
    for (size_t i = 0; i < n_connections; i++) {
        struct connection *c = &connections[i];
        if (c->pid != pid)
            continue;
        if (c->fd >= 0) {
            (void)answer(c->fd, ENDED, status, -1);
            close(c->fd);
        } else {
            (void)kill(-pid, SIGKILL); /* the daemon has left: no grace for what its children's children do */
        }
        *c = (struct connection){.fd = -1, .kill_at = NEVER};
        return;
    }
}
