/* Run inside a job: five processes that ignore and block every signal, and stop and continue each other. */
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

int main(void)
{
    sigset_t all;
    pid_t children[4];

    for (int sig = 1; sig <= SIGRTMAX; sig++)
        (void)signal(sig, SIG_IGN); /* fails for SIGKILL and SIGSTOP */
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    for (int i = 0; i < 4; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            (void)setsid();
            for (;;)
                pause();
        }
    }
    if (write(1, "deaf\n", 5) != 5)
        return 1;
    for (;;)
        for (int i = 0; i < 4; i++) {
            (void)kill(children[i], SIGSTOP);
            usleep(10000);
            (void)kill(children[i], SIGCONT);
        }
}
