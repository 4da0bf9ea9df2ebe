"""Run inside a job: children that are never waited for, and orphans that end by the hundred."""

import os
import time

MANY = 300
for _ in range(MANY):
    if os.fork() == 0:
        os._exit(0)
for _ in range(MANY):
    parent = os.fork()
    if parent == 0:
        if os.fork() == 0:
            time.sleep(0.01)
        os._exit(0)
    os.waitpid(parent, 0)


def states():
    """State and parent of each process but its init."""
    for pid in os.listdir("/proc"):
        if pid.isdigit() and pid != "1":
            try:
                with open(f"/proc/{pid}/stat") as file:
                    letter, parent = file.read().rsplit(")", 1)[1].split()[:2]
            except (FileNotFoundError, ProcessLookupError):  # it has just gone
                continue
            yield letter, int(parent)


def orphans():
    # Itself is a child of its init as well.
    return sum(parent == 1 for _, parent in states()) - 1


deadline = time.monotonic() + 60
while orphans() and time.monotonic() < deadline:
    time.sleep(0.1)
print(sum(letter == "Z" and parent == os.getpid() for letter, parent in states()), orphans(), flush=True)
