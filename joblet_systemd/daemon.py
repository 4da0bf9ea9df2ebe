"""The composition root: builds the parts of the daemon and wires them, nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import logging
import os
import signal
import socket
import sys
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

from . import audit, memory, reminder, revocations
from . import config as configuration
from . import host as this_host
from .api.admission import Admission
from .api.download import Downloads
from .api.interact import InteractService
from .api.jobs import JobService
from .api.listener import Listener, bind
from .api.metrics import MetricsService
from .api.ondemand import OnDemand
from .api.server import Server
from .api.tls import Keys
from .api.upload import Uploads
from .config import Config
from .http.doorkeeper import Doorkeeper
from .jobs.book import Book
from .jobs.kept import KeptFiles
from .jobs.lifecycle import Lifecycle
from .jobs.places import Places
from .jobs.requests import Jobs
from .jobs.runner import Runner
from .logs import Logs
from .metrics import cgroup
from .metrics.archive import Archive
from .metrics.counts import Counts
from .metrics.host import HostReadings
from .metrics.sampler import Sampler
from .model import UNIT_PATTERN
from .revocations import Watched
from .store import Store
from .systemd import notify
from .systemd.journal import Journal
from .systemd.manager import Manager
from .unit import LOG_NAMESPACE, SLICE

log = logging.getLogger("joblet")

DEFAULT_ADDRESS = "127.0.0.1:50051"
HTTP_SOCKET = "http"  # what joblet-http.socket calls its descriptors


def run(config: Config, listen: str | None) -> NoReturn:
    """Serve until SIGTERM or SIGINT, then end the process. Raises JobletError when the daemon cannot start."""
    _log_to_journal()
    faulthandler.enable()  # the watchdog's SIGABRT leaves in the journal where the daemon hung
    asyncio.run(_serve(config, listen))
    # All is closed by now. Taking the interpreter down as well, gRPC waits for a thread of its own, which
    # Python 3.14 does not allow any more at that point, and says so with a traceback.
    logging.shutdown()
    os._exit(0)


def _on_loop_error(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """grpcio 1.51 leaves an error in a task of its own when a client is gone before its answer; nobody looks at it."""
    error = context.get("exception")
    if type(error).__name__ == "ExecuteBatchError":
        log.debug("a client did not wait for its answer: %s", error)
    else:
        loop.default_exception_handler(context)


async def _serve(config: Config, listen: str | None) -> None:
    asyncio.get_running_loop().set_exception_handler(_on_loop_error)
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    async with contextlib.AsyncExitStack() as parts:
        sockets = notify.listening_sockets()
        web = sockets.pop(HTTP_SOCKET, [])
        doors = [one for several in sockets.values() for one in several] or [bind(listen or DEFAULT_ADDRESS)]
        watchdog = asyncio.create_task(notify.feed_watchdog(memory.give_back))
        parts.callback(watchdog.cancel)

        store = Store(configuration.STATE_DIR / "joblet.db")
        parts.callback(store.close)
        places = Places.prepare(configuration.RUNTIME_DIR, configuration.STATE_DIR, config.jobs)
        work = places.work
        if work.why_unbounded:
            log.warning("the size of /work cannot be enforced: %s", work.why_unbounded)
        manager = Manager(UNIT_PATTERN)
        await manager.connect()
        parts.push_async_callback(manager.close)
        host = await this_host.examine(manager)
        runner = Runner(manager, host, places, config.jobs.stop_grace, config.jobs.max_log)
        parts.callback(runner.close)
        kept = KeptFiles(store, work, config.jobs.keep_files)
        parts.callback(kept.close)
        book, boot = Book(store), this_host.boot_id()
        archive = Archive(configuration.STATE_DIR / "samples.db")
        archive.forget_others(store.ids())
        sampler = Sampler(cgroup.directory(SLICE), archive, manager.traffic)
        parts.push_async_callback(sampler.close)
        lifecycle = Lifecycle(config.jobs, manager, runner, book, work, kept, sampler, boot)
        parts.push_async_callback(lifecycle.close)
        await lifecycle.recover()
        sampling = asyncio.create_task(sampler.run())
        parts.callback(sampling.cancel)
        jobs = Jobs(config.jobs, host, manager, runner, book, work, lifecycle, boot)

        await _let_clients_in(parts, doors, web, jobs, lifecycle, kept, places, sampler)
        reminding = asyncio.create_task(reminder.remind(configuration.CONFIG_FILE.parent))
        parts.callback(reminding.cancel)
        notify.ready()
        notify.status(f"systemd {host.systemd_version}, process namespaces by {host.tier.value}")
        log.info("serving; systemd %d, cgroup controllers: %s", host.systemd_version, _words(host.controllers))
        await stopping.wait()
        notify.stopping()
        log.info("stopping; jobs go on")


async def _let_clients_in(
    parts: contextlib.AsyncExitStack,
    doors: Sequence[socket.socket],
    web: Sequence[socket.socket],
    jobs: Jobs,
    lifecycle: Lifecycle,
    kept: KeptFiles,
    places: Places,
    sampler: Sampler,
) -> None:
    logs = Logs(lambda: Journal(LOG_NAMESPACE))
    parts.callback(logs.close)
    uploads = Uploads(places.work, lifecycle.watch_disk)
    parts.callback(uploads.close)
    downloads = Downloads(jobs, places.work)
    parts.callback(downloads.close)
    node_id = this_host.machine_id()
    service = JobService(jobs, logs, uploads, kept, node_id)
    readings = HostReadings(node_id, configuration.STATE_DIR / "jobs")
    parts.callback(readings.close)
    metrics = MetricsService(jobs, sampler, readings)
    inner = configuration.RUNTIME_DIR / "private" / "grpc.sock"
    inner.parent.mkdir(mode=0o700, exist_ok=True)
    inner.unlink(missing_ok=True)
    admission = Admission(Watched(configuration.PKI_DIR / revocations.FILE, revocations.now))
    interact = InteractService(jobs, places.controls, places.work)
    methods = {**service.methods(), **downloads.methods(), **interact.methods(), **metrics.methods()}
    watch = asyncio.create_task(admission.watch())
    parts.callback(watch.cancel)
    server = OnDemand(Server(methods, inner, Keys(configuration.PKI_DIR), admission))
    await server.start()
    parts.push_async_callback(server.stop)
    listener = Listener(doors, inner, server)
    await listener.start()
    parts.callback(listener.stop)
    if web:
        counts = Counts(jobs.book.unfinished())
        jobs.book.watch(counts)
        doorkeeper = Doorkeeper(
            web,
            lambda http: http.gateway(
                web, configuration.PKI_DIR, admission, http.Parts(jobs, logs, kept, metrics, counts, node_id)
            ),
        )
        doorkeeper.start()
        parts.push_async_callback(doorkeeper.stop)


def _words(items: Iterable[str]) -> str:
    return ", ".join(sorted(items)) or "none"


# logging's levels as syslog's (sd-daemon(3))
PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}


def _log_to_journal() -> None:
    """Log to standard error; where that is the journal, with the priority in front of every line."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(message)s")
    if "JOURNAL_STREAM" in os.environ:
        logging.getLogger().handlers[0].setFormatter(_JournalFormatter())
        audit.to_journal()


class _JournalFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        prefix = f"<{PRIORITIES.get(record.levelno, 6)}>"
        if not record.name.startswith("joblet_systemd"):
            prefix += f"{record.name}: "
        return "\n".join(prefix + line for line in super().format(record).splitlines())
