"""Why a node cannot be reached: one connection made by hand, for what gRPC does not tell.

gRPC says "Socket closed" when the node refuses a certificate: with TLS 1.3 the client's side of the
handshake is over by then. Most servers send the reason as an alert (RFC 8446, 6.2), those of gRPC in
C do not, so that our own certificate is looked at here as the node does there.
"""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
from collections.abc import Iterator

from .config import SERVER_NAME, Node
from .errors import DENIED, UNREACHABLE, USAGE, Passing, RnxError

TIMEOUT = 5.0  # seconds, for connecting and for each read
PROXIES = ("grpc_proxy", "https_proxy", "http_proxy")  # as gRPC looks for one

# X509_V_ERR_* of OpenSSL's x509_vfy.h
NOT_YET_VALID, EXPIRED, NAME_MISMATCH = 9, 10, 62


def diagnose(node: Node, seen: str) -> RnxError:
    """Why talking to ``node`` failed; ``seen`` is what gRPC said, for when this connection succeeds.

    A ``Passing`` one if it may be that the daemon was restarted.
    """
    found = _tried(node, seen)
    proxy = next((name for name in PROXIES if os.environ.get(name)), None)
    if proxy is None or node.is_loopback or found.exit_code != UNREACHABLE:
        return found
    told = f"{proxy} is set: unless no_proxy has this node, calls go by that proxy, and this was tried without it."
    return type(found)(f"{found} {told}", UNREACHABLE)


def _tried(node: Node, seen: str) -> RnxError:
    try:
        context = client_context(node, "h2")
        host, port = node.reached_at
        with socket.create_connection((host, port), TIMEOUT) as plain:
            return _handshake(node, context, plain) or Passing(f"{_subject(node)} fails: {seen}.", UNREACHABLE)
    except RnxError as error:
        return error
    except OSError as error:
        return unreachable(node, error)


def unreachable(node: Node, error: OSError) -> RnxError:
    """What stands between us and ``node``, from the error that connecting, or the first answer, ended in."""
    match error:
        case ssl.SSLCertVerificationError():
            return _server_distrusted(node, error)
        case ssl.SSLError():
            why = (error.reason or str(error)).replace("_", " ").lower()
            if why == "wrong version number":
                return RnxError(f"{_subject(node)} does not speak TLS: that is not a Joblet daemon.", UNREACHABLE)
            return _refused(node, why, told=not isinstance(error, ssl.SSLEOFError))
        case socket.gaierror():
            return RnxError(f"cannot find the address of {_subject(node)}: {error.strerror}.", UNREACHABLE)
        case TimeoutError():
            return RnxError(
                f"{_subject(node)} does not answer: a wrong address, a firewall on the way, or the host is down.",
                UNREACHABLE,
            )
        case ConnectionRefusedError():
            return RnxError(
                f"nothing listens at {_subject(node)}: a wrong address, or the daemon is not running there"
                " (systemctl status joblet).",
                UNREACHABLE,
            )
    return RnxError(f"cannot reach {_subject(node)}: {error.strerror or error}.", UNREACHABLE)


def _handshake(node: Node, context: ssl.SSLContext, plain: socket.socket) -> RnxError | None:
    """What is wrong with TLS over the connection ``plain``, or None; raises ssl.SSLError where TLS itself can tell."""
    try:
        with context.wrap_socket(plain, server_hostname=SERVER_NAME) as secured:
            # An HTTP/2 server speaks first (RFC 9113, 3.4); one that refuses us sends an alert instead.
            if secured.recv(1):
                return None
            why = "it closed the connection"
    except ConnectionError as error:
        why = str(error.strerror).lower()
    except TimeoutError:
        return Passing(
            f"{_subject(node)} accepts connections and says nothing: its daemon starts, or hangs.", UNREACHABLE
        )
    return _refused(node, why, told=False)


