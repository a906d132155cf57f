"""What workers and their engines say when they fail, without Ray: `test_on_ray.py` kills real ones."""

import asyncio
from types import SimpleNamespace

import pytest

from chorus.cluster.engines import RayEngines, _Host, _Remote
from chorus.engines import reopened
from chorus.engines.base import Request
from chorus.engines.scripted import ScriptedEngine
from chorus.errors import ConfigError, EngineDied, EngineError, EngineUnreachable
from chorus.types import Message

ASKED = Request((Message(role="user", content="What is 7 * 8?"),))


class Mortal(ScriptedEngine):
    """An engine that a test kills: calls that wait fail, or are cut off as it is closed."""

    def __init__(self) -> None:
        super().__init__(lambda request: "Answer: 56")
        self.dead = False
        self.stuck = asyncio.Event()

    async def generate(self, request, emit):
        with self.calls:
            if request.id == "stuck":
                self.stuck.set()
                await asyncio.Event().wait()
        if self.dead:
            raise EngineDied("it died")
        return await super().generate(request, emit)


@pytest.fixture
def opened(monkeypatch) -> list[Mortal]:
    """The engines that were opened."""
    there: list[Mortal] = []

    async def open_mortal(spec, **options):
        assert all(one.calls._closed for one in there), "the one before is still open"
        there.append(Mortal())
        return there[-1]

    monkeypatch.setattr(reopened, "open_engine", open_mortal)
    return there


async def test_calls_open_no_engine(opened, tmp_path):
    host = _Host("mortal:", {}, str(tmp_path / "nowhere"))
    assert isinstance(await host.generate(ASKED), EngineUnreachable)
    assert isinstance(await host.count(ASKED.messages), EngineUnreachable)
    assert opened == []
    await host.info()
    assert (await host.generate(ASKED)).text == "Answer: 56"
    assert await host.count(ASKED.messages) > 0
    await host.aclose()


async def test_an_engine_that_dies_is_opened_again_and_its_calls_may_be_made_elsewhere(opened, tmp_path):
    host = _Host("mortal:", {}, str(tmp_path / "nowhere"))
    await host.info()
    stuck = asyncio.create_task(host.generate(Request(ASKED.messages, id="stuck")))
    await opened[0].stuck.wait()
    opened[0].dead = True
    said = await host.generate(ASKED)
    assert isinstance(said, EngineUnreachable)
    assert "it died" in str(said)
    assert isinstance(await host.generate(ASKED), EngineUnreachable)
    assert len(opened) == 1
    await host.info()
    assert isinstance(await stuck, EngineUnreachable)
    assert (await host.generate(ASKED)).text == "Answer: 56"
    assert len(opened) == 2
    await host.aclose()


async def test_a_call_that_fails_leaves_the_engine_open(opened, tmp_path):
    host = _Host("mortal:", {}, str(tmp_path / "nowhere"))
    await host.info()
    await opened[0].calls.close()
    said = await host.generate(ASKED)
    assert type(said) is EngineError
    await host.info()
    assert len(opened) == 1


class RayError(Exception):
    """Ray's own: here, that a worker is gone."""


class RayTaskError(RayError):
    """What a worker's code raised."""

    cause = KeyError("no such token")


EXCEPTIONS = SimpleNamespace(RayError=RayError, RayTaskError=RayTaskError)


def remote(error: Exception) -> tuple[_Remote, list[object]]:
    """A worker of which every call fails so; and the workers that were ended."""

    async def fail(*arguments):
        raise error

    method, ended = SimpleNamespace(remote=fail), []
    host = SimpleNamespace(generate=method, aclose=method)
    return _Remote(SimpleNamespace(exceptions=EXCEPTIONS, kill=ended.append), host), ended


async def test_a_fault_of_the_engines_code_is_no_worker_that_is_gone():
    with pytest.raises(EngineError, match="failed on its worker: KeyError: 'no such token'") as told:
        await remote(RayTaskError())[0].generate(ASKED, lambda piece: None)
    assert not told.value.retryable
    with pytest.raises(EngineUnreachable, match="a worker on Ray is gone: lost"):
        await remote(RayError("lost"))[0].generate(ASKED, lambda piece: None)


async def test_a_worker_is_ended_whatever_closing_it_comes_to():
    worker, ended = remote(ValueError("torn"))
    with pytest.raises(ValueError, match="torn"):
        await worker.aclose()
    assert len(ended) == 1


@pytest.mark.parametrize(
    ("gpus", "booked", "told"),
    [(4, 0, "no worker with 4 GPUs fits into this cluster: its"), (2, 1, "into this cluster beside the 1 workers")],
)
def test_workers_that_no_node_has_the_gpus_for_are_refused(gpus, booked, told):
    nodes = [{"Alive": alive, "Resources": {"GPU": there}} for alive, there in [(True, 1.0), (True, 3.0), (False, 8.0)]]
    cluster = RayEngines("auto", workers=2, gpus=gpus)
    cluster.ray = SimpleNamespace(nodes=lambda: nodes)
    with pytest.raises(ConfigError, match=f"{told}.* nodes have 1, 3; set --gpus"):
        cluster._check_room(booked)


def test_workers_that_fit_are_let_in():
    cluster = RayEngines("auto", workers=2, gpus=2)
    cluster.ray = SimpleNamespace(nodes=lambda: [{"Alive": True, "Resources": {"GPU": 3.0}}])
    cluster._check_room()
