"""Run inside a job: makes a work directory as hard to remove as an unprivileged program can, and prints as JSON how
what it must not be able to do ended. Arguments: a directory and a file of the host's."""

import contextlib
import errno
import json
import os
import socket
import sys

outside, canary = sys.argv[1:]
os.chdir("/work")


def refused(what):
    try:
        what()
    except OSError as error:
        return errno.errorcode[error.errno]
    return "done"


outcomes = {
    "hard link to a program": refused(lambda: os.link("/usr/bin/env", "env")),
    "hard link to its own program": refused(lambda: os.link("/proc/self/exe", "exe")),
    "hard link to its init": refused(lambda: os.link("/joblet-init", "init")),
    "rename the init": refused(lambda: os.rename("/joblet-init", "init")),
    "remove /work": refused(lambda: os.rmdir("/work")),
    "rename /work": refused(lambda: os.rename("/work", "/elsewhere")),
    "a file beside /work": refused(lambda: os.mkdir("/work/../beside")),
    "the host's file": refused(lambda: os.open(canary, os.O_RDONLY)),
    "the host's file by its init": refused(lambda: os.open(f"/proc/1/root{canary}", os.O_RDONLY)),
}

# Links out, by every way there is.
os.symlink(outside, "outside")
os.symlink("/", "root")
os.symlink("../../..", "up")
os.symlink("loop", "loop")
os.symlink("/proc/self/fd/0", "fd")
# Names that a careless script or terminal trips over.
for name in (b"new\nline", b"-rf", b"--", b" ", b"\xff\xfe", b"*", b"$(reboot)", b"\x1b[2J", b"x" * 255, b"~", b"\\"):
    os.mkdir(name)
    with open(os.path.join(name, name), "wb"):
        pass
# Other kinds of files.
os.mkfifo("pipe")
listener = socket.socket(socket.AF_UNIX)
listener.bind("socket")
with open("sparse", "wb") as sparse:
    sparse.truncate(1 << 40)
with open("labelled", "wb") as labelled, contextlib.suppress(OSError):
    os.setxattr(labelled.fileno(), "user.long", b"x" * 2000)
# A wide one.
os.mkdir("wide")
for number in range(2000):
    with open(f"wide/{number}", "wb"):
        pass
# One that is deeper than any path can be long (PATH_MAX is 4096), with a link out at its end.
for _ in range(1500):
    os.mkdir("deep")
    os.chdir("deep")
os.symlink(outside, "outside")
os.chdir("/work")
# And nothing of it may be entered or changed any more.
for directory in ("wide", "deep", "new\nline"):
    os.chmod(directory, 0)
os.chmod("/work", 0)
print(json.dumps(outcomes), flush=True)
