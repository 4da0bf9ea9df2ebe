/*
 * From two pipes to journal entries: bytes in, bytes out.
 *
 * A quiet job's lines are sent one per entry, at once. An entry costs journald some 10 microseconds, so a job that
 * writes more than QUIET_LINES within HOLD is under load: its lines are collected until an entry is full or the
 * oldest has waited for HOLD, and the pipes are left alone for NAP when a look at them brought little. An incomplete
 * line is held back for HOLD too, in case its end follows.
 *
 * Order: lines are sent in the order in which their ends were read. At most one stream has whole lines waiting.
 */
#include "init.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define HOLD (10 * MSEC)
#define NAP (2 * MSEC)
#define LITTLE ((size_t)8192) /* bytes; a writer that fills more than this in NAP should not be kept waiting */
#define QUIET_LINES 32

struct stream {
    int fd;              /* -1 after end of file */
    size_t start;        /* unsent: buffer[start .. lines) are whole lines, */
    size_t lines;        /* buffer[lines .. end) the beginning of one */
    size_t end;
    uint64_t lines_since; /* when the oldest byte of each part was read */
    uint64_t tail_since;
    char fields[2][320]; /* of an entry without and with a newline behind its last byte */
    size_t fields_len[2];
    char buffer[2 * ENTRY_MAX]; /* no more than ENTRY_MAX stays, so that a whole ENTRY_MAX can always be read */
};

static struct stream streams[2];
static bool load;
static unsigned singles;      /* lines sent one by one since `window` */
static uint64_t window;
static uint64_t last_read;
static uint64_t nap_until;
static bool blocked;          /* journald's queue is full: no reading */
static uint64_t retry_at;

void relay_start(int out, int err, const char *fields)
{
    static const char *const names[] = {"stdout", "stderr"};
    static const int priorities[] = {6, 3}; /* syslog(3): LOG_INFO, LOG_ERR */
    const int fds[] = {out, err};

    share_start(fields);
    for (int i = 0; i < 2; i++) {
        struct stream *s = &streams[i];
        s->fd = fds[i];
        for (int eol = 0; eol < 2; eol++) {
            int n = snprintf(s->fields[eol], sizeof s->fields[eol],
                             "%sPRIORITY=%d\nJOBLET_STREAM=%s\nJOBLET_EOL=%d\n", fields, priorities[i], names[i], eol);
            if (n < 0 || (size_t)n >= sizeof s->fields[eol])
                fail("internal: fields too long");
            s->fields_len[eol] = (size_t)n;
        }
    }
}

/* FULL: what cannot wait, that is every line of a quiet job, else full entries. LINES: every whole line. ALL: all. */
enum flush { FULL, LINES, ALL };

/* False when journald's queue is full: the rest stays in the buffer. */
static bool flush(struct stream *s, enum flush what)
{
    while (s->start < s->end) {
        const char *message = s->buffer + s->start;
        size_t have = s->end - s->start, whole = s->lines - s->start, len;
        const char *newline = NULL;

        if (whole > 0) {
            if (load && what == FULL && have <= ENTRY_MAX)
                break;
            /* The newline is not part of MESSAGE, so that it may follow ENTRY_MAX bytes of it. */
            size_t n = whole < ENTRY_MAX + 1 ? whole : ENTRY_MAX + 1;
            newline = load ? memrchr(message, '\n', n) : memchr(message, '\n', n);
        }
        if (newline)
            len = (size_t)(newline - message);
        else if (have > ENTRY_MAX) /* a line longer than an entry */
            len = ENTRY_MAX;
        else if (what == ALL)
            len = have;
        else
            break;
        if (share_exceeded(len)) {
            share_drop(message, have);
            s->start = s->lines = s->end;
            break;
        }
        if (!journal_send(s->fields[newline != NULL], s->fields_len[newline != NULL], message, len)) {
            blocked = true;
            retry_at = 0;
            return false;
        }
        share_take(len);
        s->start += len + (newline != NULL);
        if (s->lines < s->start)
            s->lines = s->start;
        if (!load && ++singles > QUIET_LINES)
            load = true;
    }
    if (s->start == s->end)
        s->start = s->lines = s->end = 0;
    return true;
}

/* Reads once. Returns the number of bytes. */
static size_t take(struct stream *s, size_t limit, uint64_t now)
{
    if (s->start > 0) {
        memmove(s->buffer, s->buffer + s->start, s->end - s->start);
        s->lines -= s->start;
        s->end -= s->start;
        s->start = 0;
    }
    size_t room = sizeof s->buffer - s->end;
    char *into = s->buffer + s->end;
    ssize_t n = read(s->fd, into, limit < room ? limit : room);

    if (n <= 0) {
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return 0;
        close(s->fd); /* end of file: nobody can complete the line any more */
        s->fd = -1;
        s->tail_since = 0;
        return 0;
    }
    if (now - last_read > HOLD)
        load = false;
    if (now - window > HOLD) {
        window = now;
        singles = 0;
    }
    last_read = now;

    const char *newline = memrchr(into, '\n', (size_t)n);
    bool had_tail = s->lines < s->end;
    if (newline && s->lines == 0)
        s->lines_since = had_tail ? s->tail_since : now;
    if (newline || !had_tail)
        s->tail_since = now;
    s->end += (size_t)n;
    if (newline)
        s->lines = (size_t)(newline + 1 - s->buffer);
    return (size_t)n;
}

