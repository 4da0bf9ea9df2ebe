"""Whether this host can give a job what it asks for."""

from __future__ import annotations

from .. import unit
from ..config import Unenforced
from ..errors import Unsupported
from ..model import Limits, parse_cpuset


def check(limits: Limits, host: unit.Host, policy: Unenforced) -> list[str]:
    """What cannot be enforced and is let pass, as notes for the user. Raises Unsupported for what is not let pass."""
    if limits.cpu_cores is not None:
        missing = sorted(parse_cpuset(limits.cpu_cores) - host.cpus)
        if missing:
            raise Unsupported(
                f"cpu_cores: this host has no CPU {missing[0]}.",
                hint=f"Its CPUs are {min(host.cpus)} to {max(host.cpus)}.",
            )
    unenforced = unit.unenforced(limits, host)
    if unenforced and policy is Unenforced.REFUSE:
        raise Unsupported(
            " ".join(unenforced),
            hint="Leave the limit out, or let the host's administrator set 'unenforced_limits: warn'.",
        )
    return unenforced
