"""Clients beside rnx: stubs with any certificate, also such as a thief of the CA's key would sign."""

from __future__ import annotations

import datetime
from typing import Any

import grpc
import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hosts import Host

from joblet_wire import joblet_pb2, joblet_pb2_grpc


def node(host: Host, name: str = "default") -> dict[str, str]:
    """A node of the client's configuration."""
    nodes: dict[str, Any] = yaml.safe_load(host.config.read_text())["nodes"]
    found: dict[str, str] = nodes[name]
    return found


def stub(host: Host, key: bytes | None, certificate: bytes | None) -> Any:
    """JobService as seen with that certificate."""
    reached = node(host)
    credentials = grpc.ssl_channel_credentials(reached["ca"].encode(), key, certificate)
    options = [("grpc.ssl_target_name_override", "joblet")]
    return joblet_pb2_grpc.JobServiceStub(grpc.secure_channel(reached["address"], credentials, options))


def sign(ca_key: Any, ca_name: x509.Name, *, role: str | None = "admin", days: int = 1) -> tuple[bytes, bytes]:
    """A key and a certificate of ``admin``, signed with the CA's key."""
    key = ec.generate_private_key(ec.SECP256R1())
    names = [x509.NameAttribute(NameOID.COMMON_NAME, "admin")]
    if role:
        names.append(x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, role))
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name(names))
        .issuer_name(ca_name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=10))
        .not_valid_after(now + datetime.timedelta(days=days))
        .sign(ca_key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private, certificate.public_bytes(serialization.Encoding.PEM)


def code(call: Any) -> grpc.StatusCode:
    """The status that the call fails with."""
    with pytest.raises(grpc.RpcError) as caught:
        call(joblet_pb2.EmptyRequest(), timeout=60)
    answer: grpc.StatusCode = caught.value.code()
    return answer
