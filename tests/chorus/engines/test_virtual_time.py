"""A loop on which waiting costs nothing and times are always the same."""

import asyncio
import threading
import time

import pytest

from chorus.engines.virtual_time import VirtualTimeLoop


def run(main):
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)


def test_hours_pass_at_once_and_to_the_second():
    async def main() -> list[float]:
        loop = asyncio.get_running_loop()
        seen = [loop.time()]
        for seconds in (0.5, 3600, 30 * 24 * 3600):
            await asyncio.sleep(seconds)
            seen.append(loop.time())
        return seen

    started = time.perf_counter()
    assert run(main()) == [0.0, 0.5, 3600.5, 30 * 24 * 3600 + 3600.5]
    assert time.perf_counter() - started < 2


def test_work_takes_no_time():
    async def main() -> float:
        for _ in range(1000):
            await asyncio.sleep(0)
        return asyncio.get_running_loop().time()

    assert run(main()) == 0


def test_timers_fire_in_order_and_a_deadline_cuts_what_is_late():
    async def main() -> tuple[list[int], float]:
        done: list[int] = []

        async def work(seconds: int) -> None:
            await asyncio.sleep(seconds)
            done.append(seconds)

        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2.5):
                await asyncio.gather(*(work(seconds) for seconds in (4, 2, 1, 3)))
        return done, asyncio.get_running_loop().time()

    assert run(main()) == ([1, 2], 2.5)


def test_work_in_a_thread_leaves_the_clock_where_it_was():
    async def main() -> float:
        async with asyncio.timeout(60):
            await asyncio.to_thread(time.sleep, 0.05)
            await asyncio.to_thread(time.sleep, 0.05)
        return asyncio.get_running_loop().time()

    assert run(main()) == 0


def test_a_deadline_still_cuts_a_thread_that_takes_too_long():
    async def main() -> float:
        release = threading.Event()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await asyncio.to_thread(release.wait)
        release.set()
        return asyncio.get_running_loop().time()

    assert run(main()) == pytest.approx(0.1)


def test_a_thread_may_wait_for_the_loop_that_waits_for_a_timer():
    async def main() -> str:
        loop = asyncio.get_running_loop()

        async def slow() -> str:
            await asyncio.sleep(0.05)
            return "done"

        return await asyncio.to_thread(lambda: asyncio.run_coroutine_threadsafe(slow(), loop).result())

    assert run(main()) == "done"


def test_with_nothing_scheduled_it_waits_for_the_outside_world():
    async def main() -> str:
        loop = asyncio.get_running_loop()
        woken: asyncio.Future[str] = loop.create_future()
        timer = threading.Timer(0.05, loop.call_soon_threadsafe, (woken.set_result, "woken"))
        timer.start()
        return await woken

    assert run(main()) == "woken"
