"""Secret variables of jobs, kept encrypted as systemd credentials (systemd-creds(1)).

Only PID 1 decrypts them, at the start of the job's unit (systemd.exec(5), LoadCredentialEncrypted=),
with a key of the host, in its TPM where there is one. Until then they are nowhere but in the memory
of the daemon that handles the request, and in a pipe to systemd-creds.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from .. import programs
from ..errors import Exhausted, Unsupported

ENCRYPT_SEC = 60.0  # a TPM may take seconds


class Credentials:
    """The encrypted files ``<directory>/<job id>``, each a credential of the given name."""

    def __init__(self, directory: Path, name: str) -> None:
        self._directory = directory
        self._name = name

    def prepare(self) -> None:
        """Make the directory that holds them all: nobody but root looks in."""
        self._directory.mkdir(mode=0o700, exist_ok=True)

    def path(self, job_id: str) -> Path:
        """Where the job's secret variables are, if it has any."""
        return self._directory / job_id

    def ids(self) -> list[str]:
        """The job ids for which there is a file."""
        return os.listdir(self._directory) if self._directory.exists() else []

    def remove(self, job_id: str) -> None:
        """Remove a job's file. None there is fine."""
        self.path(job_id).unlink(missing_ok=True)

    def copy(self, job_id: str, to: str) -> None:
        """Give job ``to`` the secret variables of another, if that has any. Raises Exhausted when the disk is full."""
        try:
            shutil.copy(self.path(job_id), self.path(to))  # with its mode
        except FileNotFoundError:
            return
        except OSError as error:
            self.remove(to)
            raise Exhausted(
                f"The secret variables cannot be copied: {error.strerror}.", hint=f"Free space on {self._directory}."
            ) from error

    async def seal(self, job_id: str, variables: Mapping[str, str]) -> None:
        """Encrypt a job's secret variables into its file.

        Raises Unsupported when this host cannot encrypt, Exhausted when the disk is full; there is no file then.
        """
        content = b"\0".join(f"{name}={value}".encode() for name, value in variables.items())
        try:
            failure = await self._encrypt(content, self.path(job_id))
        except BaseException:
            self.remove(job_id)
            raise
        if failure is None:
            return
        self.remove(job_id)
        if "No space left" in failure or "quota exceeded" in failure:
            raise Exhausted("The secret variables do not fit on the disk.", hint=f"Free space on {self._directory}.")
        raise Unsupported(
            f"This host cannot encrypt secret variables: {failure}.",
            hint="'systemd-creds setup', as root there, makes the key that they are encrypted with.",
        )

    async def _encrypt(self, content: bytes, path: Path) -> str | None:
        """Why it failed, in systemd-creds's words, which never quote the content; None when it did not."""
        command = ("systemd-creds", "encrypt", f"--name={self._name}", "-", str(path))
        try:
            done = await programs.run(*command, content=content, seconds=ENCRYPT_SEC, umask=0o077)
        except TimeoutError:  # an OSError, too
            return f"systemd-creds took longer than {ENCRYPT_SEC:.0f} s"
        except OSError as error:
            return f"systemd-creds: {error.strerror}"
        if done.returncode == 0:
            return None
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        return lines[-1].rstrip(".")[:200] if lines else f"systemd-creds ended with {done.returncode}"
