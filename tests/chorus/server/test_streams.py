"""Streams in one process, where the server's patience can be set: it says that it is there while nobody speaks."""

from __future__ import annotations

import httpx
import pytest

pytest.importorskip("fastapi")

from serving import sse

from chorus import Chorus
from chorus.engines.script import Script
from chorus.engines.scripted import ScriptedEngine
from chorus.server.app import create_app
from chorus.server.policy import Policy

QUIET = {"real_time": True, "default": {"text": "Answer: 56, no more", "latency": {"first": 0.3}}}
ASKED = [{"role": "user", "content": "What is 7 * 8?"}]


@pytest.fixture
async def http():
    chorus = Chorus(ScriptedEngine(Script.model_validate(QUIET)), "skeptic,estimator,formalist", rounds=1)
    app = create_app(chorus, policy=Policy(keep_alive_s=0.05))
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            yield client


async def test_a_quiet_chat_says_that_it_is_there(http):
    body = {"model": "chorus", "messages": ASKED, "stream": True}
    told = (await http.post("/v1/chat/completions", json=body)).text
    assert told.count(": keep-alive\n\n") >= 1
    assert told.index("chat.completion.chunk") < told.index(": keep-alive"), "the first event doesn't wait for a voice"
    assert told.endswith("data: [DONE]\n\n")


async def test_so_do_the_events_of_a_debate(http):
    started = (await http.post("/v1/debates", json={"question": "What is 7 * 8?"})).json()
    told = (await http.get(started["events"])).text
    assert told.count(": keep-alive\n\n") >= 1
    assert sse(told)[-1]["event"] == "decided"


@pytest.mark.parametrize("model", ["chorus", "chorus-solo"])
async def test_a_stop_string_ends_the_answer_and_is_no_part_of_it(http, model):
    body = {"model": model, "messages": [{"role": "user", "content": "Say something."}], "stop": ["no more"]}
    whole = (await http.post("/v1/chat/completions", json=body)).json()
    assert "no more" not in whole["choices"][0]["message"]["content"]
    assert whole["choices"][0]["finish_reason"] == "stop"


async def test_a_voice_is_cut_at_the_bound_that_was_asked_for(http):
    body = {"model": "chorus-solo", "messages": [{"role": "user", "content": "Say something."}], "max_tokens": 2}
    whole = (await http.post("/v1/chat/completions", json=body)).json()
    assert whole["choices"][0]["finish_reason"] == "length"
    assert whole["usage"]["completion_tokens"] == 2


async def test_a_store_that_is_locked_for_long_holds_up_no_answer_and_no_end(tmp_path):
    """Debates that can't be written down in time stay in memory, where they can be read."""
    import sqlite3

    from chorus.record.store import Store

    store = await Store.open(f"sqlite:///{tmp_path}/debates.db")
    chorus = Chorus(ScriptedEngine(Script.model_validate(QUIET)), "skeptic,estimator,formalist", rounds=1)
    app = create_app(chorus, store=store, policy=Policy(store_s=0.2))
    async with app.router.lifespan_context(app):
        other = sqlite3.connect(tmp_path / "debates.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            body = {"model": "chorus", "messages": ASKED}
            wholes = [(await client.post("/v1/chat/completions", json=body)).json() for _ in range(3)]
            assert [whole["choices"][0]["message"]["content"] for whole in wholes] == ["56"] * 3
            other.execute("ROLLBACK")
            other.close()
            await app.state.service.hall.empty()
            records = [await client.get(f"/v1/debates/{whole['chorus']['debate']}") for whole in wholes]
            assert [record.status_code for record in records] == [200] * 3
            assert "chorus_store_failures_total 0.0" not in (await client.get("/metrics")).text
    await store.aclose()
