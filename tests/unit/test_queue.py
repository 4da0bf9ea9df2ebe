"""The queue: in order, identities in turn, a bounded number at a time, taken out until the start begins."""

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
        queue = StartQueue(2, 100, starts)
        for job in "abcd":
            queue.put(job, "alice")
        await settle()
        assert starts.begun == ["a", "b"]
        assert len(queue) == 2
        assert queue.discard("c")
        assert not queue.discard("a")
        starts.gates["b"].set()
        await settle()
        assert starts.begun == ["a", "b", "d"]
        queue.put("e", "alice")
        queue.close()
        starts.gates["a"].set()
        starts.gates["d"].set()
        await settle()
        assert starts.begun == ["a", "b", "d"]

    asyncio.run(scenario())


def order_of(*jobs: tuple[str, str, int], at_work: tuple[tuple[str, str], ...] = ()) -> tuple[list[str], list[str]]:
    """In which order jobs (id, owner, priority) start, one at a time; as foretold by positions(), and as it came."""

    async def scenario() -> tuple[list[str], list[str]]:
        begun: list[str] = []
        gate = asyncio.Event()

        async def start(job: str) -> None:
            begun.append(job)
            await gate.wait()

        queue = StartQueue(1, 1000, start)
        queue.put("blocker", "nobody")
        await settle()
        for job, owner in at_work:
            queue.occupy(job, owner)
        for job in jobs:
            queue.put(*job)
        positions = queue.positions()
        gate.set()
        while len(queue):
            await settle()
        return sorted(positions, key=lambda job: positions[job]), begun[1:]

    return asyncio.run(scenario())


def test_identities_take_turns() -> None:
    flood = [(f"m{number}", "mallory", 0) for number in range(4)]
    foretold, came = order_of(*flood, ("a0", "alice", 0), ("a1", "alice", 0))
    # Equal loads: who was served longest ago.
    assert came == ["a0", "m0", "a1", "m1", "m2", "m3"]
    assert foretold == came


def test_who_has_jobs_at_work_waits_longer() -> None:
    work = (("w1", "alice"), ("w2", "alice"))
    _, came = order_of(("a0", "alice", 0), ("b0", "bob", 0), ("b1", "bob", 0), ("b2", "bob", 0), at_work=work)
    assert came[:2] == ["b0", "b1"]


def test_priority_orders_the_jobs_of_one_identity() -> None:
    foretold, came = order_of(("low", "alice", -5), ("first", "alice", 0), ("second", "alice", 0), ("high", "alice", 7))
    assert came == ["high", "first", "second", "low"] == foretold


def test_nobody_overtakes_others_by_priority() -> None:
    _, came = order_of(("m0", "mallory", 100), ("m1", "mallory", 100), ("m2", "mallory", 100), ("a0", "alice", -100))
    assert came.index("a0") <= 1


def test_a_job_that_waits_can_get_another_priority_and_keeps_its_place_among_equals() -> None:
    async def scenario() -> None:
        starts = Starts()
        queue = StartQueue(1, 1, starts)
        queue.occupy("blocker", "x")
        for job in "abc":
            queue.put(job, "alice")
        queue.put("c", "alice", 5)
        assert queue.positions() == {"c": 1, "a": 2, "b": 3}
        queue.put("c", "alice", 0)
        assert queue.positions() == {"a": 1, "b": 2, "c": 3}
        assert len(queue) == 3
        queue.vacate("blocker")
        await settle()
        assert starts.begun == ["a"]

    asyncio.run(scenario())


def test_places_that_were_given_up_are_not_kept() -> None:
    async def scenario() -> None:
        starts = Starts()
        queue = StartQueue(1, 1, starts)
        queue.occupy("blocker", "x")
        for job in "abc":
            queue.put(job, "alice")
        for number in range(5000):
            queue.put("c", "alice", number % 100)
            queue.put(f"m{number}", "mallory")
            assert queue.discard(f"m{number}")
        queue.put("c", "alice", 0)
        assert sum(map(len, queue._queues.values())) < 300
        assert queue.positions() == {"a": 1, "b": 2, "c": 3}
        for blocker in ("blocker", "a", "b"):
            queue.vacate(blocker)
            await settle()
            for gate in starts.gates.values():
                gate.set()
            await settle()
        assert starts.begun == ["a", "b", "c"]

    asyncio.run(scenario())


def test_no_more_at_work_than_allowed() -> None:
    async def scenario() -> None:
        begun: list[str] = []

        async def start(job: str) -> None:
            begun.append(job)

        queue = StartQueue(4, 2, start)
        for job in "abcd":
            queue.put(job, "alice")
        await settle()
        assert begun == ["a", "b"]
        assert queue.at_work == 2
        queue.vacate("a")
        queue.vacate("a")
        await settle()
        assert begun == ["a", "b", "c"]

    asyncio.run(scenario())
