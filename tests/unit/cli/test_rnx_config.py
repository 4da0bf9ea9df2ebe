"""Where the configuration is looked for, which node is taken, and what is wrong with it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from .conftest import Rnx, spawn_rnx, unprivileged, write_config
from .fakes import FakeJobs, Server
from .pki import authority


def put(path: Path, address: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_config(path, address)


def addresses(run_rnx: Rnx, *options: str) -> list[str]:
    result = run_rnx(*options, "nodes", "--json")
    assert (result.code, result.err) == (0, "")
    return [node["address"] for node in json.loads(result.out)]


def test_search_order(run_rnx: Rnx, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    system = (tmp_path / "etc", tmp_path / "opt")
    monkeypatch.setattr("rnx.config.SYSTEM_DIRECTORIES", system)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    places = [
        tmp_path / "opt/rnx-config.yml",
        tmp_path / "etc/rnx-config.yml",
        tmp_path / "home/.rnx/rnx-config.yml",
        tmp_path / "config/rnx-config.yml",
        tmp_path / "rnx-config.yml",
    ]
    for number, place in enumerate(places):
        put(place, f"h:{number}")
        assert addresses(run_rnx) == [f"h:{number}"]
    monkeypatch.setenv("RNX_CONFIG", str(put(tmp_path / "mine.yml", "h:8")))
    assert addresses(run_rnx) == ["h:8"]
    assert addresses(run_rnx, "--config", str(put(tmp_path / "other.yml", "h:9"))) == ["h:9"]


def test_none_found(run_rnx: Rnx) -> None:
    result = run_rnx("job", "list")
    assert result.code == 2
    assert result.err.startswith("rnx: no configuration file found; tried rnx-config.yml, config/rnx-config.yml, ")
    assert "'rnx config-help'" in result.err


@pytest.mark.parametrize("how", ["variable", "option"])
def test_a_file_that_is_named_must_exist(how: str, run_rnx: Rnx, monkeypatch: pytest.MonkeyPatch) -> None:
    if how == "variable":
        monkeypatch.setenv("RNX_CONFIG", "nowhere.yml")
    result = run_rnx(*(("--config", "nowhere.yml") if how == "option" else ()), "nodes")
    assert result.code == 2
    assert result.err.startswith("rnx: cannot read nowhere.yml")
    assert ("RNX_CONFIG" in result.err) == (how == "variable")


@pytest.mark.parametrize("option", ["--node", "--config"])
@pytest.mark.parametrize("behind", [False, True])
def test_an_empty_name_is_not_the_default(
    option: str, behind: bool, server: Server, jobs: FakeJobs, run_rnx: Rnx
) -> None:
    words = ["job", "delete-all", "--yes"]
    result = run_rnx(*([*words, option, ""] if behind else [option, "", *words]))
    assert (result.code, jobs.requests) == (2, [])
    assert option in result.err


def test_not_readable_for_this_user(run_rnx: Rnx, tmp_path: Path) -> None:
    """The nearest file decides: another one further off may hold another identity."""
    put(tmp_path / "rnx-config.yml", "h:1").chmod(0)
    put(tmp_path / "config/rnx-config.yml", "h:2")
    with unprivileged():
        result = run_rnx("nodes")
    assert result.code == 2
    assert "rnx-config.yml may not be read by this user" in result.err
    assert "Run rnx as root" in result.err
    assert "'jobletd cert issue NAME --role ROLE'" in result.err  # and not a copy of the administrator's key
    with unprivileged():
        help_ = run_rnx("config-help")
    assert "  rnx-config.yml   <- used, but may not be read by this user" in help_.text.splitlines()


def test_in_a_directory_that_may_not_be_entered(run_rnx: Rnx, tmp_path: Path) -> None:
    put(tmp_path / "config/rnx-config.yml", "h:1").parent.chmod(0o700)
    with unprivileged():
        result = run_rnx("nodes")
    if os.geteuid() == 0:
        assert result.code == 2
        assert "config/rnx-config.yml may not be read by this user" in result.err


def test_a_key_that_everyone_may_read(server: Server, run_rnx: Rnx) -> None:
    path = Path(os.environ["RNX_CONFIG"])
    path.chmod(0o644)
    result = run_rnx("job", "list")
    assert result.code == 0
    assert (
        result.err
        == f"note: {path} holds a private key and everyone on this machine may read it; chmod 600 mends that.\n"
    )


def nodes_file(path: Path, **nodes: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump({"nodes": nodes}, sort_keys=False))
    path.chmod(0o600)
    return path


class TestSelection:
    def default_of(self, run_rnx: Rnx, tmp_path: Path, **nodes: dict[str, Any]) -> list[str]:
        nodes_file(tmp_path / "rnx-config.yml", **nodes)
        return [node["name"] for node in json.loads(run_rnx("nodes", "--json").out) if node["default"]]

    def test_default(self, run_rnx: Rnx, tmp_path: Path) -> None:
        plain = {"address": "h:1"}
        marked = {**plain, "isDefault": True}
        assert self.default_of(run_rnx, tmp_path, a=plain) == ["a"]
        assert self.default_of(run_rnx, tmp_path, a=plain, b=plain) == []
        assert self.default_of(run_rnx, tmp_path, a=plain, default=plain) == ["default"]
        assert self.default_of(run_rnx, tmp_path, default=plain, b=marked) == ["b"]

    def test_the_node_that_is_named(self, server: Server, jobs: FakeJobs, run_rnx: Rnx, tmp_path: Path) -> None:
        pair = authority().client()
        working = {"address": server.address, "cert": pair.cert, "key": pair.key, "ca": authority().cert}
        path = nodes_file(tmp_path / "n.yml", default={"address": "h:1"}, b=working)
        assert run_rnx("--config", str(path), "job", "--node", "b", "list").code == 0
        assert run_rnx("job", "list", "--config", str(path), "--node=b").code == 0
        assert len(jobs.requests) == 2

    @pytest.mark.parametrize(
        ("nodes", "options", "message"),
        [
            ({"a": {}, "b": {}}, (), "has several nodes and no default; say --node NAME, one of: a, b."),
            ({"a": {}}, ("--node=c",), "has no node 'c'; it has: a."),
            ({"a": {"isDefault": True}, "b": {"isDefault": True}}, (), "several nodes have isDefault: a, b."),
            ({"a": {}}, (), "the address of node 'a', '', is not accepted; expected host:port."),
            ({"a": {"address": "host"}}, (), "'host', is not accepted"),
            ({"a": {"address": "http://host:1"}}, (), "is not accepted"),
            ({"a": {"address": "h:1"}}, (), "node 'a' has no cert in PEM form"),
            ({"a": {"address": "h:1", "cert": "-----BEGIN", "key": "x"}}, (), "node 'a' has no key in PEM form"),
            ({"a": {"address": 1}}, (), "address of node 'a' is not text"),
            ({"a": {"isDefault": "yes"}}, (), "isDefault of node 'a' is neither true nor false"),
            ({"a": "h:1"}, (), "node 'a' is not a map"),
        ],
    )
    def test_mistakes(
        self, nodes: dict[str, Any], options: tuple[str, ...], message: str, run_rnx: Rnx, tmp_path: Path
    ) -> None:
        nodes_file(tmp_path / "rnx-config.yml", **nodes)
        result = run_rnx(*options, "job", "list")
        assert (result.code, result.out) == (2, b"")
        assert message in result.err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "names no nodes"),
        ("nodes: []", "names no nodes"),
        ("- x", "names no nodes"),
        ("nodes:\n  a: {\n  key: 'SECRET\n", "not valid YAML"),
        ("\x00", "not valid YAML"),
        ("version: 2026-02-30", "rnx-config.yml: a value in it is not what its form says: day is out of range"),
        ("version: !!bool 3", "rnx-config.yml: a value in it is not what its form says"),
        ("[" * 5000, "rnx-config.yml"),
    ],
)
def test_files_that_are_none(text: str, message: str, run_rnx: Rnx, tmp_path: Path) -> None:
    (tmp_path / "rnx-config.yml").write_text(text)
    result = run_rnx("nodes")
    assert result.code == 2
    assert message in result.err
    assert "SECRET" not in result.err


def test_nodes_as_text(run_rnx: Rnx, tmp_path: Path) -> None:
    nodes_file(tmp_path / "rnx-config.yml", default={"address": "h:1"}, b={"address": "h:2", "nodeId": 7})
    assert [line.split() for line in run_rnx("nodes").text.splitlines()] == [
        ["NAME", "ADDRESS", "NODE", "ID", "DEFAULT"],
        ["default", "h:1", "-", "yes"],
        ["b", "h:2", "7", "-"],
    ]


def test_config_help(run_rnx: Rnx, tmp_path: Path) -> None:
    put(tmp_path / "config/rnx-config.yml", "h:1")
    result = run_rnx("config-help")
    lines = result.text.splitlines()
    assert "  rnx-config.yml" in lines
    assert "  config/rnx-config.yml   <- used" in lines
    example = result.text[result.text.index('version: "3.0"') :]
    assert set(yaml.safe_load(example)["nodes"]) == {"default", "gpu"}


def test_config_help_without_a_file(run_rnx: Rnx) -> None:
    result = run_rnx("config-help")
    assert result.code == 0
    assert "\nThere is none of them.\n" in result.text
    assert "jobletd cert issue NAME --role ROLE" in result.text


def test_nodes_with_one_that_is_not_there(run_rnx: Rnx, tmp_path: Path) -> None:
    put(tmp_path / "rnx-config.yml", "h:1")
    result = run_rnx("nodes", "--node=other")
    assert (result.code, result.out) == (2, b"")
    assert result.err == "rnx: rnx-config.yml has no node 'other'; it has: default.\n"


def test_config_help_with_a_file_that_is_named(run_rnx: Rnx, tmp_path: Path) -> None:
    put(tmp_path / "rnx-config.yml", "h:1")
    put(tmp_path / "mine.yml", "h:2")
    lines = run_rnx("config-help", "--config=mine.yml").text.splitlines()
    assert "  mine.yml   <- used" in lines
    assert "  rnx-config.yml" not in lines
    assert json.loads(run_rnx("config-help", "--json").out)["used"] == "rnx-config.yml"
    answer = json.loads(run_rnx("--json", "--config=nowhere.yml", "config-help").out)
    assert answer == {"used": None, "tried": ["nowhere.yml"]}


def test_without_a_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOME")
    put(tmp_path / "rnx-config.yml", "h:1")
    assert spawn_rnx("nodes").code == 0
