/* The command line. What is wrong with it is said on standard error: systemd's caller never sees that, a developer does. */
#include "init.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FIRST_SEQ_MAX UINT64_C(1000000000000000000)
#define SHARE_MAX FIRST_SEQ_MAX

struct options option = {.grace = 10 * SEC, .first_seq = 1};

static _Noreturn void usage(const char *what, const char *value)
{
    dprintf(STDERR_FILENO,
            "joblet-init: %s%s\n"
            "Usage: joblet-init --job=UUID [--ident=NAME] [--grace=SECONDS] [--first-seq=NUMBER] [--stdin]\n"
            "                   [--log-share=BYTES:SECONDS:USED] [--make-namespaces] [--host-ns=NAME:INODE,...]\n"
            "                   [--encoded] -- COMMAND [ARG...]\n"
            "Started by systemd as the first process of a job, with a journal socket as standard output.\n",
            what, value);
    _exit(EXIT_USAGE);
}

static bool is_uuid(const char *text)
{
    return strlen(text) == 36 && strspn(text, "0123456789abcdefABCDEF-") == 36;
}

static bool parse_number(const char **text, uint64_t limit, uint64_t *value)
{
    if (**text < '0' || **text > '9')
        return false;
    for (*value = 0; **text >= '0' && **text <= '9'; (*text)++) {
        *value = *value * 10 + (uint64_t)(**text - '0');
        if (*value > limit)
            return false;
    }
    return true;
}

/* Seconds, with a fraction if need be. */
static bool parse_grace(const char *text, uint64_t *ns)
{
    uint64_t seconds, unit = SEC;

    if (!parse_number(&text, 1000000, &seconds))
        return false;
    *ns = seconds * SEC;
    if (*text == '.')
        for (text++; *text >= '0' && *text <= '9'; text++) {
            unit /= 10;
            *ns += (uint64_t)(*text - '0') * unit;
        }
    return *text == '\0';
}

static bool parse_share(const char *text)
{
    uint64_t seconds;

    if (!parse_number(&text, SHARE_MAX, &option.share) || option.share == 0 || *text++ != ':')
        return false;
    if (!parse_number(&text, 1000000, &seconds) || seconds == 0 || *text++ != ':')
        return false;
    option.share_period = seconds * SEC;
    return parse_number(&text, SHARE_MAX, &option.share_used) && *text == '\0';
}

static bool parse_host_ns(const char *text)
{
    static const char *const known[] = {"cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"};

    for (option.n_host = 0;; text++) {
        struct host_namespace *ns = &option.host[option.n_host];
        size_t length = strcspn(text, ":"), i;

        for (i = 0; i < sizeof known / sizeof *known; i++)
            if (strlen(known[i]) == length && strncmp(known[i], text, length) == 0)
                break;
        if (i == sizeof known / sizeof *known || text[length] != ':' || option.n_host == MAX_NAMESPACES)
            return false;
        text += length + 1;
        ns->name = known[i];
        if (!parse_number(&text, UINT32_MAX, &ns->inode)) /* nsfs numbers are 32 bits wide */
            return false;
        option.n_host++;
        if (*text != ',')
            return *text == '\0';
    }
}

const char *value_of(const char *text, const char *name)
{
    size_t n = strlen(name);
    return strncmp(text, name, n) == 0 ? text + n : NULL;
}

/* In place, so that who looks at our command line sees the command as it is. */
static void decode(char *word)
{
    char *to = word;

    for (; *word; word++)
        if (*word == '\1')
            *to++ = '$';
        else if (*word == '\2')
            *to++ = ';';
        else if (*word == '\3' && word[1])
            *to++ = *++word;
        else
            *to++ = *word;
    *to = '\0';
}

void parse_options(char **argv)
{
    const char *value;
    bool encoded = false;

    for (argv++; *argv && strcmp(*argv, "--") != 0; argv++) {
        if ((value = value_of(*argv, "--job="))) {
            if (!is_uuid(value))
                usage("not a UUID: ", *argv);
            option.job = value;
        } else if ((value = value_of(*argv, "--ident="))) {
            option.ident = value;
        } else if ((value = value_of(*argv, "--grace="))) {
            if (!parse_grace(value, &option.grace))
                usage("not a number of seconds from 0 to 1000000: ", *argv);
        } else if ((value = value_of(*argv, "--first-seq="))) {
            if (!parse_number(&value, FIRST_SEQ_MAX, &option.first_seq) || *value != '\0' || option.first_seq == 0)
                usage("not a number from 1 to 1000000000000000000: ", *argv);
        } else if ((value = value_of(*argv, "--log-share="))) {
            if (!parse_share(value))
                usage("not three numbers like 1000000:86400:0: ", *argv);
        } else if (strcmp(*argv, "--stdin") == 0) {
            option.interactive = true;
        } else if ((value = value_of(*argv, "--host-ns="))) {
            if (!parse_host_ns(value))
                usage("not a list like pid:4026531836,user:4026531837: ", *argv);
        } else if (strcmp(*argv, "--make-namespaces") == 0) {
            option.make_namespaces = true;
        } else if (strcmp(*argv, "--encoded") == 0) {
            encoded = true;
        } else {
            usage("unknown option: ", *argv);
        }
    }
    if (!option.job)
        usage("--job=UUID is missing", "");
    if (!*argv || !argv[1])
        usage("-- COMMAND is missing", "");
    option.command = argv + 1;
    for (char **word = option.command; encoded && *word; word++)
        decode(*word);
    if (!option.ident) {
        const char *slash = strrchr(*option.command, '/');
        option.ident = slash ? slash + 1 : *option.command;
    }
}
