"""A gateway with real certificates and any routes, and a client of it that speaks bytes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
from collections.abc import AsyncIterator, Coroutine, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from joblet_systemd import keystore, pki, revocations, setup
from joblet_systemd.api.admission import Admission
from joblet_systemd.api.tls import KeyFiles
from joblet_systemd.http.gateway import Gateway, application
from joblet_systemd.http.routes import Route
from joblet_systemd.http.tls import Contexts
from joblet_systemd.identity import Identity, Role
from joblet_systemd.revocations import Watched, now


def scenario(play: Coroutine[Any, Any, None]) -> None:
    """Run it, but not for ever."""
    asyncio.run(asyncio.wait_for(play, 30))


@dataclass
class Reply:
    """An answer, its body whole."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Node:
    """Keys in a directory of its own, and the gateway's port."""

    def __init__(self, directory: Path) -> None:
        self.etc = directory / "etc"
        list(setup.setup(etc=self.etc, ensure_account=lambda identity: False))
        self.pki = self.etc / "pki"
        self.port = 0

    def client(
        self, role: Role | None = Role.DEVELOPER, name: str = "alice", etc: Path | None = None
    ) -> ssl.SSLContext:
        """What a client of that role needs; without a role, one without a certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.pki / "ca.crt")
        if role is not None:
            where = etc or self.etc
            ca = keystore.signer(where / "pki", where / "rnx-config.yml")
            credential = pki.client_credential(ca, Identity(name, role))
            file = where / f"{name}-{role}.pem"
            file.write_bytes(pki.key_pem(credential.key) + pki.certificate_pem(credential.certificate))
            context.load_cert_chain(file)
        return context

    @contextlib.asynccontextmanager
    async def gateway(self, routes: Iterable[Route]) -> AsyncIterator[Gateway]:
        """The gateway, serving."""
        admission = Admission(Watched(self.pki / revocations.FILE, now))
        with socket.create_server(("127.0.0.1", 0)) as listening:
            self.port = listening.getsockname()[1]
            gateway = Gateway([listening], Contexts(KeyFiles(self.pki)), application(admission, routes))
            await gateway.start()
            watch = asyncio.create_task(admission.watch())
            try:
                yield gateway
            finally:
                watch.cancel()
                await gateway.stop()

    async def connect(self, client: ssl.SSLContext | None = None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection, a developer's by default."""
        return await asyncio.open_connection(
            "127.0.0.1", self.port, ssl=client or self.client(), server_hostname="joblet"
        )

    async def ask(
        self, path: str, method: str = "GET", client: ssl.SSLContext | None = None, body: bytes = b"", **headers: str
    ) -> Reply:
        """One request over a connection of its own; header names with _ for -."""
        reader, writer = await self.connect(client)
        try:
            lines = [f"{method} {path} HTTP/1.1", "Host: joblet"]
            lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
            if body or method == "POST":
                lines.append(f"Content-Length: {len(body)}")
            writer.write("\r\n".join([*lines, "", ""]).encode() + body)
            return await answer(reader)
        finally:
            writer.close()


async def answer(reader: asyncio.StreamReader) -> Reply:
    """The next answer on the connection, by its Content-Length."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Reply(int(head[0].split()[1]), headers, body)
