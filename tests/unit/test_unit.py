"""The properties of a job's unit: what is promised stands in the table, on both tiers."""

import dataclasses

import pytest

from joblet_systemd import unit
from joblet_systemd.errors import InvalidValue
from joblet_systemd.model import Job, JobSpec, Limits, State

NAMESPACES = {"pid": 1, "user": 2, "net": 3}
MODERN = unit.Host(
    257, frozenset({"PrivatePIDs", "ProtectControlGroupsEx"}), frozenset(), frozenset({0, 1}), NAMESPACES, ("/etc/x",)
)
OLD = dataclasses.replace(MODERN, systemd_version=252, properties=frozenset())
PLACE = unit.Place(
    "/run/root", "/run/empty", "/run/etc", "/var/work", "/var/pts", "/usr/lib/init", 7, 8, "/var/secrets"
)
SHARE = unit.LogShare(1 << 30, 77)
HOSTS = pytest.mark.parametrize("host", [MODERN, OLD], ids=["257", "252"])


def job(*argv: str, **changes: object) -> Job:
    spec = JobSpec(argv[0] if argv else "true", tuple(argv[1:]), **changes)  # type: ignore[arg-type]
    return Job("0" * 36, spec, "alice", "joblet-alice", State.PENDING, 0)


def table(some_job: Job, host: unit.Host) -> dict[str, object]:
    return {p.name: p.value for p in unit.properties(some_job, host, PLACE, stop_grace=10, share=SHARE)}


@HOSTS
def test_every_property_has_a_reason_and_a_signature(host: unit.Host) -> None:
    for entry in unit.properties(job(), host, PLACE, stop_grace=10, share=SHARE):
        assert entry.why
        assert entry.signature


@HOSTS
def test_the_sandbox_is_on(host: unit.Host) -> None:
    properties = table(job(), host)
    on = (
        *("PrivateIPC", "PrivateNetwork", "PrivateDevices", "ProtectHostname", "NoNewPrivileges"),
        *("RestrictSUIDSGID", "RestrictRealtime", "LockPersonality", "ProtectKernelTunables", "ProtectKernelModules"),
        *("ProtectKernelLogs", "ProtectClock", "MountAPIVFS", "RemoveIPC"),
    )
    assert [name for name in on if properties.get(name) is not True] == []
    assert properties["CapabilityBoundingSet"] == properties["AmbientCapabilities"] == 0
    assert properties["User"] == properties["Group"] == "joblet-alice"
    assert properties["RootDirectory"] == "/run/root"
    assert properties["MemorySwapMax"] == 0


def test_the_process_namespace_is_made_by_systemd_where_it_can() -> None:
    properties = table(job(), MODERN)
    assert properties["PrivatePIDs"] == "yes"
    assert properties["RestrictNamespaces"] == 0
    assert "--make-namespaces" not in unit.init_argv(job(), MODERN, 10, SHARE)


def test_joblet_init_makes_the_process_namespace_elsewhere() -> None:
    properties = table(job(), OLD)
    assert "PrivatePIDs" not in properties
    assert properties["RestrictNamespaces"] == unit.NAMESPACES_OF_INIT
    assert "--make-namespaces" in unit.init_argv(job(), OLD, 10, SHARE)


@HOSTS
def test_no_user_namespace_that_root_owns(host: unit.Host) -> None:
    """What the kernel counts per user would be counted for root as well."""
    assert "PrivateUsers" not in table(job(), host)


@HOSTS
def test_arguments_are_passed_untouched(host: unit.Host) -> None:
    words = ("sh", "HOME", '"quoted  words"', "ünïcode", "", "%n", "--", "-x")
    argv = unit.init_argv(job(*words), host, 2.5, SHARE)
    assert argv[-len(words) :] == words
    assert argv[-len(words) - 1] == "--"
    assert "--grace=2.5" in argv
    assert "--log-share=1073741824:86400:77" in argv
    assert "--encoded" not in argv
    promised = "net:3,pid:1" if host.tier is unit.Tier.SYSTEMD else "net:3,pid:1,user:2"
    assert f"--host-ns={promised}" in argv


def test_words_that_systemd_would_replace() -> None:
    words = ("sh", "$HOME", "$$;", "\1\2\3", "a b")
    ((path, sent, flags),) = table(job(*words), MODERN)["ExecStartEx"]  # type: ignore[misc]
    assert (path, tuple(sent), flags) == (sent[0], unit.init_argv(job(*words), MODERN, 10, SHARE), ["no-env-expand"])
    assert tuple(sent[-len(words) :]) == words


