/* What a child does between fork(2) and execve(2), be it the command or one that is executed beside it. */
#include "init.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <unistd.h>

#define OOM_SCORE_ADJ "500" /* the job is a better victim than its init or the host's services, proc(5) */

/*
 * Makes `stdio` the standard descriptors and closes all others but `keep`, which is close-on-exec. All of them are above
 * 2, or at their place already. A `terminal` becomes the controlling one. Returns 0 or an errno.
 */
int prepare_child(const int stdio[3], bool terminal, int keep)
{
    sigset_t none;

    if (setsid() < 0)
        return errno;
    for (int fd = 0; fd < 3; fd++)
        if (dup2(stdio[fd], fd) < 0)
            return errno;
    if (terminal && ioctl(0, TIOCSCTTY, 0) < 0)
        return errno;
    if ((keep > 3 && close_range(3, (unsigned)keep - 1, 0) < 0) || close_range((unsigned)keep + 1, ~0U, 0) < 0)
        return errno;
    /*
     * Best effort. The file belongs to root while we are not dumpable. What the job could take from us from here on,
     * it could take after execve(2) as well: the journal and the control socket are closed.
     */
    if (prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0) {
        int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
        if (fd >= 0) {
            if (write(fd, OOM_SCORE_ADJ, strlen(OOM_SCORE_ADJ)) < 0)
                errno = 0; /* the kernel refuses only to lower it */
            close(fd);
        }
    }
    sigemptyset(&none);
    return sigprocmask(SIG_SETMASK, &none, NULL) < 0 ? errno : 0;
}

int exit_code_of(int exec_errno)
{
    return exec_errno == ENOENT || exec_errno == ENOTDIR ? EXIT_NOT_FOUND : EXIT_CANNOT_EXEC;
}
