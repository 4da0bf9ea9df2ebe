/* Run inside a job: as many processes or threads as it gets, up to 20 000, all kept. Usage: bomb processes|threads. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { ATTEMPTS = 20000 };

static void *stay(void *unused)
{
    (void)unused;
    for (;;)
        pause();
    return NULL;
}

static int one_more(int threads)
{
    if (threads) {
        pthread_attr_t small;
        pthread_t thread;
        pthread_attr_init(&small);
        pthread_attr_setstacksize(&small, 16384);
        return pthread_create(&thread, &small, stay, NULL);
    }
    pid_t pid = fork();
    if (pid == 0)
        stay(NULL);
    return pid < 0 ? errno : 0;
}

int main(int argc, char **argv)
{
    int made = 0, refused = 0, error = 0;

    for (int i = 0; i < ATTEMPTS; i++) {
        int result = one_more(argc > 1 && strcmp(argv[1], "threads") == 0);
        if (result == 0) {
            made++;
        } else {
            refused++;
            error = result;
        }
    }
    printf("%d made, %d refused: %s\n", made, refused, error == EAGAIN ? "EAGAIN" : strerror(error));
    fflush(stdout);
    sleep(300);
    return 0;
}
