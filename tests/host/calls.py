"""Calls to a host's daemon as any client may make them, past what rnx would send."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import grpc
import yaml
from hosts import Host

from joblet_wire import joblet_pb2_grpc


@contextlib.contextmanager
def jobs(host: Host, node: str = "default") -> Iterator[Any]:
    """The stub of JobService, with the certificate of a node of the client's configuration."""
    keys = yaml.safe_load(host.config.read_text())["nodes"][node]
    credentials = grpc.ssl_channel_credentials(*(keys[name].encode() for name in ("ca", "key", "cert")))
    options = [("grpc.ssl_target_name_override", "joblet")]
    with grpc.secure_channel(keys["address"], credentials, options) as channel:
        yield joblet_pb2_grpc.JobServiceStub(channel)
