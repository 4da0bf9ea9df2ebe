"""The directories every job starts from: the skeleton of its root and an /etc of its account's own.

They are on the tmpfs of /run, made by the daemon at start and shared read-only by all jobs.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pwd
import shutil
import stat
import tempfile
import time
from collections.abc import Collection, Iterable
from pathlib import Path

from ..errors import Unsupported

DIRECTORIES = ("dev", "etc", "proc", "run", "sys", "tmp", "usr", "var/tmp", "volumes", "work")
# The merged /usr (file-hierarchy(7)): on a merged host each of these is a link into /usr.
USR_LINKS = ("bin", "lib", "lib32", "lib64", "libx32", "sbin")
FILES = ("joblet-init",)

# What programs of /usr look up in /etc, none of it secret. Patterns, as /etc differs between hosts.
ETC = Path("/etc")
# Each of these is bound into the job, which costs a start a millisecond.
ETC_BOUND = (
    "alternatives",
    "ca-certificates/extracted",
    "crypto-policies",
    "fonts",
    "java-*-openjdk",
    "ld.so.cache",
    "maven",
    "pki/ca-trust",
    "pki/tls/certs",
    "ssl/certs",
)
# Small files that seldom change are copied instead, and copied again when they have.
ETC_COPIED = (
    "ld.so.conf",
    "ld.so.conf.d/*",
    "localtime",
    "mime.types",
    "perl/**/*",
    "protocols",
    "services",
    "ssl/openssl.cnf",
)
MAX_COPIED = 1 << 20  # of one file; none is nearly as large
LOOK_SEC = 1.0  # a look at all of them takes half a millisecond

# Files below /etc by their name, with what tells that one has changed: inode, time and size.
Copied = dict[str, tuple[int, int, int]]


def host_etc() -> tuple[str, ...]:
    """The paths of this host's /etc that are bound into every job, sorted."""
    return tuple(sorted(str(path) for pattern in ETC_BOUND for path in ETC.glob(pattern) if path.exists()))


def _copied() -> Copied:
    """The files of this host's /etc that are copied for every job."""
    found: Copied = {}
    for pattern in ETC_COPIED:
        for path in ETC.glob(pattern):
            with contextlib.suppress(OSError):  # gone meanwhile, or a link that leads nowhere
                status = path.stat()
                # What not everybody may read is none of a job's business.
                if stat.S_ISREG(status.st_mode) and status.st_mode & stat.S_IROTH and status.st_size <= MAX_COPIED:
                    found[str(path.relative_to(ETC))] = (status.st_ino, status.st_mtime_ns, status.st_size)
    return found


class Roots:
    """Makes the skeleton and the /etc directories below ``directory`` (a tmpfs)."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.skeleton = directory / "root"
        self.empty = directory / "empty"
        self._etc: dict[str, tuple[Copied, Path]] = {}
        self._copied: Copied = {}
        self._looked_at = -LOOK_SEC

    def prepare(self) -> None:
        """Make what is missing of the skeleton. Jobs that run on it do not notice."""
        for name in DIRECTORIES:
            (self.skeleton / name).mkdir(mode=0o755, parents=True, exist_ok=True)
        for name in FILES:
            (self.skeleton / name).touch(mode=0o755)
        for name in USR_LINKS:
            on_host, link = Path("/") / name, self.skeleton / name
            if on_host.is_symlink() and not link.is_symlink():
                link.symlink_to(f"usr/{name}")
        self.empty.mkdir(mode=0o555, exist_ok=True)

    def etc(self, account: str) -> Path:
        """The /etc for jobs that run as ``account``. Raises Unsupported when there is no such account, OSError."""
        if time.monotonic() - self._looked_at >= LOOK_SEC:
            self._copied, self._looked_at = _copied(), time.monotonic()
        copied = self._copied
        known = self._etc.get(account)
        if known is None or known[0] != copied:
            known = self._etc[account] = (copied, self._make_etc(account, copied))
        return known[1]

    def forget_others(self, accounts: Collection[str]) -> None:
        """Remove what former daemons made for all accounts but those, of which jobs are at work."""
        mine = {path for _, path in self._etc.values()}
        for path in (self._directory / "etc").glob("*"):
            if path not in mine and path.name.rpartition("-")[0] not in accounts:
                shutil.rmtree(path, ignore_errors=True)  # what is left is no worse than all of it

    def _make_etc(self, account: str, copied: Iterable[str]) -> Path:
        entry = lookup(account)
        files = {}
        for name in copied:
            with contextlib.suppress(OSError):  # replaced at this moment: the next start sees that
                files[name] = (ETC / name).read_bytes()
        files |= etc_files(entry.pw_name, entry.pw_uid, entry.pw_gid)
        # Named for its content: jobs keep what they were started with when there is another.
        digest = hashlib.sha256(repr(sorted(files.items())).encode()).hexdigest()[:12]
        target = self._directory / "etc" / f"{account}-{digest}"
        if target.is_dir():
            return target
        target.parent.mkdir(mode=0o755, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            fresh = Path(scratch) / "etc"
            fresh.mkdir(mode=0o755)
            for name, content in files.items():
                (fresh / name).parent.mkdir(mode=0o755, parents=True, exist_ok=True)
                (fresh / name).write_bytes(content)
            os.rename(fresh, target)
        return target


def lookup(account: str) -> pwd.struct_passwd:
    """The passwd entry of a job account. Raises Unsupported with the command that makes it."""
    try:
        return pwd.getpwnam(account)
    except KeyError:
        identity = account.removeprefix("joblet-")
        raise Unsupported(
            f"There is no Unix account {account!r} on this host for jobs of {identity!r}.",
            hint=f"Run 'jobletd cert issue {identity} --role developer' there: it makes the account.",
        ) from None


def etc_files(account: str, uid: int, gid: int) -> dict[str, bytes]:
    """The files of a job's /etc that are not the host's, by name: enough for ``whoami`` and name look-ups."""
    texts = {
        "passwd": "root:x:0:0:root:/work:/usr/sbin/nologin\n"
        f"{account}:x:{uid}:{gid}:Joblet job:/work:/bin/sh\n"
        "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
        "group": f"root:x:0:\n{account}:x:{gid}:\nnogroup:x:65534:\n",
        "hosts": "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n",
        "host.conf": "multi on\n",
        "nsswitch.conf": "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n"
        "services: files\nprotocols: files\n",
        "resolv.conf": "# no network, no name servers\n",
    }
    return {name: text.encode("ascii") for name, text in texts.items()}
