/*
 * Entries in journald's native protocol (https://systemd.io/JOURNAL_NATIVE_PROTOCOL/), one datagram each.
 *
 * The socket is never waited for here unless the caller says so: a full queue is reported, the caller stops
 * reading the job's pipes, and the job waits in write(2). A journald that is being restarted looks the same,
 * because PID 1 keeps its socket open meanwhile. A socket that was closed at the other end is a journald that
 * will not come back: entries are then counted and dropped, and the gap in JOBLET_SEQ tells of it.
 */
#include "init.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>
#include <linux/sockios.h>

static int sock = -1;
static bool gone;           /* nobody will ever read what we send */
static bool no_memory;      /* the last refusal was not about the queue, so that POLLOUT says nothing */
static uint64_t sequence;   /* JOBLET_SEQ of the last entry sent or dropped */

bool journal_attach(int fd, uint64_t first_seq)
{
    int value = 0;
    socklen_t size = sizeof value;
    struct sockaddr_un peer;

    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &value, &size) < 0 || value != AF_UNIX)
        return false;
    size = sizeof value;
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &value, &size) < 0 || value != SOCK_DGRAM)
        return false;
    size = sizeof peer;
    if (getpeername(fd, (struct sockaddr *)&peer, &size) < 0)
        return false;
    sequence = first_seq - 1;
    sock = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    return sock >= 0;
}

/*
 * A job runs once. Who restarts its unit gives the same socket to another joblet-init, whose job has ended and whose
 * entries would have numbers that are taken. So the socket itself is marked, by a priority, which a UNIX socket has no
 * use for (socket(7)); it is of the unit's, and nobody else has it.
 */
bool journal_used_before(void)
{
    int mark = 0;
    socklen_t size = sizeof mark;
    static const int used = 1;

    if (getsockopt(sock, SOL_SOCKET, SO_PRIORITY, &mark, &size) == 0 && mark == used)
        return true;
    (void)setsockopt(sock, SOL_SOCKET, SO_PRIORITY, &used, sizeof used);
    return false;
}

/* The process that only waits has no business with the socket; SIOCOUTQ is the other one's to watch. */
void journal_detach(void)
{
    if (sock >= 0)
        close(sock);
    sock = -1;
}

/*
 * Sends one entry: `fields` are complete lines "NAME=value\n"; MESSAGE goes in the form with a length, as any byte
 * may be in it. False: not now, see journal_want() and journal_wait(). True: sent, or lost for good.
 */
bool journal_send(const char *fields, size_t fields_len, const void *message, size_t message_len)
{
    char head[64];
    int n = snprintf(head, sizeof head, "JOBLET_SEQ=%llu\nMESSAGE\n", (unsigned long long)sequence + 1);
    uint64_t length = htole64((uint64_t)message_len);
    struct iovec iov[] = {
        {(void *)(uintptr_t)fields, fields_len}, /* sendmsg(2) does not write there; iovec lacks the const */
        {head, (size_t)n},
        {&length, sizeof length},
        {(void *)(uintptr_t)message, message_len},
        {(void *)(uintptr_t) "\n", 1},
    };
    struct msghdr header = {.msg_iov = iov, .msg_iovlen = sizeof iov / sizeof *iov};

    if (!gone && sock >= 0 && sendmsg(sock, &header, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
        switch (errno) {
        case EAGAIN:
        case EINTR:
            no_memory = false;
            return false;
        case ENOBUFS: /* the datagram is charged to the job's memory limit, which may be exhausted */
        case ENOMEM:
            no_memory = true;
            return false;
        case ECONNREFUSED: /* unix(7): the receiver closed its socket; ENOTCONN from then on */
        case ECONNRESET:
        case ENOTCONN:
        case EPIPE:
            gone = true;
            break;
        default: /* EMSGSIZE and the like: it would fail again; the gap in JOBLET_SEQ shows it */
            break;
        }
    }
    no_memory = false;
    sequence++;
    return true;
}

uint64_t journal_sent(void)
{
    return sequence;
}

/* After a refusal: what to poll for, and when to try again in any case. */
void journal_want(struct pollfd *fd, uint64_t *wake)
{
    uint64_t retry = now_ns() + (no_memory ? 5 * MSEC : SEC);

    fd->fd = no_memory ? -1 : sock;
    fd->events = POLLOUT;
    if (retry < *wake)
        *wake = retry;
}

/* The same for those who have nothing else to do. */
void journal_wait(uint64_t until)
{
    struct pollfd fd = {.fd = -1};

    journal_want(&fd, &until);
    poll_until(&fd, 1, until); /* whatever it says, the next attempt to send tells */
}

void journal_give_up(void)
{
    gone = true;
}

/* A record is worth waiting for, but not forever: the job must begin, or end. */
void journal_record(const char *fields, size_t fields_len, const void *message, size_t message_len)
{
    uint64_t deadline = now_ns() + JOURNAL_PATIENCE;

    while (!journal_send(fields, fields_len, message, message_len)) {
        if (now_ns() >= deadline) {
            sequence++;
            return;
        }
        journal_wait(deadline);
    }
}

/*
 * Waits until journald is done with all entries: to each it adds what /proc/PID says of us (_SYSTEMD_UNIT!), and
 * what it remembers of that it forgets after 5 seconds. SIOCOUTQ (unix(7), tcp(7)) falls to 0 when it has received the last
 * datagram, which is before it looks. So the last one is an empty line, an entry separator that leaves no trace: when
 * journald receives it, it has finished with the exit record, as it takes one datagram after the other.
 */
void journal_drain(void)
{
    uint64_t deadline = now_ns() + JOURNAL_PATIENCE;
    uint64_t pause = 50 * (MSEC / 1000);
    int queued;

    while (!gone && sock >= 0 && send(sock, "\n", 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
        no_memory = errno == ENOBUFS || errno == ENOMEM;
        if ((errno != EAGAIN && errno != EINTR && !no_memory) || now_ns() >= deadline)
            return;
        journal_wait(deadline);
    }
    while (!gone && sock >= 0 && ioctl(sock, SIOCOUTQ, &queued) == 0 && queued > 0 && now_ns() < deadline) {
        struct timespec t = to_timespec(pause);
        (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL);
        pause = pause * 2 < 5 * MSEC ? pause * 2 : 5 * MSEC;
    }
}
