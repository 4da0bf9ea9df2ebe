"""Run inside a job: takes every terminal that it gets, and keeps them until it is stopped."""

import errno
import os
import time

taken = []
try:
    while True:
        taken.append(os.openpty())
except OSError as error:
    print(len(taken), errno.errorcode[error.errno], os.ttyname(taken[-1][1]), flush=True)
time.sleep(600)
