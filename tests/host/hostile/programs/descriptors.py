"""Run inside a job: as many open files as it gets, up to a bound of its own, and all the pipe memory of its user."""

import contextlib
import fcntl
import os
import resource
import time

BOUND = 20_000
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
opened = []
try:
    while len(opened) < BOUND:
        opened.append(os.open("/dev/null", os.O_RDONLY))
except OSError as error:
    print(os.strerror(error.errno), len(opened) + 4 >= soft, flush=True)
resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, BOUND), hard))
with contextlib.suppress(OSError):
    while len(opened) < BOUND // 2:
        opened.append(os.open("/dev/null", os.O_RDONLY))
# fs.pipe-user-pages-soft: 64 MiB for all pipes of a user, pipe(7).
pipes = []
with contextlib.suppress(OSError):
    while len(pipes) < 100:
        pipes.append(os.pipe())
        fcntl.fcntl(pipes[-1][1], fcntl.F_SETPIPE_SZ, 1 << 20)
print("held", flush=True)
time.sleep(600)
