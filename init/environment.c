/*
 * The command's environment: the unit's, less what systemd says to its service, plus the secret variables.
 *
 * Those come as the credential "environment" (systemd.exec(5), LoadCredentialEncrypted=), KEY=VALUE each, with a NUL
 * byte behind or between them. So they are in no unit property, and in no argument or environment that anybody but
 * the job's own uid and root can read. No message here ever has a part of one.
 */
#include "init.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECRETS_MAX (1024 * 1024) /* systemd's own bound for all credentials of a unit */

/* What systemd says to its service (systemd.exec(5), sd_listen_fds(3), sd_notify(3)) is not for the command. */
static void remove_what_is_ours(void)
{
    static const char *const ours[] = {
        "CREDENTIALS_DIRECTORY=", "JOURNAL_STREAM=",       "LISTEN_FDNAMES=",        "LISTEN_FDS=",
        "LISTEN_PID=",            "LISTEN_PIDFDID=",       "MEMORY_PRESSURE_WATCH=", "MEMORY_PRESSURE_WRITE=",
        "NOTIFY_SOCKET=",         "SYSTEMD_EXEC_PID=",     "WATCHDOG_PID=",          "WATCHDOG_USEC=",
    };
    char **to = environ;

    for (char **from = environ; *from; from++) {
        size_t i;
        for (i = 0; i < sizeof ours / sizeof *ours && !value_of(*from, ours[i]); i++)
            ;
        if (i == sizeof ours / sizeof *ours)
            *to++ = *from;
    }
    *to = NULL;
}

bool is_assignment(const char *text)
{
    const char *equals = strchr(text, '=');
    return equals && equals != text;
}

static void add_secrets(const char *directory)
{
    static char secrets[SECRETS_MAX + 1]; /* the environment points into it */
    char path[4096];
    size_t length = 0;
    ssize_t n = 1;
    int len = snprintf(path, sizeof path, "%s/environment", directory);
    int fd = len > 0 && (size_t)len < sizeof path ? open(path, O_RDONLY | O_CLOEXEC) : -1;

    if (fd < 0)
        fail("internal: cannot read the secret variables: %s", strerrordesc_np(errno));
    while (n > 0 && length < SECRETS_MAX) {
        n = read(fd, secrets + length, SECRETS_MAX - length);
        if (n > 0)
            length += (size_t)n;
    }
    if (n < 0)
        fail("internal: cannot read the secret variables: %s", strerrordesc_np(errno));
    close(fd);
    for (size_t at = 0; at < length; at += strlen(secrets + at) + 1)
        if (!is_assignment(secrets + at) || putenv(secrets + at) != 0)
            fail("internal: the secret variables are not in the form KEY=VALUE");
}

void make_environment(void)
{
    const char *credentials = getenv("CREDENTIALS_DIRECTORY");

    remove_what_is_ours(); /* moves pointers only, the text stays */
    if (credentials)
        add_secrets(credentials);
}
