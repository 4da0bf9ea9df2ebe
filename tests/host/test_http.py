"""Jobs over HTTP, as a program or a browser uses it."""

from __future__ import annotations

import base64
import http.client
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hosts import Host, until
from webclient import Event, Web


@pytest.fixture
def web(host: Host, tmp_path: Path) -> Web:
    return Web(host, tmp_path)


@pytest.fixture
def as_role(host: Host, tmp_path: Path) -> Callable[[str], Web]:
    return lambda role: Web(host, tmp_path, role)


def submitted(web: Web, *words: str, **more: Any) -> str:
    """A job's id."""
    answer = web.ask("POST", "/v1/jobs", {"command": words[0], "args": list(words[1:]), **more})
    assert answer.status == 201, answer.body
    assert answer.headers["location"] == f"/v1/jobs/{answer.json['uuid']}"
    return str(answer.json["uuid"])


def output(found: list[Event], stream: str = "stdout") -> bytes:
    """The bytes of a stream."""
    pieces = [event.data for event in found if not event.name and event.data["stream"] == stream]
    return b"".join(
        piece["text"].encode() if "text" in piece else base64.b64decode(piece["base64"]) for piece in pieces
    )


def test_a_job_from_beginning_to_end(host: Host, web: Web) -> None:
    command = r"echo out; echo err >&2; printf '\377\0\n'; sleep 0.5; printf last; exit 3"
    job = submitted(web, "sh", "-c", command, name="whole", environment={"A": "b"}, secretEnvironment={"S": "hush"})
    found = list(web.events(f"/v1/jobs/{job}/logs"))
    assert output(found) == b"out\n\xff\0\nlast"
    assert output(found, "stderr") == b"err\n"
    assert (found[-1].name, found[-1].data) == ("end", {"status": "FAILED", "exitCode": 3, "reason": "exit-code 3"})
    assert found[0].data["time"].endswith("Z")

    def same() -> bool:
        shown, rnx = web.get(f"/v1/jobs/{job[:8]}").json, host.status(job)
        return {key: shown.get(key) for key in rnx} == rnx

    until(same)  # files are removed some moments after the end
    shown = web.get(f"/v1/jobs/{job[:8]}").json
    assert shown["secretEnvironment"] == {"S": "***"}
    [row] = web.get("/v1/jobs?q=WHOLE&status=FAILED&limit=1").json["jobs"]
    assert row["uuid"] == job
    assert web.get("/v1/whoami").json["role"] == "admin"


def test_a_part_of_a_log_and_coming_back(web: Web) -> None:
    job = submitted(web, "sh", "-c", "for i in 1 2 3 4 5; do echo $i; sleep 0.05; echo e$i >&2; done")
    whole = list(web.events(f"/v1/jobs/{job}/logs"))
    for index, event in enumerate(whole[:-1]):
        rest = list(web.events(f"/v1/jobs/{job}/logs?tail=1", last=event.id))
        assert rest == whole[index + 1 :]
    with web.open("GET", f"/v1/jobs/{job}/logs", headers={"Last-Event-ID": whole[-1].id}) as response:
        assert response.status == 204  # EventSource does not come again
    assert output(list(web.events(f"/v1/jobs/{job}/logs?tail=2&stream=stdout"))) == b"4\n5\n"
    # On a busy machine an event may have more than one line.
    assert output(list(web.events(f"/v1/jobs/{job}/logs?cursor={whole[-3].id}&follow=false"))) == output(whole[-2:])
    first = [event for event in whole[:-1] if event.data["time"] <= whole[0].data["time"]]
    assert output(list(web.events(f"/v1/jobs/{job}/logs?until={whole[0].data['time']}"))) == output(first)
    assert output(first).startswith(b"1\n")
    raw = web.get(f"/v1/jobs/{job}/logs?stream=stderr", Accept="text/plain")
    assert (raw.body, raw.headers["content-type"]) == (b"e1\ne2\ne3\ne4\ne5\n", "text/plain; charset=utf-8")


