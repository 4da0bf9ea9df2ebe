"""Run inside a job: makes the system calls of a table, each in a process of its own, and prints how each ended.

The table is JSON, name -> [number, argument, ...]. An argument is a number, a string (its address), or one of
{"hex": "00ff"} (the address of these bytes), {"zeros": 64} (that of a buffer) and {"fd": "/path"} (opened for that).
An outcome is "done", an error's name, or the name of the signal that ended the process.
"""

import ctypes
import errno
import json
import os
import signal
import sys

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long


def argument(value):
    if isinstance(value, int):
        return ctypes.c_long(value)
    if isinstance(value, str):
        return ctypes.c_char_p(value.encode())
    ((kind, content),) = value.items()
    if kind == "fd":
        return ctypes.c_long(os.open(content, os.O_RDONLY))
    return ctypes.create_string_buffer(bytes.fromhex(content) if kind == "hex" else content)


def call(number, *values):
    """Never returns; as exit code the call's errno."""
    signal.alarm(5)
    try:
        arguments = [argument(value) for value in values]
        before = os.getpid()
        result = libc.syscall(ctypes.c_long(number), *arguments)
        if os.getpid() != before:
            os._exit(0)  # the new process of a clone that worked
        os._exit(ctypes.get_errno() if result < 0 else 0)
    except OSError as error:
        os._exit(error.errno)


def outcome(status):
    if os.WIFSIGNALED(status):
        return signal.Signals(os.WTERMSIG(status)).name
    return errno.errorcode[os.WEXITSTATUS(status)] if os.WEXITSTATUS(status) else "done"


with open(sys.argv[1]) as file:
    table = json.load(file)
outcomes = {}
for name, words in table.items():
    pid = os.fork()
    if pid == 0:
        call(*words)
    outcomes[name] = outcome(os.waitpid(pid, 0)[1])
print(json.dumps(outcomes))
