#include "init.h"

#include <errno.h>

/*
 * Waits for events, but not beyond `wake`. The job can set our RLIMIT_NOFILE to 0, as prlimit(2) asks for the same uid
 * only, and then ppoll(2) says EINVAL whatever it is asked for. So: look every few milliseconds. All descriptors are
 * non-blocking, or used so; and the time that it takes is the job's.
 */
void poll_until(struct pollfd *fds, nfds_t n, uint64_t wake)
{
    uint64_t now = now_ns();
    struct timespec timeout = to_timespec(wake > now ? wake - now : 0);
    int error;

    if (ppoll(fds, n, wake == NEVER ? NULL : &timeout, NULL) >= 0)
        return;
    error = errno;
    timeout = to_timespec(2 * MSEC);
    if (error != EINTR)
        (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &timeout, NULL);
    for (nfds_t i = 0; i < n; i++)
        fds[i].revents = error != EINTR && fds[i].fd >= 0 ? fds[i].events : 0;
}
