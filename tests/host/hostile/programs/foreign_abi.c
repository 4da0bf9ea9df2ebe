/* Run inside a job: getpid(2) by the system call tables of other ABIs; each attempt in a process of its own. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static long int80(void)
{
    long result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(20L) : "memory", "r8", "r9", "r10", "r11");
    return result;
}

static long x32(void)
{
    return syscall(0x40000000 + SYS_getpid);
}

static long native(void)
{
    return syscall(SYS_getpid);
}

static void attempt(const char *name, long (*call)(void))
{
    int status;
    pid_t pid = fork();

    if (pid == 0)
        _exit(call() > 0 ? 0 : 1);
    if (pid < 0 || waitpid(pid, &status, 0) < 0) {
        perror("foreign_abi");
        return;
    }
    if (WIFSIGNALED(status))
        printf("%s: SIG%s\n", name, sigabbrev_np(WTERMSIG(status)));
    else
        printf("%s: %s\n", name, WEXITSTATUS(status) == 0 ? "works" : "refused");
}

int main(void)
{
    setvbuf(stdout, NULL, _IONBF, 0);
    attempt("int 0x80", int80);
    attempt("x32", x32);
    attempt("syscall", native);
    return 0;
}
