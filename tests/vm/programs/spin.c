/* Run inside a job: uses all the CPU time that it gets, in two threads, for as long as it is let. */
#include <pthread.h>
#include <stdio.h>

static void *spin(void *unused)
{
    (void)unused;
    for (volatile unsigned long turns = 0;; turns++)
        ;
    return NULL;
}

int main(void)
{
    pthread_t other;

    puts("spinning");
    fflush(stdout);
    if (pthread_create(&other, NULL, spin, NULL) != 0)
        return 1;
    spin(NULL);
    return 0;
}
