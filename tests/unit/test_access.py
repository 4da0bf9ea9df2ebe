"""Who may call what: every method of the contract, by every role, through a real server and real certificates."""

from __future__ import annotations

import asyncio
import datetime
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from joblet_systemd import etcfiles, keystore, pki, revocations, setup
from joblet_systemd.api import admission
from joblet_systemd.api.access import LEAST_ROLE
from joblet_systemd.api.admission import Admission
from joblet_systemd.api.server import EXPIRES_KEY, Caller, Server
from joblet_systemd.api.tls import Keys
from joblet_systemd.identity import Identity, Role
from joblet_systemd.pki import Credential
from joblet_systemd.revocations import Entry, Watched, now
from joblet_wire import joblet_pb2 as wire

DENIED, OK = grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.OK


def methods_of(text: str) -> list[str]:
    """The names behind every ``Service:``, with the service."""
    found, service = [], ""
    for word in text.split():
        if word.endswith(":"):
            service = word[:-1]
        else:
            found.append(f"{service}/{word}")
    return found


# Said here once more, in the words of the design, so that a slip in the table is noticed.
READER = methods_of("""
    JobService: GetJobStatus GetJobLogs ListJobs StreamJobMetrics GetJobMetrics StreamJobTelematics
        GetJobTelematics GetWorkflowStatus ListWorkflows GetWorkflowJobs TopJobs
    NetworkService: ListNetworks
    VolumeService: ListVolumes
    MonitoringService: GetSystemStatus StreamSystemMetrics
    RuntimeService: ListRuntimes GetRuntimeInfo ValidateRuntimeYAML ValidateRuntimeSpec
""")
DEVELOPER = methods_of("""
    JobService: RunJob SubmitJob RunWorkflow StopJob CancelJob DeleteJob DeleteAllJobs UpdateJob DownloadFiles
        WriteJobInput ExecJob
""")
MAINTAINER = methods_of("""
    NetworkService: CreateNetwork
    VolumeService: CreateVolume
    RuntimeService: BuildRuntime TestRuntime InstallRuntimeFromGithub InstallRuntimeFromLocal
        StreamingInstallRuntimeFromGithub StreamingInstallRuntimeFromLocal
""")
ADMIN = methods_of("""
    NetworkService: RemoveNetwork
    VolumeService: RemoveVolume
    RuntimeService: RemoveRuntime
""")
MATRIX = {
    **dict.fromkeys(READER, Role.READER),
    **dict.fromkeys(DEVELOPER, Role.DEVELOPER),
    **dict.fromkeys(MAINTAINER, Role.MAINTAINER),
    **dict.fromkeys(ADMIN, Role.ADMIN),
}
METHODS = {
    f"{service.name}/{method.name}": method
    for service in wire.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}


class Node:
    """A server whose methods note who called them and answer at once, but for logs, which have no end."""

    def __init__(self, directory: Path) -> None:
        self.etc = directory / "etc"
        list(setup.setup(etc=self.etc, ensure_account=lambda identity: False))
        self.pki = self.etc / "pki"
        self.called: list[tuple[str, str]] = []
        self.path = directory / "socket"
        self.streams: list[str] = []
        self.flood = False  # logs come as fast as they are taken
        methods = {name: self._method(name) for name in METHODS}
        self.admission = Admission(Watched(self.pki / revocations.FILE, now))
        self.server = Server(methods, self.path, Keys(self.pki), self.admission)

    def _method(self, name: str) -> Callable[[Any, Caller], Any]:
        answer = getattr(wire, METHODS[name].output_type.name)

        async def take(request: Any) -> None:
            if METHODS[name].client_streaming:
                assert [message async for message in request]

        async def unary(request: Any, caller: Caller) -> Any:
            await take(request)
            self.called.append((name, caller.name))
            return answer()

        async def stream(request: Any, caller: Caller) -> AsyncIterator[Any]:
            await take(request)
            self.called.append((name, caller.name))
            yield answer()
            if name == "JobService/GetJobLogs":
                self.streams.append("open")
                try:
                    while self.flood:
                        yield wire.DataChunk(payload=bytes(1 << 16))
                    await asyncio.Event().wait()
                finally:
                    self.streams.append("closed")

        return stream if METHODS[name].server_streaming else unary

    def credential(self, name: str, role: Role, days: int = 365) -> Credential:
        return pki.client_credential(keystore.signer(self.pki, "a test"), Identity(name, role), days=days)

    def channel(self, credential: Credential, *, name: str = "joblet", ca: bytes = b"") -> grpc.aio.Channel:
        """A connection of its own, as whoever has that credential and knows the server by ``name`` and ``ca``."""
        keys = pki.key_pem(credential.key), pki.certificate_pem(credential.certificate)
        credentials = grpc.ssl_channel_credentials(ca or (self.pki / "ca.crt").read_bytes(), *keys)
        options = [("grpc.ssl_target_name_override", name), ("grpc.use_local_subchannel_pool", 1)]
        return grpc.aio.secure_channel(f"unix:{self.path}", credentials, options)

    def revoke(self, *entries: Entry) -> None:
        revocations.add(self.pki / revocations.FILE, entries)