def test_what_is_dropped_is_told(host: Host, web: Web) -> None:
    with host.configured("jobs: {max_log: 1MB}\n"):
        job = submitted(web, "sh", "-c", "seq 1 1000000; echo end")
        found = list(web.events(f"/v1/jobs/{job}/logs"))
    dropped = [event.data for event in found if event.name == "dropped"]
    kept = output(found)
    assert {piece["reason"] for piece in dropped} == {"limit"}
    assert sum(piece["bytes"] for piece in dropped) == 6_888_896 + 4 - len(kept)
    assert sum(piece["lines"] for piece in dropped) == 1_000_001 - kept.count(b"\n")


def test_those_who_wait_for_a_job_that_has_not_begun(web: Web) -> None:
    job = submitted(web, "sh", "-c", "echo begun", schedule="2s")
    found = web.events(f"/v1/jobs/{job}/logs")
    assert output(list(found)) == b"begun\n"
    never = submitted(web, "true", schedule="1h")
    with web.open("GET", f"/v1/jobs/{never}/logs") as waiting:
        assert waiting.status == 200
        stopped = web.ask("DELETE", f"/v1/jobs/{never}")
        assert (stopped.status, stopped.json["status"]) == (200, "CANCELED")
        assert b'"status":"CANCELED"' in waiting.read()


def test_jobs_that_are_gone(host: Host, web: Web) -> None:
    job = submitted(web, "echo", "gone")
    list(web.events(f"/v1/jobs/{job}/logs"))
    again = web.ask("DELETE", f"/v1/jobs/{job}")
    assert (again.status, again.json["title"]) == (409, "Wrong state")
    assert host.rnx("job", "delete", job).returncode == 0
    for path in (f"/v1/jobs/{job}", f"/v1/jobs/{job}/logs"):
        answer = web.get(path)
        assert (answer.status, answer.headers["content-type"]) == (404, "application/problem+json")
        assert job in answer.json["detail"]


def test_running_jobs_are_stopped(web: Web) -> None:
    job = submitted(web, "sleep", "300", name="long")
    until(lambda: web.get("/v1/jobs/long").json["status"] == "RUNNING")
    stopped = web.ask("DELETE", f"/v1/jobs/{job}")
    assert (stopped.status, stopped.json["status"], stopped.json["exitCode"]) == (200, "STOPPED", 143)


def test_every_change_of_a_job_is_an_event(host: Host, web: Web) -> None:
    events = web.events("/v1/events")
    with web.open("GET", "/v1/events"):  # whoever else listens
        job = submitted(web, "true", name="watched")
        found: list[Event] = []
        while not found or found[-1].data.get("status") != "COMPLETED":
            event = next(events)
            if event.data.get("uuid") == job:
                found.append(event)
        states = [event.data["status"] for event in found]
        assert list(dict.fromkeys(states)) == ["PENDING", "INITIALIZING", "RUNNING", "COMPLETED"]
        assert host.rnx("job", "delete", job).returncode == 0
        gone = next(event for event in events if event.data.get("uuid") == job)
        assert (gone.name, gone.data) == ("deleted", {"uuid": job})
    resumed = web.events("/v1/events", last=found[0].id)
    again = [next(event for event in resumed if event.data.get("uuid") == job) for _ in found]
    assert again == [*found[1:], gone]
    host.exec("systemctl", "restart", "joblet.service")
    assert next(web.events("/v1/events", last=gone.id)).name == "reset"


