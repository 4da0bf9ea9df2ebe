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
time.sleep(1)


def state(pid):
    with open(f"/proc/{pid}/stat") as file:
        rest = file.read().rsplit(")", 1)[1]
    return rest.split()[0], int(rest.split()[1])


states = [state(pid) for pid in os.listdir("/proc") if pid.isdigit() and pid != "1"]
mine = sum(1 for letter, parent in states if letter == "Z" and parent == os.getpid())
orphans = sum(1 for _, parent in states if parent == 1)
print(mine, orphans - 1, flush=True)  # itself is a child of its init as well