def _refused(node: Node, why: str, *, told: bool) -> RnxError:
    """The node ended the handshake when it had seen our certificate.

    ``why`` is all that is known, and ``told`` whether the node said so; if not, its daemon may have ended just then.
    """
    start = f"{_subject(node)} refuses the client certificate"
    fault = _own_certificate_fault(node)
    if fault == EXPIRED:
        message = f"{start}: it has expired. 'jobletd cert renew' on the node makes a new one."
    elif fault == NOT_YET_VALID:
        message = f"{start}: it is not valid yet; is the clock right, here and on the node?"
    elif fault:
        message = f"{start}: it was issued by another CA than the one in the configuration."
    else:
        keys = "the node's keys were made anew, perhaps. Copy its rnx-config.yml again."
        if not told:
            return Passing(f"{start} ({why}), or is being restarted. If it stays so: {keys}", DENIED)
        message = f"{start} ({why}): {keys}"
    return RnxError(message, DENIED)


def _own_certificate_fault(node: Node) -> int:
    """What a server that trusts our CA finds wrong with our certificate, an X509_V_ERR_*; 0 for nothing.

    Nothing in the standard library reads a certificate, but a handshake in memory has it verified.
    """
    client = client_context(node, "h2")
    client.check_hostname = False
    client.verify_mode = ssl.CERT_NONE
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.verify_mode = ssl.CERT_REQUIRED
    server.load_verify_locations(cadata=node.ca)
    _load_keys(server, node)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (client.wrap_bio(to_client, to_server), server.wrap_bio(to_server, to_client, server_side=True))
    for end in ends * 2:  # hello, hello, certificate, verdict
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            continue
        except ssl.SSLCertVerificationError as error:
            return error.verify_code
    return 0


def _server_distrusted(node: Node, error: ssl.SSLCertVerificationError) -> RnxError:
    start = f"the certificate of {_subject(node)}"
    if error.verify_code == EXPIRED:
        message = f"{start} has expired; it must be made anew on the node ('jobletd setup')."
    elif error.verify_code == NOT_YET_VALID:
        message = f"{start} is not valid yet; is the clock right, here and on the node?"
    elif error.verify_code == NAME_MISMATCH:
        message = f"{start} is not one for '{SERVER_NAME}': that is another server."
    else:
        message = (
            f"{start} is not signed by the CA in the configuration ({error.verify_message}): that is another server,"
            " or the node's keys were made anew. Copy the node's rnx-config.yml again."
        )
    return RnxError(message, UNREACHABLE)


def client_context(node: Node, protocol: str) -> ssl.SSLContext:
    """TLS with the keys of ``node``, trusting its CA alone; raises RnxError if they cannot be used.

    ``protocol`` is for ALPN (RFC 7301). The server's name is to be SERVER_NAME.
    """
    # Not create_default_context(): that is stricter about CAs (from Python 3.13 on) than gRPC is.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols([protocol])
    try:
        context.load_verify_locations(cadata=node.ca)
        _load_keys(context, node)
    except (OSError, ValueError):  # ssl.SSLError is an OSError
        raise RnxError(
            f"the keys of node '{node.name}' in the configuration are unusable: ca, cert and key must be PEM,"
            " and the key the one of the certificate.",
            USAGE,
        ) from None
    return context


def _load_keys(context: ssl.SSLContext, node: Node) -> None:
    with _readable(node.cert) as cert, _readable(node.key) as key:
        context.load_cert_chain(cert, key, password=lambda: "")


@contextlib.contextmanager
def _readable(text: str) -> Iterator[str]:
    """A path from which ``text`` can be read once: the ssl module wants files, and keys do not belong there."""
    reader, writer = os.pipe()
    try:
        with os.fdopen(writer, "wb") as pipe:
            pipe.write(text.encode())
        yield f"/dev/fd/{reader}"
    finally:
        os.close(reader)


def _subject(node: Node) -> str:
    return f"node '{node.name}' ({node.address})"
