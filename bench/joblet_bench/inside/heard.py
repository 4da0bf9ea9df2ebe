"""What was read from a stream, with the time of every read."""

from __future__ import annotations


class Heard:
    """Bytes in the order in which they came. One thread may add to it while another one looks."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._reads: list[tuple[int, float]] = []

    def add(self, moment: float, data: bytes) -> None:
        """One read; ``moment`` is when it returned."""
        self._bytes += data
        self._reads.append((len(self._bytes), moment))

    def moment_of(self, text: bytes) -> float | None:
        """When the first occurrence of the text was there to its last byte, however many reads that took."""
        found = self._bytes.find(text)
        if found < 0:
            return None
        end = found + len(text)
        # None: its last read is being added at this moment.
        return next((moment for length, moment in self._reads if length >= end), None)
