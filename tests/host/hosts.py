"""A lab host as a test sees it: the client from outside, an administrator's shell inside."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import yaml

from joblet_lab.base import LabError
from joblet_lab.cli import exec_argv
from joblet_lab.host import running
from joblet_wire import joblet_pb2, joblet_pb2_grpc

PROJECT = Path(__file__).resolve().parents[2]
LAB = str(PROJECT / "tests" / "lab" / "lab")
CHANNEL_OPTIONS: list[tuple[str, Any]] = [
    ("grpc.ssl_target_name_override", "joblet"),
    ("grpc.enable_http_proxy", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
]
FINAL = ("COMPLETED", "FAILED", "STOPPED", "CANCELED", "TIMEOUT")


# What mounts of images and terminals there are in any namespace of the host, and which loop devices. The latter are the
# machine's own, and other hosts' files have the same paths: those count whose file is here.
MOUNTED_IMAGES = "cat /proc/[0-9]*/mounts 2>/dev/null | grep -E '^(/dev/loop.*ext4|devpts /var/lib/joblet/)' | sort -u"
# The machine's, of all hosts: only the template, which a daemon makes as it starts, has the same name on each.
LOOP_DEVICES = (
    "cat /sys/block/loop*/loop/backing_file 2>/dev/null | grep ^/var/lib/joblet/ | grep -v '/[.]template-' |"
    ' while read -r file; do [ ! -e "$file" ] || echo "$file"; done'
)


@dataclass(frozen=True)
class Host:
    """One booted host. ``config`` is a client configuration that reaches it from outside."""

    name: str
    suite: str
    config: Path

    def exec(
        self, *argv: str, check: bool = True, stdin: bytes = b"", seconds: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as root inside, as ``lab exec`` does, without a Python of its own for each."""
        try:
            entered = exec_argv(running(self.name), list(argv))
        except LabError as error:  # it reboots, say
            text = subprocess.CompletedProcess(argv, 1, "", str(error))
        else:
            done = subprocess.run(entered, input=stdin, capture_output=True, timeout=seconds, check=False)
            text = subprocess.CompletedProcess(argv, done.returncode, done.stdout.decode(), done.stderr.decode())
        assert not check or text.returncode == 0, f"{argv} on {self.name}: {text.stdout}\n{text.stderr}"
        return text

    def end_all(self) -> None:
        """Stop what runs and cancel what waits, whoever's it is."""
        for job in json.loads(self.rnx("--json", "job", "list").stdout):
            if job["status"] not in FINAL:
                self.rnx("job", "stop" if job["status"] in ("RUNNING", "INITIALIZING") else "cancel", job["id"])

    def rnx_argv(self, *words: str, node: str = "") -> list[str]:
        """The client's command line."""
        options = [f"--config={self.config}", *([f"--node={node}"] if node else [])]
        return [sys.executable, "-m", "rnx", *options, *words]

    def rnx_bytes(self, *words: str, node: str = "", cwd: Path | None = None) -> subprocess.CompletedProcess[bytes]:
        """Run the client; output as bytes, any exit code."""
        argv = self.rnx_argv(*words, node=node)
        return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=120, cwd=cwd, check=False)

    def rnx(self, *words: str, node: str = "", cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run the client; output as text, any exit code."""
        done = self.rnx_bytes(*words, node=node, cwd=cwd)
        return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())

    def run(self, *words: str, node: str = "", cwd: Path | None = None) -> str:
        """``rnx job run`` with these options and command; the job's id."""
        done = self.rnx("--json", "job", "run", *words, node=node, cwd=cwd)
        assert done.returncode == 0, done.stderr
        return str(json.loads(done.stdout)["job_uuid"])

    def status(self, job: str) -> dict[str, Any]:
        """``rnx --json job status``."""
        done = self.rnx("--json", "job", "status", job)
        assert done.returncode == 0, done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def log(self, job: str) -> bytes:
        """The job's standard output, followed to its end."""
        done = self.rnx_bytes("job", "log", job)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def log_so_far(self, job: str) -> bytes:
        """What the job has written up to now to its standard output."""
        return self.rnx_bytes("job", "log", "--no-follow", job).stdout

    def result(self, job: str, seconds: float = 120) -> dict[str, Any]:
        """Wait for the job's end; its status then."""
        self._wait(job, FINAL, seconds)
        return self.status(job)

    def running(self, job: str) -> None:
        """Wait until the job runs."""
        self._wait(job, ("RUNNING",), 60)

    def _wait(self, job: str, states: Sequence[str], seconds: float) -> None:
        """Wait until the job is in one of these states, over a connection, which costs less than rnx at every look."""
        node = yaml.safe_load(self.config.read_text())["nodes"]["default"]
        credentials = grpc.ssl_channel_credentials(*(node[part].encode() for part in ("ca", "key", "cert")))
        with grpc.secure_channel(node["address"], credentials, CHANNEL_OPTIONS) as channel:
            service = joblet_pb2_grpc.JobServiceStub(channel)

            def arrived() -> bool:
                try:
                    answer = service.GetJobStatus(joblet_pb2.GetJobStatusRequest(uuid=job), timeout=10)
                except grpc.RpcError:
                    return False
                return answer.status in states

            until(arrived, seconds)

    def popen(self, *words: str) -> subprocess.Popen[bytes]:
        """Start the client and go on."""
        return subprocess.Popen(
            self.rnx_argv(*words), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def unit(self, job: str) -> str:
        """The name of the job's unit."""
        return f"joblet-job-{job}.service"

    def journal_end(self) -> str:
        """Where the host's journal ends now, for ``journalctl --after-cursor``."""
        shown = self.exec("journalctl", "--lines=0", "--show-cursor", "--quiet").stdout
        return shown.partition("cursor: ")[2].strip()

    @contextlib.contextmanager
    def daemon_killed(self) -> Iterator[None]:
        """The daemon is killed by SIGKILL and not started before the end of the block."""
        # Masked for the run time only, or Restart=on-failure and the socket would bring it back at once.
        self.exec("systemctl", "mask", "--runtime", "joblet.service")
        self.exec("systemctl", "kill", "--kill-whom=main", "--signal=KILL", "joblet.service")
        until(lambda: self.exec("systemctl", "is-active", "joblet.service", check=False).stdout.strip() != "active")
        try:
            yield
        finally:
            self.exec("systemctl", "unmask", "--runtime", "joblet.service")
            self.exec("systemctl", "reset-failed", "joblet.service", check=False)
            self.exec("systemctl", "start", "joblet.service")

    @contextlib.contextmanager
    def configured(self, text: str) -> Iterator[None]:
        """The daemon runs with these lines of configuration in a drop-in, to the end of the block."""
        file = "/etc/joblet/joblet-config.d/zz-test.yml"
        self.exec("sh", "-c", 'mkdir -p "${1%/*}"; cat >"$1"', "sh", file, stdin=text.encode())
        self.exec("systemctl", "restart", "joblet.service")
        try:
            yield
        finally:
            self.exec("rm", file)
            self.exec("systemctl", "restart", "joblet.service")

    def reboot(self) -> None:
        """Boot the host anew and wait until its daemon answers."""
        began = ["stat", "--format=%Y", "/run/systemd"]
        before = self.exec(*began).stdout
        self.exec("systemctl", "reboot", check=False)

        def booted() -> bool:
            try:
                return self.exec(*began, check=False, seconds=5).stdout not in ("", before)
            except subprocess.TimeoutExpired:  # whoever enters while it goes down may wait for ever
                return False

        until(booted, 180)
        until(lambda: self.rnx("job", "list").returncode == 0, 180)


def until(condition: Callable[[], Any], seconds: float = 60) -> Any:
    """Wait until the condition gives something true, and return that. ``seconds`` are for a machine that is busy."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.1)


def compiled(source: Path, directory: Path) -> Path:
    """A C program for the host: static, since this machine's libraries are of another age."""
    program = directory / source.stem
    options = ["-D_GNU_SOURCE", "-O1", "-Wall", "-Werror", "-static", "-pthread"]
    subprocess.run(["gcc", *options, "-o", str(program), str(source)], check=True, timeout=60)
    return program


def boot(name: str, suite: str, options: Sequence[str] = ()) -> Host:
    """Boot a host with our package and wait until its daemon answers."""
    subprocess.run(
        [LAB, "up", name, "--suite", suite, "--debs", str(PROJECT / "build" / "deb"), *options], check=True, timeout=900
    )
    config = subprocess.run([LAB, "config", name], check=True, stdout=subprocess.PIPE, text=True, timeout=120)
    host = Host(name, suite, Path(config.stdout.strip()))
    until(lambda: host.rnx("job", "list").returncode == 0, 180)
    return host


def down(name: str) -> None:
    """Take a host down, unless JOBLET_KEEP_HOSTS asks for it to stay for a look."""
    if not os.environ.get("JOBLET_KEEP_HOSTS"):
        subprocess.run([LAB, "down", name], check=True, timeout=300)
