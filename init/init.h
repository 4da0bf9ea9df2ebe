/* joblet-init: what its parts offer each other. The contract with the daemon is described in main.c. */
#ifndef JOBLET_INIT_H
#define JOBLET_INIT_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#define MSEC UINT64_C(1000000) /* in nanoseconds, the unit of all times here */
#define SEC UINT64_C(1000000000)
#define NEVER UINT64_MAX

#define EXIT_USAGE 2
#define EXIT_INTERNAL 125 /* as env(1), timeout(1): the wrapper itself failed */
#define EXIT_CANNOT_EXEC 126
#define EXIT_NOT_FOUND 127

static inline uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t); /* cannot fail: the clock exists and &t is valid */
    return (uint64_t)t.tv_sec * SEC + (uint64_t)t.tv_nsec;
}

static inline struct timespec to_timespec(uint64_t ns)
{
    return (struct timespec){.tv_sec = (time_t)(ns / SEC), .tv_nsec = (long)(ns % SEC)};
}

/* options.c: the command line. */
#define MAX_NAMESPACES 8
struct host_namespace {
    const char *name;
    uint64_t inode;
};
struct options {
    const char *job;
    const char *ident;
    uint64_t grace;
    uint64_t first_seq;
    uint64_t share;        /* bytes of the log in every period, 0: any */
    uint64_t share_period;
    uint64_t share_used;   /* by earlier attempts */
    bool interactive;
    bool make_namespaces;
    struct host_namespace host[MAX_NAMESPACES];
    size_t n_host;
    char **command;
};
extern struct options option;
void parse_options(char **argv);
const char *value_of(const char *text, const char *name);

/* main.c: writes the exit record, if there is a socket already, and leaves with EXIT_INTERNAL. */
_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* poll.c: ppoll(2) that never fails. */
void poll_until(struct pollfd *fds, nfds_t n, uint64_t wake);

/* journal.c: entries for journald. */
bool journal_attach(int fd, uint64_t first_seq);
bool journal_used_before(void);
bool journal_send(const char *fields, size_t fields_len, const void *message, size_t message_len);
void journal_record(const char *fields, size_t fields_len, const void *message, size_t message_len);
uint64_t journal_sent(void);
void journal_want(struct pollfd *fd, uint64_t *wake);
void journal_wait(uint64_t until);
void journal_give_up(void);
void journal_drain(void);
void journal_detach(void);
#define JOURNAL_PATIENCE (10 * SEC) /* how long an ended job waits for a journald that does not move */

/* relay.c: what the command writes to its two pipes becomes entries. */
#define ENTRY_MAX ((size_t)32768) /* bytes of MESSAGE in one entry */
enum { RELAY_JOURNAL, RELAY_STDOUT, RELAY_STDERR, RELAY_FDS };
void relay_start(int out, int err, const char *fields);
uint64_t relay_prepare(struct pollfd fds[RELAY_FDS], uint64_t now);
void relay_run(const struct pollfd fds[RELAY_FDS], uint64_t now);
void relay_finish(void);

/* share.c: how much of the log is the job's. */
void share_start(const char *fields);
bool share_exceeded(size_t message_len);
void share_take(size_t message_len);
uint64_t share_used(void);
void share_drop(const char *data, size_t n);
uint64_t share_wake(void);
void share_review(uint64_t now);
void share_finish(void);

/* namespaces.c: isolation made here (systemd 252 to 256), and the proof of isolation made by whomever. */
void make_namespaces(void);
void check_namespaces(const struct host_namespace *host, size_t n);

/* environment.c: what the command's consists of. */
void make_environment(void);
bool is_assignment(const char *text);

/* child.c: what a child does before it becomes another program. */
int prepare_child(const int stdio[3], bool terminal, int keep);
int exit_code_of(int exec_errno);

/* control.c: the daemon's way into a job that runs. */
enum { CONTROL_CONNECTIONS = 32, CONTROL_FDS = 1 + CONTROL_CONNECTIONS };
bool control_attach(int fd);
void control_detach(void);
int control_open_input(void);
size_t control_prepare(struct pollfd fds[CONTROL_FDS], uint64_t now, uint64_t *wake);
void control_run(const struct pollfd *fds, size_t n_fds, uint64_t now, bool running);
void control_reaped(pid_t pid, int status);

/* seccomp.c: from here on no new namespaces and no mounts. */
int close_the_door(void);

#endif