def test_roles(host: Host, as_role: Callable[[str], Web]) -> None:
    job = submitted(as_role("default"), "sh", "-c", "echo seen; sleep 300")
    host.running(job)
    reader, developer = as_role("reader"), as_role("developer")
    assert reader.get("/v1/whoami").json["role"] == "reader"
    assert reader.get(f"/v1/jobs/{job}").status == 200
    until(lambda: reader.get(f"/v1/jobs/{job}/logs?follow=false", Accept="text/plain").body == b"seen\n")
    refused = reader.ask("POST", "/v1/jobs", {"command": "true"})
    assert (refused.status, refused.json["title"]) == (403, "Denied")
    assert "developer" in refused.json["detail"]
    assert reader.ask("DELETE", f"/v1/jobs/{job}").status == 403
    others = developer.ask("DELETE", f"/v1/jobs/{job}")
    assert others.status == 403
    assert "belongs to 'admin'" in others.json["detail"]
    assert as_role("maintainer").ask("DELETE", f"/v1/jobs/{job}").status == 200
    host.exec("journalctl", "--sync")  # what was answered a moment ago may be on its way there
    said = host.exec("journalctl", "JOBLET_AUDIT_WHO=reader", "JOBLET_AUDIT_WHAT=JobService/RunJob", "--output=json")
    assert "PERMISSION_DENIED" in json.loads(said.stdout.splitlines()[-1])["JOBLET_AUDIT_OUTCOME"]
    said = host.exec("journalctl", f"JOBLET_AUDIT_JOB={job}", "JOBLET_AUDIT_WHAT=JobService/StopJob", "--output=cat")
    assert "who=maintainer" in said.stdout


def test_submissions_are_checked_as_those_of_rnx(web: Web) -> None:
    for asked, field in (
        ({"command": ""}, "command"),
        ({"command": "true", "cpuCores": "0-"}, "cpuCores"),
        ({"command": "true", "schedule": "whenever"}, "schedule"),
        ({"command": "true", "schedule": "daily", "timeZone": "Nowhere"}, "timeZone"),
        ({"command": "true", "nosuch": 1}, "body"),
        ([], "body"),
    ):
        answer = web.ask("POST", "/v1/jobs", asked)
        assert (answer.status, answer.json.get("field")) == (400, field), answer.body
    assert web.ask("POST", "/v1/jobs", b"{").status == 400
    assert web.ask("POST", "/v1/jobs", {"command": "true"}, {"Content-Type": "text/plain"}).status == 415
    for origin in ({"Origin": "https://elsewhere.example"}, {"Sec-Fetch-Site": "cross-site"}):
        assert web.ask("POST", "/v1/jobs", {"command": "true"}, origin).status == 403


@pytest.fixture
def without_http(host: Host) -> Iterator[None]:
    host.exec("systemctl", "disable", "--now", "joblet-http.socket")
    host.exec("systemctl", "restart", "joblet.service")
    try:
        yield
    finally:
        host.exec("systemctl", "enable", "joblet-http.socket")
        host.exec("systemctl", "restart", "joblet.service")


def test_a_host_without_the_http_socket(host: Host, web: Web, without_http: None) -> None:
    assert host.rnx("job", "list").returncode == 0
    assert host.exec("systemctl", "is-active", "joblet-http.socket", check=False).stdout == "inactive\n"
    with pytest.raises(ConnectionRefusedError):
        web.get("/v1/whoami")
    findings = json.loads(host.exec("jobletd", "doctor", "--json", check=False).stdout)
    how = {finding["guarantee"]: finding["how"] for finding in findings}
    assert how["listens for gRPC"] == "0.0.0.0:50051"
    assert how["listens for HTTP"].startswith("nowhere: joblet-http.socket is")


def test_and_with_it_again(host: Host, web: Web) -> None:
    assert web.get("/v1/whoami").status == 200
    findings = json.loads(host.exec("jobletd", "doctor", "--json", check=False).stdout)
    assert {finding["guarantee"]: finding["how"] for finding in findings}["listens for HTTP"] == "0.0.0.0:50052"
    connection = http.client.HTTPSConnection(*web.address, timeout=10)
    with pytest.raises(OSError, match=r"(?i)certificate|alert"):
        connection.request("GET", "/v1/whoami")
    connection.close()