def with_node(directory: Path, test: Callable[[Node], Awaitable[None]]) -> None:
    """Run a test with a server."""

    async def run() -> None:
        node = Node(directory)
        await node.server.start()
        watch = asyncio.create_task(node.admission.watch())
        try:
            await asyncio.wait_for(test(node), 30)
        finally:
            watch.cancel()
            await node.server.stop()

    asyncio.run(run())


def call(channel: grpc.aio.Channel, name: str) -> Any:
    """Begin a call of the method with one empty request."""
    method = METHODS[name]
    kinds = {
        (False, False): channel.unary_unary,
        (False, True): channel.unary_stream,
        (True, False): channel.stream_unary,
        (True, True): channel.stream_stream,
    }
    begin = kinds[method.client_streaming, method.server_streaming](f"/joblet.{name}")
    return begin(iter([b""]) if method.client_streaming else b"", timeout=10)


async def status(channel: grpc.aio.Channel, name: str) -> tuple[grpc.StatusCode, str]:
    """How the method answers: OK as soon as there is a first message."""
    pending = call(channel, name)
    try:
        if METHODS[name].server_streaming:
            await pending.read()
            if name == "JobService/GetJobLogs":
                pending.cancel()
                return OK, ""
        else:
            await pending
    except grpc.aio.AioRpcError as error:
        return error.code(), error.details() or ""
    return await pending.code(), ""


def revocation(name: str = "alice", serial: str = "", reason: str = "lost her laptop") -> Entry:
    if serial:
        return Entry(name, now(), reason, "unix:root", serial=serial)
    return revocations.all_until(name, now(), reason, "unix:root")


def test_no_method_of_the_contract_is_unlisted() -> None:
    assert set(MATRIX) == set(METHODS)
    assert LEAST_ROLE == MATRIX


@pytest.mark.parametrize("role", Role)
def test_every_method_by_every_role(role: Role, tmp_path: Path) -> None:
    async def test(node: Node) -> None:
        async with node.channel(node.credential("alice", role)) as channel:
            for name, least in MATRIX.items():
                node.called.clear()
                code, details = await status(channel, name)
                if role >= least:
                    assert (code, node.called) == (OK, [(name, "alice")]), (name, details)
                else:
                    assert (code, node.called) == (DENIED, []), name
                    assert f"needs the role {least}" in details
                    assert "ask the host's administrator" in details  # most have one node, of one role
                    assert f"has the role {role}" in details

    with_node(tmp_path, test)


def test_a_revoked_certificate_is_refused_on_the_connection_it_has(tmp_path: Path) -> None:
    async def test(node: Node) -> None:
        alices, bobs = node.credential("alice", Role.ADMIN), node.credential("bob", Role.ADMIN)
        async with node.channel(alices) as channel, node.channel(bobs) as other:
            for name in MATRIX:
                assert (await status(channel, name))[0] is OK
            node.revoke(revocation())
            node.called.clear()
            for name in MATRIX:
                code, details = await status(channel, name)
                assert code is DENIED, name
                assert "was revoked" in details
                assert "lost her laptop" in details
                assert "jobletd cert issue" in details
            assert node.called == []
            assert (await status(other, "JobService/ListJobs"))[0] is OK
        async with node.channel(alices) as again:
            assert (await status(again, "JobService/ListJobs"))[0] is DENIED

    with_node(tmp_path, test)


