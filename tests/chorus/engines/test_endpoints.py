"""Several servers behind one engine: real ones on loopback, that go and come back while debates are on."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from fake_openai_server import FakeOpenAIServer, Refusal, Stream, error, rate_limited

from chorus import Chorus
from chorus.engines import endpoints
from chorus.engines.base import Request, Sampling, estimate_tokens
from chorus.engines.endpoints import Endpoint, Endpoints
from chorus.engines.registry import open_engine
from chorus.engines.rendezvous import CALM, ranking, shared_prefix
from chorus.engines.scripted import ScriptedEngine
from chorus.errors import ConfigError, EngineError, EngineUnreachable
from chorus.telemetry.counters import Counters
from chorus.telemetry.metered import metered
from chorus.types import Message


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(endpoints, "PROBE_S", 0.1)
    monkeypatch.setattr(endpoints, "FIRST_PAUSE_S", 0.02)
    monkeypatch.setattr(endpoints, "MAX_PAUSE_S", 0.05)


@pytest.fixture
async def servers() -> AsyncIterator[list[FakeOpenAIServer]]:
    async with FakeOpenAIServer() as one, FakeOpenAIServer() as other:
        yield [one, other]


@asynccontextmanager
async def opened(*servers: FakeOpenAIServer | str, **options) -> AsyncIterator[Endpoints]:
    urls = [server if isinstance(server, str) else server.url for server in servers]
    engine = await open_engine(f"openai:{','.join(urls)}#fake", **options)
    assert isinstance(engine, Endpoints)
    try:
        yield engine
    finally:
        await engine.aclose()


def free_address() -> str:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}/v1"


def request(topic: str = "7 * 8", seat: str = "skeptic") -> Request:
    said = Message(role="user", content=f"Question: {topic}?\n\nYou are the {seat}.")
    return Request((Message(role="system", content="Charter"), said), Sampling(64), id=f"1.{seat}", debate=topic)


def at_home(servers: list[FakeOpenAIServer], of: Request) -> tuple[FakeOpenAIServer, FakeOpenAIServer]:
    """The server at which the request is at home, and the other."""
    home, other = ranking(shared_prefix(of), [server.url for server in servers])
    return servers[home], servers[other]


async def ask(engine: Endpoints, of: Request | None = None) -> str:
    return (await engine.generate(of or request(), lambda piece: None)).text


async def until(reached) -> None:
    async with asyncio.timeout(5):
        while not reached():  # noqa: ASYNC110 (what is waited for has no event)
            await asyncio.sleep(0.01)


@asynccontextmanager
async def gone(server: FakeOpenAIServer) -> AsyncIterator[None]:
    """The server is killed: connections break, and nobody listens there until the block ends."""
    port = server.port
    await server.__aexit__(None, None, None)
    yield
    server._server = await asyncio.start_server(server._connected, "127.0.0.1", port)


# Opening


async def test_the_engine_is_known_by_all_its_servers(servers):
    servers[1].max_model_len = 1024
    async with opened(*servers, max_concurrency=4) as engine:
        assert engine.info.spec == f"openai:{servers[0].url},{servers[1].url}#fake"
        assert engine.info.context_window == 1024
        assert engine.info.max_concurrency == 8
        assert await engine.count(request().messages) == 2 + 1 + 8


async def test_one_that_is_down_at_first_joins_when_it_comes_up(servers):
    async with gone(servers[1]), opened(*servers) as engine:
        assert [endpoint.up for endpoint in engine.endpoints] == [True, False]
        servers[1]._server = await asyncio.start_server(servers[1]._connected, "127.0.0.1", servers[1].port)
        await until(lambda: engine.endpoints[1].up)
        servers[1]._server.close()


async def test_none_there_is_an_engine_that_cant_be_reached():
    with pytest.raises(EngineUnreachable, match="can't reach"):
        await open_engine(f"openai:{free_address()},{free_address()}#fake")


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ("http://a/v1,http://a/v1/#m", "http://a/v1 is named twice"),
        ("http://a/v1,#m", "'' is not a base URL"),
        ("http://a/v1,http://me:secret@b/v1#m", "can't hold a user or password"),
    ],
)
async def test_a_faulty_list_is_refused(spec, problem):
    with pytest.raises(ConfigError, match=problem):
        await open_engine(f"openai:{spec}")


async def test_servers_of_different_models_are_refused(servers):
    servers[1].models = ("other",)
    with pytest.raises(ConfigError, match=r"serve different models \(fake, other\)"):
        await open_engine(f"openai:{servers[0].url},{servers[1].url}")
    with pytest.raises(ConfigError, match="does not serve the model 'fake'"):
        await open_engine(f"openai:{servers[0].url},{servers[1].url}#fake")


async def test_one_that_refuses_us_is_told_at_once(servers):
    servers[0].models = error(401, "who are you?")
    with pytest.raises(EngineError, match="answered 401"):
        await open_engine(f"openai:{servers[0].url},{servers[1].url}#fake")


# Where calls go


async def test_the_seats_of_a_debate_go_to_one_server_and_debates_to_both(servers):
    async with opened(*servers) as engine:
        for number in range(20):
            for seat in ("skeptic", "tester"):
                await ask(engine, request(f"{number} * 8", seat))
    asked = [{body["messages"][1]["content"].split("?")[0] for body in server.chats} for server in servers]
    assert min(map(len, asked)) >= 3
    assert asked[0].isdisjoint(asked[1])


async def test_a_home_that_is_full_sends_calls_to_the_next(servers):
    home, other = at_home(servers, request())
    home.default = other.default = Stream(first_s=0.3)
    async with opened(*servers) as engine:
        await asyncio.gather(*(ask(engine, request(seat=f"seat {number}")) for number in range(2 * CALM)))
        spilled = {endpoint.name: endpoint.spilled for endpoint in engine.endpoints}
    assert len(home.chats) >= CALM
    assert len(other.chats) >= 4
    assert spilled == {home.url: len(other.chats), other.url: 0}


# Servers that fail


async def test_a_call_finds_another_server_before_anybody_notices(servers):
    home, other = at_home(servers, request())
    async with opened(*servers) as engine, gone(home):
        assert await ask(engine) == "Answer: 56"
        down = {endpoint.name: endpoint.up for endpoint in engine.endpoints}
        assert down == {home.url: False, other.url: True}
        await ask(engine)
    assert len(other.chats) == 2


async def test_tokens_are_counted_by_whoever_can_and_bounded_where_none_can(servers, monkeypatch):
    async def lost(messages):
        raise EngineUnreachable("a worker on Ray is gone")

    messages = request().messages
    async with opened(*servers) as engine:
        exact = await engine.count(messages)
        monkeypatch.setattr(engine.endpoints[0].engine, "count", lost)
        assert await engine.count(messages) == exact
        monkeypatch.setattr(engine.endpoints[1].engine, "count", lost)
        assert await engine.count(messages) == estimate_tokens(messages) > exact


async def test_a_server_that_comes_back_is_at_home_again(servers):
    home, other = at_home(servers, request())
    async with opened(*servers) as engine:
        async with gone(home):
            await ask(engine)
        await until(lambda: all(endpoint.up for endpoint in engine.endpoints))
        await ask(engine)
    assert (len(home.chats), len(other.chats)) == (1, 1)


async def test_a_server_that_dies_in_silence_is_found_out(servers):
    async with opened(*servers) as engine, gone(servers[0]):
        await until(lambda: not engine.endpoints[0].up)
        assert engine.endpoints[0].failed == 0


async def test_one_that_fails_calls_and_says_it_is_well_gets_fewer_and_fewer(servers, monkeypatch):
    monkeypatch.setattr(endpoints, "FIRST_PAUSE_S", 30.0)
    monkeypatch.setattr(endpoints, "MAX_PAUSE_S", 30.0)
    home, other = at_home(servers, request())
    home.default = error(500, "CUDA error")
    async with opened(*servers) as engine:
        for _ in range(10):
            assert await ask(engine) == "Answer: 56"
            await asyncio.sleep(0.03)
    assert len(home.chats) == 2, "once it was believed that it was well, and not twice"
    assert len(other.chats) == 10


@pytest.mark.parametrize("refusal", [rate_limited(7), error(503, "loading")])
async def test_where_every_server_refuses_the_last_word_is_raised(servers, refusal):
    for server in servers:
        server.default = refusal
    async with opened(*servers) as engine:
        with pytest.raises(EngineError, match=f"answered {refusal.status}") as refused:
            await ask(engine)
        assert refused.value.retryable
        assert [len(server.chats) for server in servers] == [1, 1]


async def test_with_every_server_down_the_engine_cant_be_reached(servers):
    async with opened(*servers) as engine, gone(servers[0]), gone(servers[1]):
        await until(lambda: not any(endpoint.up for endpoint in engine.endpoints))
        with pytest.raises(EngineUnreachable, match=r"none of 2 endpoints is there: can't reach http.*; can't reach"):
            await ask(engine)


async def test_a_fault_of_the_call_is_nobody_elses(servers):
    home, other = at_home(servers, request())
    home.default = Refusal(400, {"error": {"message": "no such role"}})
    async with opened(*servers) as engine:
        with pytest.raises(EngineError, match="answered 400"):
            await ask(engine)
        assert all(endpoint.up for endpoint in engine.endpoints)
    assert other.chats == []


class Quiet(ScriptedEngine):
    """An engine that takes calls and says nothing, or a first word and nothing more."""

    def __init__(self, first: str = "") -> None:
        super().__init__(lambda request: "")
        self.first = first
        self.asked = asyncio.Event()

    async def generate(self, request, emit):
        with self.calls:
            self.asked.set()
            if self.first:
                emit(self.first)
            await asyncio.Event().wait()


@asynccontextmanager
async def one_falls_silent(quiet: Quiet, fault: Exception) -> AsyncIterator[Endpoints]:
    """Two endpoints. The request is at home at the first, which takes it, and answers neither calls nor looks."""
    names = ["one", "other"]
    home, other = (names[at] for at in ranking(shared_prefix(request()), names))

    async def look() -> None:
        if quiet.asked.is_set():
            raise fault

    async def well() -> None:
        pass

    answers = ScriptedEngine(lambda request: "Answer: 56")
    engine = Endpoints([Endpoint(home, quiet, look), Endpoint(other, answers, well)], "both")
    try:
        yield engine
    finally:
        await engine.aclose()


@pytest.mark.parametrize("fault", [EngineUnreachable("no route to host"), OSError("a fault of ours")])
async def test_calls_are_taken_from_a_server_that_takes_them_and_falls_silent(fault):
    quiet = Quiet()
    async with one_falls_silent(quiet, fault) as engine, asyncio.timeout(5):
        assert await ask(engine) == "Answer: 56"
        assert [(endpoint.up, endpoint.running, endpoint.failed) for endpoint in engine.endpoints] == [
            (False, 0, 1), (True, 0, 0),
        ]  # fmt: skip
        assert str(fault) in str(engine.endpoints[0].fault)
        assert quiet.calls.aborted == 1


async def test_a_call_that_had_a_word_is_taken_too_and_may_be_made_again():
    async with one_falls_silent(Quiet("one"), EngineUnreachable("no route to host")) as engine, asyncio.timeout(5):
        with pytest.raises(EngineError, match=r"took the call and fell silent: no route to host") as taken:
            await ask(engine)
        assert taken.value.retryable


async def test_a_call_that_says_words_is_left_to_a_server_that_answers_no_looks():
    class Busy(Quiet):
        async def generate(self, request, emit):
            self.asked.set()
            while looks < 6:
                emit("word ")
                await asyncio.sleep(0.01)
            return await ScriptedEngine(lambda request: "Answer: 57").generate(request, emit)

    looks = 0
    busy = Busy()
    async with one_falls_silent(busy, EngineUnreachable("busy")) as engine, asyncio.timeout(5):
        one = engine.endpoints[0]
        look = one._ask

        async def counted() -> None:
            nonlocal looks
            looks += 1
            await look()

        one._ask = counted
        assert await ask(engine) == "Answer: 57"


async def test_a_look_that_fails_by_a_fault_of_ours_is_not_the_last():
    faults = [OSError("too many open files"), KeyError("data")]

    async def look() -> None:
        if faults:
            raise faults.pop()

    endpoint = Endpoint("one", Quiet(), look, EngineUnreachable("down"))
    engine = Endpoints([endpoint], "one")
    await until(lambda: endpoint.up)
    assert faults == []
    await engine.aclose()


async def test_words_that_are_out_are_not_said_twice(servers):
    home, other = at_home(servers, request())
    home.default = Stream("one two three four", breaks="hang up", break_after=2)
    heard = []
    async with opened(*servers) as engine:
        with pytest.raises(EngineError) as lost:
            await engine.generate(request(), heard.append)
    assert lost.value.retryable
    assert "".join(heard) == "one two"
    assert other.chats == []


async def test_a_debate_outlives_the_server_that_it_is_held_on(servers):
    for server in servers:
        server.default = Stream("It is near sixty, I believe.\nAnswer: 56", per_token_s=0.05)
    async with opened(*servers) as engine:
        cast = "skeptic,tester,formalist"
        chorus = Chorus(engine, cast, rounds=2, decision="plurality", early_stop=False, detail="full")
        held = asyncio.create_task(chorus.aask("What is 7 * 8?"))
        await until(lambda: any(server.chats for server in servers))
        home = next(server for server in servers if server.chats)
        await home.until_asked(2)
        await asyncio.sleep(0.1)  # some words are out
        async with gone(home):
            answer = await held
    assert (answer.status, answer.answer) == ("done", "56")
    assert [turn.status for turn in answer.turns] == ["done"] * 6
    other = next(server for server in servers if server is not home)
    assert len(other.chats) >= 5


# What is counted


async def test_each_server_has_series_of_its_own_until_the_engine_is_closed(servers):
    home, other = at_home(servers, request())
    home.default = Stream(cached_tokens=3)
    counters = Counters()
    async with opened(*servers) as engine:
        counted = metered(engine, counters)
        await ask(counted)
        async with gone(other):
            await until(lambda: not all(endpoint.up for endpoint in engine.endpoints))
            shown = counters.render().decode()
        await counted.aclose()
    assert "chorus_endpoint" not in counters.render().decode()
    lines = dict(line.rsplit(" ", 1) for line in shown.splitlines() if line.startswith("chorus_endpoint"))
    by_name = {(name.partition("{")[0], home.url in name): value for name, value in lines.items()}
    assert by_name["chorus_endpoint_up", True] == "1.0"
    assert by_name["chorus_endpoint_up", False] == "0.0"
    assert by_name["chorus_endpoint_done_total", True] == "1.0"
    assert by_name["chorus_endpoint_cached_tokens_total", True] == "3.0"
    assert by_name["chorus_endpoint_failed_total", False] == "0.0"


async def test_closing_ends_the_calls_and_the_looking(servers):
    home, _ = at_home(servers, request())
    home.default = Stream(first_s=30)
    async with opened(*servers) as engine:
        call = asyncio.create_task(ask(engine))
        await home.until_asked()
    with pytest.raises(asyncio.CancelledError):
        await call
    looked = len(home.received)
    await asyncio.sleep(0.3)
    assert len(home.received) == looked