/* The load is over when a whole batch is so small that its lines could have been sent one by one. */
static bool small(const struct stream *s)
{
    const char *p = s->buffer + s->start, *end = s->buffer + s->lines;
    unsigned n = 0;

    while (n <= QUIET_LINES && p < end && (p = memchr(p, '\n', (size_t)(end - p))) != NULL) {
        n++;
        p++;
    }
    return n <= QUIET_LINES;
}

/* What cannot wait, and what has waited long enough. */
static bool flush_due(uint64_t now)
{
    for (int i = 0; i < 2; i++) {
        struct stream *s = &streams[i];
        bool due = s->lines > s->start && now >= s->lines_since + HOLD;
        bool over = due && small(s);
        if (!flush(s, due ? LINES : FULL)) /* FULL: what a full queue has kept back */
            return false;
        if (over)
            load = false;
    }
    for (int i = 0; i < 2; i++) {
        struct stream *s = &streams[i];
        /* An incomplete line: when its time has come, no lines of this stream are in front of it any more. */
        if (s->end > s->lines && s->lines == s->start && now >= s->tail_since + HOLD && !flush(s, ALL))
            return false;
    }
    return true;
}

/* Says what to poll for; returns when to come back at the latest. */
uint64_t relay_prepare(struct pollfd fds[RELAY_FDS], uint64_t now)
{
    bool reading = !blocked && now >= nap_until;
    uint64_t wake = NEVER;

    fds[RELAY_JOURNAL] = (struct pollfd){.fd = -1};
    fds[RELAY_STDOUT] = (struct pollfd){.fd = reading ? streams[0].fd : -1, .events = POLLIN};
    fds[RELAY_STDERR] = (struct pollfd){.fd = reading ? streams[1].fd : -1, .events = POLLIN};
    if (blocked) {
        journal_want(&fds[RELAY_JOURNAL], &wake);
        if (retry_at == 0)
            retry_at = wake;
        return retry_at;
    }
    if (!reading)
        wake = nap_until;
    for (int i = 0; i < 2; i++) {
        const struct stream *s = &streams[i];
        if (s->lines > s->start && s->lines_since + HOLD < wake)
            wake = s->lines_since + HOLD;
        if (s->end > s->lines && s->tail_since + HOLD < wake)
            wake = s->tail_since + HOLD;
    }
    if (share_wake() < wake)
        wake = share_wake();
    return wake;
}

/* Does one round after poll: at most one read per stream, so that signals and the other stream get their turn. */
void relay_run(const struct pollfd fds[RELAY_FDS], uint64_t now)
{
    size_t most = 0;

    if (blocked && !fds[RELAY_JOURNAL].revents && now < retry_at)
        return;
    blocked = false;
    share_review(now);
    if (!flush_due(now))
        return;
    for (int i = 0; i < 2; i++) {
        if (streams[i].fd < 0 || !fds[RELAY_STDOUT + i].revents)
            continue;
        if (!flush(&streams[1 - i], LINES)) /* in read order */
            return;
        size_t n = take(&streams[i], ENTRY_MAX, now);
        if (!flush(&streams[i], FULL))
            return;
        if (n > most)
            most = n;
    }
    nap_until = load && most > 0 && most < LITTLE ? now + NAP : 0;
}

/* Waits for journald, unless it takes nothing at all for JOURNAL_PATIENCE. */
static void flush_patiently(struct stream *s, enum flush what)
{
    uint64_t sent = journal_sent(), deadline = now_ns() + JOURNAL_PATIENCE;

    while (!flush(s, what)) {
        uint64_t now = now_ns();
        if (journal_sent() != sent) {
            sent = journal_sent();
            deadline = now + JOURNAL_PATIENCE;
        } else if (now >= deadline) {
            journal_give_up();
        }
        journal_wait(deadline);
    }
    blocked = false;
}

/*
 * The job's last words, once none of its processes is left. Not until end of file: a write end may have been passed
 * to a process of another job over a socket on a shared volume. All that the job wrote is in the pipes by now.
 */
void relay_finish(void)
{
    for (int i = 0; i < 2; i++) /* what was read before */
        flush_patiently(&streams[i], LINES);
    for (int i = 0; i < 2; i++) {
        struct stream *s = &streams[i];
        int queued = 0;
        if (s->fd >= 0 && ioctl(s->fd, FIONREAD, &queued) < 0)
            queued = 0;
        size_t left = queued > 0 ? (size_t)queued : 0;
        while (left > 0) {
            size_t n = take(s, left < ENTRY_MAX ? left : ENTRY_MAX, now_ns());
            if (n == 0)
                break;
            left -= n;
            flush_patiently(s, FULL);
        }
        flush_patiently(s, ALL);
    }
    share_finish();
}
