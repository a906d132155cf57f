"""An engine that dies, and is opened again by the call that wants it next."""

import asyncio

import pytest

from chorus.engines import reopened
from chorus.engines.base import Request
from chorus.engines.reopened import Reopened
from chorus.engines.scripted import ScriptedEngine
from chorus.errors import CheckpointError, EngineDied, EngineUnreachable
from chorus.types import Message

ASKED = Request((Message(role="user", content="What is 7 * 8?"),))


class Mortal(ScriptedEngine):
    """It answers until a test kills it; a call named `stuck` waits until it is closed."""

    def __init__(self) -> None:
        super().__init__(lambda request: "Answer: 56")
        self.dead = False

    async def generate(self, request, emit):
        if self.dead:
            raise EngineDied("it died")
        with self.calls:
            if request.id == "stuck":
                await asyncio.Event().wait()
        return await super().generate(request, emit)


@pytest.fixture
def faults() -> list[Exception]:
    """What opening an engine fails with next."""
    return []


@pytest.fixture
def there(monkeypatch, faults) -> list[Mortal]:
    """The engines that were opened."""
    made: list[Mortal] = []

    async def open_mortal(spec, **options):
        assert all(one.calls._closed for one in made), "the one before is still open"
        if faults:
            raise faults.pop(0)
        made.append(Mortal())
        return made[-1]

    monkeypatch.setattr(reopened, "open_engine", open_mortal)
    return made


async def ask(engine: Reopened, name: str = "") -> str:
    return (await engine.generate(Request(ASKED.messages, id=name), lambda piece: None)).text


async def stuck_on(engine: Reopened) -> asyncio.Task[str]:
    """Return a call that is under way, and will not end."""
    call = asyncio.create_task(ask(engine, "stuck"))
    await asyncio.sleep(0.01)
    return call


async def test_the_call_that_it_died_under_may_be_made_again_and_opens_it(there):
    engine = Reopened("mortal:", {})
    assert (await engine.open()).spec == engine.info.spec
    there[0].dead = True
    with pytest.raises(EngineUnreachable, match="it died"):
        await ask(engine)
    assert not engine.is_open
    assert engine.info.spec, "it is known while it is not open"
    assert await asyncio.gather(ask(engine), ask(engine)) == ["Answer: 56"] * 2
    assert len(there) == 2
    await engine.aclose()


async def test_a_call_that_waits_on_the_dead_one_is_cut_off_and_may_be_made_again(there):
    engine = Reopened("mortal:", {})
    await engine.open()
    stuck = await stuck_on(engine)
    there[0].dead = True
    with pytest.raises(EngineUnreachable):
        await ask(engine)
    await engine.open()
    with pytest.raises(EngineUnreachable, match="closed under the call"):
        await stuck
    await engine.aclose()


async def test_a_call_that_its_caller_cancels_is_cancelled(there):
    engine = Reopened("mortal:", {})
    await engine.open()
    stuck = await stuck_on(engine)
    stuck.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stuck
    assert there[0].calls.aborted == 1
    await engine.aclose()


async def test_what_keeps_it_from_being_opened_again_may_pass(there, faults):
    engine = Reopened("mortal:", {})
    faults += [CheckpointError("no such weights")]
    with pytest.raises(CheckpointError):
        await engine.open()
    await engine.open()
    there[0].dead = True
    with pytest.raises(EngineUnreachable):
        await ask(engine)
    faults += [OSError("no such device"), CheckpointError("no room")]
    for told in ("OSError: no such device", "CheckpointError: no room"):
        with pytest.raises(EngineUnreachable, match=f"can't be opened again: {told}"):
            await ask(engine)
    assert await ask(engine) == "Answer: 56"
    await engine.aclose()