def test_one_of_two_certificates(tmp_path: Path) -> None:
    async def test(node: Node) -> None:
        first, second = node.credential("alice", Role.READER), node.credential("alice", Role.READER)
        node.revoke(revocation(serial=pki.serial_of(first.certificate)))
        async with node.channel(first) as refused, node.channel(second) as good:
            assert (await status(refused, "JobService/ListJobs"))[0] is DENIED
            assert (await status(good, "JobService/ListJobs"))[0] is OK

    with_node(tmp_path, test)


def test_a_stream_ends_when_its_certificate_is_revoked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "LOOK_SEC", 0.05)

    async def test(node: Node) -> None:
        alices, bobs = node.credential("alice", Role.READER), node.credential("bob", Role.READER)
        async with node.channel(alices) as channel, node.channel(bobs) as other:
            followed, kept = call(channel, "JobService/GetJobLogs"), call(other, "JobService/GetJobLogs")
            await followed.read()
            await kept.read()
            node.revoke(revocation())
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await followed.read()
            assert caught.value.code() is DENIED
            assert "was revoked" in (caught.value.details() or "")
            assert node.streams == ["open", "open", "closed"]
            assert not kept.done()
            kept.cancel()

    with_node(tmp_path, test)


def test_a_stream_that_nobody_reads_ends_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server waits for the client to take what it has sent, and for nothing of its own."""
    monkeypatch.setattr(admission, "LOOK_SEC", 0.05)

    async def test(node: Node) -> None:
        node.flood = True
        async with node.channel(node.credential("alice", Role.READER)) as channel:
            stalled = call(channel, "JobService/GetJobLogs")
            await stalled.read()
            await asyncio.sleep(0.3)  # until the window is full
            node.revoke(revocation())
            while node.streams != ["open", "closed"]:
                await asyncio.sleep(0.01)

    with_node(tmp_path, test)


def test_a_damaged_list_lets_nobody_in_and_leaves_streams_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(admission, "LOOK_SEC", 0.05)

    async def test(node: Node) -> None:
        async with node.channel(node.credential("alice", Role.ADMIN)) as channel:
            followed = call(channel, "JobService/GetJobLogs")
            await followed.read()
            (node.pki / revocations.FILE).write_text('{"version": 1, "revoked": [')
            for _ in range(3):
                code, details = await status(channel, "JobService/ListJobs")
                assert code is grpc.StatusCode.UNAVAILABLE
                assert "nobody is let in" in details
            await asyncio.sleep(0.3)
            assert not followed.done()
            (node.pki / revocations.FILE).unlink()
            assert (await status(channel, "JobService/ListJobs"))[0] is OK
            followed.cancel()

    with_node(tmp_path, test)
    said = [record.getMessage() for record in caplog.records if "cannot be used" in record.getMessage()]
    assert len(said) == 1, "once, not at every call"
    assert str(tmp_path / "etc" / "pki" / revocations.FILE) in said[0]
    assert "backup" in said[0]


def test_a_certificate_that_ends_while_connected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "LOOK_SEC", 0.05)
    ahead = datetime.timedelta()

    async def test(node: Node) -> None:
        nonlocal ahead
        node.admission._revoked._now = lambda: now() + ahead  # the server's clock
        async with node.channel(node.credential("alice", Role.READER, days=2)) as channel:
            followed = call(channel, "JobService/GetJobLogs")
            await followed.read()
            assert (await status(channel, "JobService/ListJobs"))[0] is OK
            ahead = datetime.timedelta(days=3)
            code, details = await status(channel, "JobService/ListJobs")
            assert (code, "has expired" in details) == (DENIED, True)
            with pytest.raises(grpc.aio.AioRpcError, match="has expired"):
                await followed.read()

    with_node(tmp_path, test)


@pytest.mark.parametrize(("days", "told"), [(365, False), (31, False), (29, True)])
def test_the_client_is_told_of_its_end(days: int, told: bool, tmp_path: Path) -> None:
    async def test(node: Node) -> None:
        credential = node.credential("alice", Role.READER, days=days)
        async with node.channel(credential) as channel:
            for name in ("JobService/ListJobs", "JobService/RunJob"):  # one is denied
                pending = call(channel, name)
                await pending.code()
                found = dict(await pending.trailing_metadata() or ())
                end = f"{pki.expiry(credential.certificate):%Y-%m-%dT%H:%M:%SZ}"
                assert found.get(EXPIRES_KEY) == (end if told else None)

    with_node(tmp_path, test)


def test_a_new_server_certificate_is_used_without_a_restart(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "joblet")

    async def test(node: Node) -> None:
        credential = node.credential("alice", Role.READER)

        async with node.channel(credential, name="added.example.org") as channel, node.channel(credential) as connected:
            assert (await status(connected, "JobService/ListJobs"))[0] is OK
            assert (await status(channel, "JobService/ListJobs"))[0] is grpc.StatusCode.UNAVAILABLE
            list(setup.setup(setup.Address("added.example.org"), etc=node.etc, ensure_account=lambda identity: False))
            assert (await status(connected, "JobService/ListJobs"))[0] is OK
        async with node.channel(credential, name="added.example.org") as channel:
            assert (await status(channel, "JobService/ListJobs"))[0] is OK
        # What does not fit together is not used, and breaks nothing.
        (node.pki / "server.key").write_bytes(pki.key_pem(pki.new_key()))
        async with node.channel(credential, name="added.example.org") as channel:
            assert (await status(channel, "JobService/ListJobs"))[0] is OK
        assert "cannot be used, so that the former ones are" in caplog.text

    with_node(tmp_path, test)


def test_a_ca_signed_anew_breaks_no_client(tmp_path: Path) -> None:
    """Who has the old certificate of the CA gets through as well as who has the new one."""

    async def test(node: Node) -> None:
        key, server_key = keystore.read_key(node.pki / "ca.key"), keystore.read_key(node.pki / "server.key")
        assert key is not None
        assert server_key is not None
        ends_soon = Credential(pki.self_sign(key, days=500), key)
        server = pki.server_certificate(ends_soon, server_key, ["joblet"])
        etcfiles.write(node.pki / "ca.crt", pki.certificate_pem(ends_soon.certificate), 0o644)
        etcfiles.write(node.pki / "server.crt", pki.certificate_pem(server), 0o644)
        old, before = node.credential("alice", Role.READER), (node.pki / "ca.crt").read_bytes()
        async with node.channel(old) as channel:
            assert (await status(channel, "JobService/ListJobs"))[0] is OK
        list(setup.setup(etc=node.etc, ensure_account=lambda identity: False))
        assert (node.pki / "ca.crt").read_bytes() != before
        new = node.credential("alice", Role.READER)
        for credential, ca in ((old, before), (new, b""), (old, b"")):
            async with node.channel(credential, ca=ca) as channel:
                assert (await status(channel, "JobService/ListJobs"))[0] is OK

    with_node(tmp_path, test)


def test_an_unknown_subject_is_denied(tmp_path: Path) -> None:
    """A certificate of our own CA, signed by whoever has its key, with no role or two."""

    async def test(node: Node) -> None:
        signer = keystore.signer(node.pki, "a test")
        for subject in ((("CN", "alice"),), (("OU", "admin"), ("OU", "admin"), ("CN", "alice")), (("OU", "admin"),)):
            key = pki.new_key()
            oids = {"CN": pki.NameOID.COMMON_NAME, "OU": pki.NameOID.ORGANIZATIONAL_UNIT_NAME}
            name = pki.x509.Name([pki.x509.NameAttribute(oids[kind], value) for kind, value in subject])
            leaf = pki._leaf(signer, name, key, 1, pki.ExtendedKeyUsageOID.CLIENT_AUTH)
            credential = Credential(leaf.sign(signer.key, pki.hashes.SHA256()), key)
            async with node.channel(credential) as channel:
                for method in MATRIX:
                    assert (await status(channel, method))[0] is DENIED, (subject, method)
        assert node.called == []

    with_node(tmp_path, test)


def test_the_end_of_the_server_waits_for_what_its_calls_undo(tmp_path: Path) -> None:
    undone: list[str] = []

    async def test(node: Node) -> None:
        begun = asyncio.Event()

        async def run(_request: Any, _caller: Caller) -> Any:
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0.3)  # in a thread, on a slow disk
                undone.append("all of it")

        server = Server({"JobService/RunJob": run}, tmp_path / "other", Keys(node.pki), node.admission)
        await server.start()
        node.path = tmp_path / "other"
        async with node.channel(node.credential("alice", Role.ADMIN)) as channel:
            pending = call(channel, "JobService/RunJob")
            await begun.wait()
            await server.stop()
            assert undone == ["all of it"]
            with pytest.raises(grpc.aio.AioRpcError):
                await pending

    with_node(tmp_path, test)