def test_words_that_systemd_252_does_not_get_back_from_its_file() -> None:
    words = ("sh", "$HOME", "$$;", "\1\2\3", "a b")
    properties = table(job(*words), OLD)
    assert "ExecStartEx" not in properties
    ((path, sent, ignore_failure),) = properties["ExecStart"]  # type: ignore[misc]
    assert (path, ignore_failure) == (sent[0], False)
    assert "--encoded" in sent[: sent.index("--")]
    assert sent[-len(words) :] == ["sh", "\1HOME", "\1\1\2", "\3\1\3\2\3\3", "a b"]
    assert "--encoded" not in unit.init_argv(job("sh", "plain"), OLD, 10, SHARE)


@HOSTS
def test_a_description_is_one_line_of_a_unit_file(host: unit.Host) -> None:
    assert table(job("a\nUser=root", "b\\"), host)["Description"] == "Joblet job of alice: a User=root b"


@HOSTS
def test_a_later_attempt_and_an_interactive_job(host: unit.Host) -> None:
    assert not {"--stdin", "--first-seq=1"} & set(unit.init_argv(job(), host, 10, SHARE))
    later = dataclasses.replace(job("cat", interactive=True), seq_base=41)
    argv = unit.init_argv(later, host, 10, SHARE)
    assert {"--stdin", "--first-seq=42"} <= set(argv[: argv.index("--")])
    assert table(job(), host)["StandardInputFileDescriptor"] == 8


@HOSTS
def test_secrets_are_a_credential_and_nothing_else(host: unit.Host) -> None:
    assert "LoadCredentialEncrypted" not in table(job(), host)
    properties = table(job(secrets=("TOKEN",)), host)
    assert properties["LoadCredentialEncrypted"] == [["environment", "/var/secrets"]]
    assert "TOKEN" not in str(properties)


def test_systemd_leaves_joblet_init_time_to_end_the_job() -> None:
    assert table(job(), MODERN)["TimeoutStopUSec"] == 15_000_000


def test_the_users_variables_win() -> None:
    entries = dict(entry.split("=", 1) for entry in unit.environment(job(environment={"HOME": "/x", "A": "b=c"})))
    assert entries["HOME"] == "/x"
    assert entries["A"] == "b=c"
    assert entries["PATH"] == unit.DEFAULT_PATH


def test_limits_become_properties() -> None:
    limits = Limits(cpu_percent=150, cpu_cores="0,2-3", memory_bytes=100 << 20, io_bytes_per_sec=5_000_000)
    properties = table(job(limits=limits), MODERN)
    assert properties["CPUQuotaPerSecUSec"] == 1_500_000
    assert properties["AllowedCPUs"] == bytes([0b1101])
    assert properties["MemoryMax"] == 100 << 20
    assert "MemoryHigh" not in properties
    assert properties["IOReadBandwidthMax"] == properties["IOWriteBandwidthMax"] == [["/var/work", 5_000_000]]


def test_no_limits_no_properties() -> None:
    assert not {"CPUQuotaPerSecUSec", "AllowedCPUs", "MemoryMax", "IOReadBandwidthMax"} & set(table(job(), MODERN))


def test_unenforced_limits_are_named_with_their_controller() -> None:
    limits = Limits(cpu_percent=50, memory_bytes=1 << 30)
    sentences = unit.unenforced(limits, dataclasses.replace(MODERN, controllers=frozenset({"memory"})))
    assert sentences == ["max_cpu cannot be enforced: this host has no cgroup v2 cpu controller."]


@pytest.mark.parametrize(("cpus", "mask"), [({0}, b"\x01"), ({7}, b"\x80"), ({8}, b"\x00\x01"), ({0, 9}, b"\x01\x02")])
def test_cpu_mask(cpus: set[int], mask: bytes) -> None:
    assert unit.cpu_mask(cpus) == mask


def test_the_description_is_one_bounded_line() -> None:
    text = unit.description(JobSpec("sh", ("-c", "a\nb\x1b[31m" + "x" * 500), name="build"), "alice")
    assert text.startswith("Joblet job of alice: build: sh -c a b [31mxxx")
    assert text.isprintable()
    assert len(text) < 100


@pytest.mark.parametrize(
    "limits",
    [
        {"cpu_percent": 0},
        {"cpu_percent": -5},
        {"memory_bytes": 1},
        {"io_bytes_per_sec": 0},
        {"cpu_cores": "3-1"},
        {"cpu_cores": "a"},
        {"cpu_cores": "0-"},
        {"cpu_cores": "-1"},
        {"cpu_cores": "99999"},
        {"cpu_cores": "٣"},
    ],
)
def test_impossible_limits_are_refused_by_name(limits: dict[str, object]) -> None:
    with pytest.raises(InvalidValue) as caught:
        Limits(**limits)  # type: ignore[arg-type]
    assert caught.value.field in ("max_cpu", "max_memory", "max_io_bps", "cpu_cores")
    assert "expected" in str(caught.value)
