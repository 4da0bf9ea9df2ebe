"""The directories every job starts from: the skeleton of its root and an /etc of its account's own.

They are on the tmpfs of /run, made by the daemon at start and shared read-only by all jobs.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import tempfile
from pathlib import Path

from ..errors import Unsupported

DIRECTORIES = ("dev", "etc", "proc", "run", "sys", "tmp", "usr", "var/tmp", "volumes", "work")
# The merged /usr (file-hierarchy(7)): on a merged host each of these is a link into /usr.
USR_LINKS = ("bin", "lib", "lib32", "lib64", "libx32", "sbin")
FILES = ("joblet-init",)

# What programs of /usr look up in /etc, none of it secret. Patterns, as /etc differs between hosts.
ETC_PATTERNS = (
    "alternatives",
    "ca-certificates",
    "crypto-policies",
    "fonts",
    "java-*-openjdk",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "maven",
    "mime.types",
    "perl",
    "pki/ca-trust",
    "pki/tls/certs",
    "protocols",
    "services",
    "ssl/certs",
    "ssl/openssl.cnf",
)


def host_etc() -> tuple[str, ...]:
    """The paths of this host's /etc that every job gets, sorted."""
    etc = Path("/etc")
    return tuple(sorted(str(path) for pattern in ETC_PATTERNS for path in etc.glob(pattern) if path.exists()))


class Roots:
    """Makes the skeleton and the /etc directories below ``directory`` (a tmpfs)."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.skeleton = directory / "root"
        self.empty = directory / "empty"
        self._etc: dict[str, Path] = {}

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
        """The /etc for jobs that run as ``account``. Raises Unsupported when there is no such account."""
        known = self._etc.get(account)
        if known is None:
            known = self._etc[account] = self._make_etc(account)
        return known

    def _make_etc(self, account: str) -> Path:
        entry = lookup(account)
        files = etc_files(entry.pw_name, entry.pw_uid, entry.pw_gid)
        # Named for its content: jobs keep what they were started with when a later daemon writes another.
        digest = hashlib.sha256(repr(sorted(files.items())).encode()).hexdigest()[:12]
        target = self._directory / "etc" / f"{account}-{digest}"
        if target.is_dir():
            return target
        target.parent.mkdir(mode=0o755, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            fresh = Path(scratch) / "etc"
            fresh.mkdir(mode=0o755)
            for name, content in files.items():
                (fresh / name).write_text(content, encoding="ascii")
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


def etc_files(account: str, uid: int, gid: int) -> dict[str, str]:
    """The files of a job's /etc by name: enough for ``whoami``, name look-ups and Java."""
    return {
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
