"""Headless Chromium, with a client certificate of a lab host, driven by selenium."""

from __future__ import annotations

import base64
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
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.support.select import Select

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
def browser(host: Host, role: str | None = "default") -> Iterator[Page]:
    """A browser with the certificate of that node of the client's configuration, or without any."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        pytest.skip(f"there is no {', '.join(missing)} on this machine; 'make browser' installs what has them")
    with tempfile.TemporaryDirectory(prefix="joblet-browser-", ignore_cleanup_errors=True) as directory:
        home = Path(directory)
        _keys(home, node(host, role or "default"), client=role is not None)
        policy = home / "joblet.json"
        policy.write_text(json.dumps(POLICY))
        wrapper = home / "chromedriver"
        wrapper.write_text(WRAPPER.format(policy=policy))
        wrapper.chmod(0o755)
        options = webdriver.ChromeOptions()
        options.binary_location = str(shutil.which("chromium"))
        address = node(host)["address"].rpartition(":")[0]
        for argument in (
            "--headless=new",
            "--no-sandbox",  # tests run as root
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--no-proxy-server",
            f"--user-data-dir={home}/profile",
            f"--host-resolver-rules=MAP joblet {address}",
        ):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        environment = {**os.environ, "HOME": directory, "LC_ALL": "C.UTF-8", "TZ": "UTC"}
        driver = webdriver.Chrome(options, Service(str(wrapper), env=environment))
        try:
            yield Page(driver)
        finally:
            driver.quit()


def _keys(home: Path, keys: dict[str, str], client: bool) -> None:
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
    commands = [
        ["certutil", "-d", sql, "-N", "--empty-password"],
        ["certutil", "-d", sql, "-A", "-t", "C,,", "-n", "ca", "-i", str(home / "ca.pem")],
        ["pk12util", "-d", sql, "-i", str(home / "client.p12"), "-W", "joblet"],
    ]
    for command in commands if client else commands[:1]:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"


class Page:
    """What a user does and sees. Expressions are JavaScript, in the page."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self._driver = driver
        self._complaints: list[dict[str, Any]] = []

    def open(self, where: str, fresh: bool = False) -> None:
        """Open an address, or a view of the page; ``fresh`` loads the page anew."""
        for _ in range(5):
            if fresh:
                self._driver.get("about:blank")
            self._driver.get(where if where.startswith("http:") else f"{ORIGIN}/{where}")
            if not self._interrupted():
                return
            fresh = True

    def _interrupted(self) -> bool:
        """Whether Chromium broke off what it was loading, as it does when the machine gets a network interface.

        Every host of the lab has one. A user would load the page again.
        """
        found = self._driver.get_log("browser")
        self._complaints += found
        return any("ERR_NETWORK_CHANGED" in entry["message"] for entry in found) or bool(
            self.run("return document.body.innerText.includes('ERR_NETWORK_CHANGED')")
        )

    @contextlib.contextmanager
    def answering(self, path: str, answer: str) -> Iterator[None]:
        """Pages that are loaded within get ``answer`` for a path that the regular expression ``path`` matches.

        That is an expression for a Response, or null, which asks the node; ``mend()`` in the page asks it from then on.
        """
        script = f"""{{
            const real = window.fetch;
            window.mend = () => (window.fetch = real);
            window.fetch = async (url, options) =>
                (new RegExp({json.dumps(path)}).test(url.pathname) && ({answer})) || real(url, options);
        }}"""
        added = self._driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": script})
        try:
            yield
        finally:
            self._driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", added)

    def run(self, script: str, *arguments: Any) -> Any:
        """What a piece of script returns."""
        return self._driver.execute_script(script, *arguments)

    def run_async(self, script: str, *arguments: Any) -> Any:
        """What a piece of script gives to the function that is its last argument."""
        self._driver.set_script_timeout(60)
        return self._driver.execute_async_script(script, *arguments)

    def wait(self, expression: str, seconds: float = 60) -> None:
        """Wait until the expression is true; as long as an element in it is not there it is not."""
        script = (
            f"try {{ return Boolean({expression}) }} catch (e) {{ if (e instanceof TypeError) return false; throw e }}"
        )
        try:
            until(lambda: self.run(script), seconds)
        except AssertionError:
            raise AssertionError(f"{expression}\nnot within {seconds} s in:\n{self.text('body')}") from None

    def wait_for_output(self) -> None:
        """Wait until the log is whole. Its foot says so a frame before the last lines are drawn."""
        self.wait("document.querySelector('.log .foot').textContent.includes('End of the output')")
        self.settle()

    def settle(self) -> None:
        """Wait until what is under way has been drawn."""
        self.run_async("const [done] = arguments; setTimeout(() => requestAnimationFrame(() => done()), 700)")

    def text(self, selector: str) -> str:
        """The text that is seen of an element."""
        return str(self.run("return document.querySelector(arguments[0]).innerText", selector))

    def _named(self, name: str) -> Any:
        return self.run(
            """
            const root = document.querySelector("dialog[open]") ?? document;
            return [...root.querySelectorAll("button, label, a, input")].find((one) =>
              [one.textContent.trim(), one.getAttribute("aria-label")].includes(arguments[0]) &&
              one.checkVisibility() && !one.disabled);
            """,
            name,
        )

    def visible(self, name: str) -> bool:
        """Whether there is something of that name to click."""
        return self._named(name) is not None

    def click(self, name: str) -> None:
        """Click what has that name."""
        self.wait_for(name)
        self._named(name).click()

    def wait_for(self, name: str) -> None:
        """Wait until there is something of that name."""
        until(lambda: self.visible(name))

    def fill(self, label: str, text: str) -> None:
        """Put a text into the field with that label."""
        field = self.run("return document.getElementById(arguments[0].htmlFor)", self._named(label))
        field.clear()
        field.send_keys(text)

    def choose(self, select: str, option: str) -> None:
        """Choose an option, by its text, of the element that the expression ``select`` is."""
        Select(self.run(f"return {select}")).select_by_visible_text(option)

    def press(self, key: str) -> None:
        """Press a key, wherever the focus is."""
        ActionChains(self._driver).send_keys(key).perform()

    type = press

    def size(self, width: int, height: int, *, mobile: bool = False) -> None:
        """The window's size, or the screen of a phone."""
        self._driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1.25 if mobile else 1, "mobile": mobile},
        )

    def colours(self, scheme: str) -> None:
        """What the system prefers: light or dark."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self._driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def picture(self) -> bytes:
        """The page as PNG."""
        return base64.b64decode(self._driver.get_screenshot_as_base64())

    def problems(self) -> list[str]:
        """What the browser has complained about since the last time, such as violations of the policy.

        But for connections that failed: those are part of some tests.
        """
        entries = self._complaints + self._driver.get_log("browser")
        self._complaints = []
        return [entry["message"] for entry in entries if entry["level"] == "SEVERE" and entry["source"] != "network"]

    def accessible(self) -> list[tuple[str, str]]:
        """Role and name of everything that assistive technology is told of."""
        nodes = self._driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
        shown = [one for one in nodes if not one.get("ignored")]
        return [(one["role"]["value"], one.get("name", {}).get("value", "").strip()) for one in shown]


# Where things are in the page, as JavaScript.


def row(job: str) -> str:
    """The row of a job in the list, or null."""
    return f"document.querySelector('[data-id=\"{job}\"]')"


def state(job: str) -> str:
    """The state that the list shows of a job."""
    return f"{row(job)}?.querySelector('.badge').textContent"


# An answer of the node's that may be another one in a while.
BUSY = """new Response('{"title": "Unavailable", "detail": "The node is busy."}', {status: 503})"""

# The lines of output that are elements, as texts.
LOG = "[...document.querySelectorAll('.log .line code')].map(line => line.textContent)"
