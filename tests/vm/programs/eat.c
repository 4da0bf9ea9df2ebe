/* Run inside a job: eats memory, MB by MB. Usage: eat MB [child]; with "child" it is a child that eats. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static void eat(long megabytes)
{
    for (long i = 0; i < megabytes; i++) {
        char *piece = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (piece == MAP_FAILED) {
            perror("mmap");
            exit(1);
        }
        for (int page = 0; page < 1 << 20; page += 4096)
            piece[page] = 1;
    }
}

int main(int argc, char **argv)
{
    long megabytes = argc > 1 ? atol(argv[1]) : 0;

    setvbuf(stdout, NULL, _IONBF, 0);
    puts("begun");
    if (argc > 2 && strcmp(argv[2], "child") == 0) {
        if (fork() == 0) {
            eat(megabytes);
            _exit(0);
        }
        wait(NULL);
        sleep(60); /* whether it dies too is the question */
    } else {
        eat(megabytes);
    }
    puts("all eaten");
    return 0;
}
