"""What ``python3 -X importtime`` says, by package."""

from __future__ import annotations

import re
from collections import defaultdict

LINE = re.compile(r"^import time:\s+(\d+) \|\s+\d+ \|\s*(\S+)$", re.MULTILINE)


# Where modules come from; what is of none of these is Python's own.
PACKAGES = {
    **{"click": "click", "grpc": "gRPC", "google": "protobuf", "yaml": "PyYAML", "_yaml": "PyYAML"},
    **{"joblet_wire": "the generated code", "rnx": "rnx"},
}
LIBRARY = "Python's library"


def by_package(told: str) -> dict[str, float]:
    """The milliseconds that modules took themselves, without what they import, by package; the most first.

    Anything else among the lines, such as the program's own output, is passed over.
    """
    spent: defaultdict[str, float] = defaultdict(float)
    for usec, module in LINE.findall(told):
        spent[PACKAGES.get(module.partition(".")[0], LIBRARY)] += int(usec) / 1000
    return dict(sorted(spent.items(), key=lambda item: -item[1]))
