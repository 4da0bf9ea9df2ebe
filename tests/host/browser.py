"""Headless Chromium, with a client certificate of a lab host, driven by selenium."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from clients import node
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12
from hosts import Host, until
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

PROGRAMS = ("chromium", "chromedriver", "certutil", "pk12util", "unshare")
# The name that every server certificate has; where it leads to, the browser is told.
ORIGIN = "https://joblet:50052"
# Certificates are chosen by policy only, and policies are read from /etc only: there they are for this browser alone.
WRAPPER = """\
#!/bin/sh
exec unshare --mount --propagation=private sh -c '
    mount -t tmpfs tmpfs /etc/chromium && mkdir -p /etc/chromium/policies/managed &&
    cp "$0" /etc/chromium/policies/managed/ && exec chromedriver "$@"' {policy} "$@"
"""
POLICY = {"AutoSelectCertificateForUrls": [json.dumps({"pattern": ORIGIN, "filter": {}})]}


@contextlib.contextmanager
def browser(host: Host, role: str = "default", address: str | None = None) -> Iterator[webdriver.Chrome]:
    """A browser with the certificate of a node of the client's configuration; ``address`` is the host's."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        pytest.skip(f"there is no {', '.join(missing)}: 'make deps' installs the packages that have them")
    with tempfile.TemporaryDirectory(prefix="joblet-browser-") as directory:
        home = Path(directory)
        _keys(home, node(host, role))
        policy = home / "joblet.json"
        policy.write_text(json.dumps(POLICY))
        wrapper = home / "chromedriver"
        wrapper.write_text(WRAPPER.format(policy=policy))
        wrapper.chmod(0o755)
        options = webdriver.ChromeOptions()
        options.binary_location = str(shutil.which("chromium"))
        reached = address or node(host)["address"].rpartition(":")[0]
        for argument in (
            "--headless=new",
            "--no-sandbox",  # tests run as root
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--no-proxy-server",
            "--window-size=1280,800",
            f"--user-data-dir={home}/profile",
            f"--host-resolver-rules=MAP joblet {reached}",
        ):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        environment = {**os.environ, "HOME": directory, "LC_ALL": "C.UTF-8", "TZ": "UTC"}
        driver = webdriver.Chrome(options, Service(str(wrapper), env=environment))
        try:
            yield driver
        finally:
            driver.quit()


def _keys(home: Path, keys: dict[str, str]) -> None:
    """The certificates in the place where Chromium looks for them."""
    database = home / ".pki" / "nssdb"
    database.mkdir(parents=True)
    key = serialization.load_pem_private_key(keys["key"].encode(), None)
    certificate = x509.load_pem_x509_certificate(keys["cert"].encode())
    bundle: Any = pkcs12.serialize_key_and_certificates(
        b"joblet",
        key,
        certificate,
        None,
        serialization.BestAvailableEncryption(b"joblet"),  # type: ignore[arg-type]
    )
    (home / "client.p12").write_bytes(bundle)
    (home / "ca.pem").write_text(keys["ca"])
    sql = f"sql:{database}"
    for command in (
        ["certutil", "-d", sql, "-N", "--empty-password"],
        ["certutil", "-d", sql, "-A", "-t", "C,,", "-n", "ca", "-i", str(home / "ca.pem")],
        ["pk12util", "-d", sql, "-i", str(home / "client.p12"), "-W", "joblet"],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"


def script(driver: webdriver.Chrome, text: str, *arguments: Any) -> Any:
    """What a piece of JavaScript returns in the page."""
    return driver.execute_script(text, *arguments)


def eventually(driver: webdriver.Chrome, expression: str, seconds: float = 30) -> Any:
    """Wait until the JavaScript expression is true in the page; its value."""
    found: list[Any] = []

    def true() -> bool:
        found[:] = [script(driver, f"return {expression}")]
        return bool(found[0])

    until(true, seconds)
    return found[0]
