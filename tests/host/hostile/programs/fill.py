"""Run inside a job: fills each of its temporary file systems, with one large file and then with many empty ones; each
up to a bound of its own, and emptied again. Prints what stopped it and where, as JSON."""

import errno
import json
import os

MB = 1 << 20
BOUND_MB, BOUND_FILES = 600, 250_000


def stopped_at(step, bound):
    """How often it worked, and the error's name that ended it, if any did."""
    for number in range(bound):
        try:
            step(number)
        except OSError as error:
            return number, errno.errorcode[error.errno]
    return bound, None


outcomes = {}
for directory in ("/tmp", "/var/tmp", "/dev/shm"):
    path = os.path.join(directory, "large")
    fd = os.open(path, os.O_WRONLY | os.O_CREAT)
    piece = bytes(MB)
    outcomes[f"{directory} MB"] = stopped_at(lambda _, fd=fd, piece=piece: os.write(fd, piece), BOUND_MB)
    os.close(fd)
    os.remove(path)
os.chdir("/tmp")
outcomes["/tmp files"] = stopped_at(lambda number: os.close(os.open(str(number), os.O_CREAT)), BOUND_FILES)
outcomes["inodes"] = [os.statvfs(directory).f_files for directory in ("/tmp", "/var/tmp", "/dev/shm")]
print(json.dumps(outcomes))
