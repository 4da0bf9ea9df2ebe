"""What a shell offers for the words of rnx: the nodes of the configuration, and the jobs of a node.

Whatever fails is raised: ``main`` offers nothing then.
"""

# ruff: noqa: PLC0415 - all of it is needed only when a shell asks

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from . import output

if TYPE_CHECKING:
    from collections.abc import Callable

    import click
    from click.shell_completion import CompletionItem

    from joblet_wire.joblet_pb2 import Job

    Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]

PATIENCE = 2.0  # seconds that a person waits for a completion
NEWEST = 1000  # jobs that are offered: as many as a node picks at most

# What may be put on a command line: the names come from other people, and a shell would obey the rest.
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*", re.ASCII)

WAITING = frozenset({"PENDING", "SCHEDULED"})
RUNNING = frozenset({"RUNNING"})
LIVE = WAITING | RUNNING | {"INITIALIZING", "STOPPING"}
ENDED = frozenset({"COMPLETED", "FAILED", "STOPPED", "CANCELED", "TIMEOUT"})


def job_in(states: frozenset[str]) -> Completer:
    """Completes the ids and names of jobs in one of these states."""

    def complete(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        return [
            CompletionItem(word, help=f"{row.status} {output.printable(row.command)[:40]}")
            for row in _jobs(context, states)
            if row.status in states
            for word in (row.uuid, row.name)
            if word.startswith(incomplete) and _PLAIN.fullmatch(word)
        ]

    return complete


job = job_in(LIVE | ENDED)


def node(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Completes the names of the configuration's nodes."""
    from click.shell_completion import CompletionItem

    from .command import Settings
    from .config import load

    nodes = load(context.ensure_object(Settings).config).nodes.values()
    return [
        CompletionItem(found.name, help=found.address)
        for found in nodes
        if found.name.startswith(incomplete) and _PLAIN.fullmatch(found.name)
    ]


def _jobs(context: click.Context, states: frozenset[str]) -> list[Job]:
    from joblet_wire.joblet_pb2 import EmptyRequest

    from .command import Settings
    from .connection import connect

    connection = connect(context.ensure_object(Settings))
    request = EmptyRequest(limit=NEWEST, states=sorted(states))
    return list(connection.jobs.ListJobs(request, timeout=PATIENCE).jobs)
