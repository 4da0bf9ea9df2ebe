"""The alarm clock on the kernel's own timers."""

import asyncio
import time

from joblet_systemd.jobs.alarm import Alarm, now_usec


def ringing(script: list[tuple[str, str, float]], last: str) -> list[str]:
    """What rings up to ``last`` after setting ("set") or clearing ("clear") names; times are seconds from now."""

    async def scenario() -> list[str]:
        rung: list[str] = []
        alarm = Alarm(rung.append, lambda: None)
        now = now_usec()
        for action, name, offset in script:
            if action == "set":
                alarm.set(name, now + round(offset * 1_000_000))
            else:
                alarm.clear(name)
        deadline = time.monotonic() + 10
        while last not in rung:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)
        alarm.close()
        return rung

    return asyncio.run(scenario())


def test_in_the_order_of_their_times() -> None:
    assert ringing([("set", "b", 0.1), ("set", "a", 0.05), ("set", "never", 60)], "b") == ["a", "b"]


def test_what_has_passed_is_due_at_once() -> None:
    assert ringing([("set", "late", -5), ("set", "epoch", -now_usec() / 1_000_000)], "late") == ["epoch", "late"]


def test_a_time_that_was_changed_or_cleared_does_not_ring() -> None:
    script = [("set", "a", 0.05), ("set", "b", 0.05), ("clear", "a", 0), ("set", "b", 60), ("set", "c", 0.1)]
    assert ringing(script, "c") == ["c"]


def test_the_same_name_can_be_set_again_when_it_rings() -> None:
    async def scenario() -> int:
        count = 0

        def again(name: str) -> None:
            nonlocal count
            count += 1
            if count < 3:
                alarm.set(name, now_usec())

        alarm = Alarm(again, lambda: None)
        alarm.set("x", now_usec())
        deadline = time.monotonic() + 10
        while count < 3:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)
        alarm.close()
        return count

    assert asyncio.run(scenario()) == 3


def test_one_that_fails_does_not_keep_the_others_from_ringing() -> None:
    async def scenario() -> tuple[list[str], list[str]]:
        rung: list[str] = []
        failed: list[str] = []

        def ring(name: str) -> None:
            rung.append(name)
            if name == "bad":
                raise ZeroDivisionError

        asyncio.get_running_loop().set_exception_handler(lambda _, context: failed.append(repr(context["exception"])))
        alarm = Alarm(ring, lambda: None)
        now = now_usec()
        for name, later in (("bad", 1), ("also due", 2), ("soon", 50_000)):
            alarm.set(name, now + later)
        async with asyncio.timeout(60):
            while "soon" not in rung:
                await asyncio.sleep(0.01)
        alarm.close()
        return rung, failed

    assert asyncio.run(scenario()) == (["bad", "also due", "soon"], ["ZeroDivisionError()"])


def test_times_that_were_changed_or_cleared_are_not_kept() -> None:
    async def scenario() -> tuple[int, list[str]]:
        rung: list[str] = []
        alarm = Alarm(rung.append, lambda: None)
        far = now_usec() + 10**12
        alarm.set("soon", now_usec() + 100_000)
        for number in range(2000):
            alarm.set("changed", far + number)
            alarm.set(f"{number}", far)
            alarm.clear(f"{number}")
        size = len(alarm._heap)
        async with asyncio.timeout(60):
            while not rung:
                await asyncio.sleep(0.01)
        alarm.close()
        return size, rung

    size, rung = asyncio.run(scenario())
    assert size < 200
    assert rung == ["soon"]


def test_clear_tells_whether_there_was_a_time() -> None:
    async def scenario() -> tuple[bool, bool]:
        alarm = Alarm(lambda _: None, lambda: None)
        alarm.set("x", now_usec() + 10**9)
        answers = alarm.clear("x"), alarm.clear("x")
        alarm.close()
        return answers

    assert asyncio.run(scenario()) == (True, False)


def test_once_closed_it_is_set_for_nobody() -> None:
    """What is under way as the daemon ends may still put something off."""

    async def scenario() -> None:
        alarm = Alarm(lambda _: None, lambda: None)
        alarm.set("a", now_usec() + 60_000_000)
        alarm.close()
        alarm.set("b", now_usec())
        assert alarm.clear("a")

    asyncio.run(scenario())
