"""The /etc of jobs: their account's own, and what programs need of the host's."""

from __future__ import annotations

import getpass
from pathlib import Path

import pytest

from joblet_systemd.files import root
from joblet_systemd.files.root import Roots


@pytest.fixture
def host_etc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    etc = tmp_path / "host"
    (etc / "ld.so.conf.d").mkdir(parents=True)
    (etc / "perl" / "Net").mkdir(parents=True)
    (etc / "ssl" / "certs").mkdir(parents=True)
    (etc / "services").write_text("http 80/tcp\n")
    (etc / "ld.so.conf.d" / "libc.conf").write_text("/usr/local/lib\n")
    (etc / "perl" / "Net" / "libnet.cfg").write_text("{}\n")
    (etc / "passwd").write_text("the host's own\n")
    (etc / "shadow").write_text("secret\n")
    monkeypatch.setattr(root, "ETC", etc)
    return etc


def roots(tmp_path: Path) -> Roots:
    (tmp_path / "run").mkdir(exist_ok=True)
    return Roots(tmp_path / "run")


def test_what_jobs_find(host_etc: Path, tmp_path: Path) -> None:
    etc = roots(tmp_path).etc(getpass.getuser())
    assert (etc / "services").read_text() == "http 80/tcp\n"
    assert (etc / "ld.so.conf.d" / "libc.conf").exists()
    assert (etc / "perl" / "Net" / "libnet.cfg").exists()
    assert "the host's own" not in (etc / "passwd").read_text()
    assert not (etc / "shadow").exists()
    assert root.host_etc() == (str(host_etc / "ssl" / "certs"),)


def test_what_has_changed_is_copied_again(host_etc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place, account = roots(tmp_path), getpass.getuser()
    before = place.etc(account)
    monkeypatch.setattr(root, "LOOK_SEC", 0.0)
    assert place.etc(account) == before
    (host_etc / "services").write_text("https 443/tcp\n")
    after = place.etc(account)
    assert (after / "services").read_text() == "https 443/tcp\n"
    assert (before / "services").read_text() == "http 80/tcp\n", "jobs that run keep what they have"


def test_what_no_job_can_have_any_more_is_removed(
    host_etc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(root, "LOOK_SEC", 0.0)
    account, runs = getpass.getuser(), "joblet-some-one"
    former = roots(tmp_path).etc(account)
    (former.with_name(f"{runs}-0123456789ab")).mkdir()
    (host_etc / "services").write_text("https 443/tcp\n")
    place = roots(tmp_path)  # of the next daemon
    place.forget_others({runs, account})
    assert former.is_dir()
    now = place.etc(account)
    place.forget_others({runs})
    assert {path.name for path in now.parent.iterdir()} == {now.name, f"{runs}-0123456789ab"}
    assert (now / "passwd").exists()


def test_what_not_everybody_may_read_stays_out(host_etc: Path, tmp_path: Path) -> None:
    (host_etc / "services").chmod(0o600)
    (host_etc / "mime.types").symlink_to("nowhere")
    (host_etc / "protocols").write_bytes(b"x" * (root.MAX_COPIED + 1))
    etc = roots(tmp_path).etc(getpass.getuser())
    assert not any((etc / name).exists() for name in ("services", "mime.types", "protocols"))
