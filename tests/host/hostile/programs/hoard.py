"""Run inside a job: takes what the kernel counts per user, as much as it gets, and keeps it until it is stopped."""

import ctypes
import os
import signal
import time

libc = ctypes.CDLL(None, use_errno=True)
SIGNAL = 40
signal.pthread_sigmask(signal.SIG_BLOCK, [SIGNAL])


def count(take, most):
    """How often it worked, up to the first failure."""
    for number in range(most):
        if not take():
            return number
    return most


print("inotify instances", count(lambda: libc.inotify_init1(0) >= 0, 1000))
print("queued signals", count(lambda: libc.sigqueue(os.getpid(), SIGNAL, ctypes.c_void_p(1)) == 0, 200_000))
print("held", flush=True)
time.sleep(600)
