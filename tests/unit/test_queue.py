"""The admission queue: in order, a bounded number at a time, taken out until the start begins."""

import asyncio

from joblet_systemd.jobs.queue import StartQueue


class Starts:
    """Starts that end when they are told to."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.gates: dict[str, asyncio.Event] = {}

    async def __call__(self, job_id: str) -> None:
        self.begun.append(job_id)
        self.gates[job_id] = asyncio.Event()
        await self.gates[job_id].wait()


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_first_come_first_served_a_few_at_a_time() -> None:
    async def scenario() -> None:
        starts = Starts()
        queue = StartQueue(2, starts)
        for job in "abcd":
            queue.put(job)
        await settle()
        assert starts.begun == ["a", "b"]
        assert len(queue) == 2
        assert queue.discard("c")
        assert not queue.discard("a")
        starts.gates["b"].set()
        await settle()
        assert starts.begun == ["a", "b", "d"]
        queue.put("e")
        queue.close()
        starts.gates["a"].set()
        starts.gates["d"].set()
        await settle()
        assert starts.begun == ["a", "b", "d"]

    asyncio.run(scenario())
