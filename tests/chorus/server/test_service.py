"""How debates end, in one process: charged once, written down or owed, erased for good."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import httpx
import pytest

pytest.importorskip("fastapi")

from chorus import Chorus
from chorus.engines.script import Script
from chorus.engines.scripted import ScriptedEngine
from chorus.errors import StoreError
from chorus.record.relay import Held
from chorus.record.store import Store
from chorus.server.app import create_app
from chorus.server.keys import KeyRing
from chorus.server.policy import Policy
from chorus.server.replica import Replica

QUICK = {"real_time": True, "default": {"text": "Answer: 56"}}
SLOW = {"real_time": True, "default": {"text": "Answer: 56", "latency": {"first": 60}}}
ASKED = {"model": "chorus-solo", "messages": [{"role": "user", "content": "What is 7 * 8?"}]}


@asynccontextmanager
async def app(folder, script=QUICK, keys=None, **policy):
    """A server that keeps its debates in a folder, and a client for it."""
    store = await Store.open(f"sqlite:///{folder}/debates.db")
    chorus = Chorus(ScriptedEngine(Script.model_validate(script)), "skeptic,estimator,formalist", rounds=1)
    made = create_app(chorus, store=store, keys=keys, policy=Policy(**policy))
    try:
        async with (
            made.router.lifespan_context(made),
            httpx.AsyncClient(transport=httpx.ASGITransport(made), base_url="http://localhost") as client,
        ):
            yield client, made.state.service
    finally:
        await store.aclose()


class Switch:
    """Stands for a method of a database that can be away. Counts the calls that went through."""

    def __init__(self, method) -> None:
        self._method, self.away, self.through = method, False, 0

    async def __call__(self, *args, **kwargs):
        if self.away:
            raise StoreError("the database is away")
        told = await self._method(*args, **kwargs)
        self.through += 1
        return told


class Alone:
    """What a server hears from the others where there are none."""

    lease_s = 30.0

    async def beat(self, *, holding, watching, bury):
        return {debate: Held(None, None) for debate in holding}

    async def air(self, batches):
        list(batches)

    async def leave(self):
        pass


async def test_a_charge_outlives_the_patience_for_a_slow_store(tmp_path, monkeypatch):
    ring = await KeyRing.open(f"sqlite:///{tmp_path}/debates.db")
    _, secret = await ring.create("Anna")
    spend, charged = ring.spend, []

    async def slowly(key, tokens, charge):
        await asyncio.sleep(0.3)
        await spend(key, tokens, charge)
        charged.append(tokens)

    monkeypatch.setattr(ring, "spend", slowly)
    async with app(tmp_path, keys=ring, store_s=0.05) as (client, service):
        headers = {"Authorization": f"Bearer {secret}"}
        told = (await client.post("/v1/chat/completions", json=ASKED, headers=headers)).json()
        await service.hall.empty()
        assert charged == []
        service.policy = service.policy.model_copy(update={"store_s": 5.0})  # for the end
    assert charged == [told["usage"]["total_tokens"]]
    await ring.aclose()


async def test_a_charge_whose_fate_was_unknown_is_made_once(tmp_path, monkeypatch):
    """The database makes it and goes away before it says so; once it is back the server tries again."""
    ring = await KeyRing.open(f"sqlite:///{tmp_path}/debates.db")
    key, secret = await ring.create("Anna", tokens_per_day=1)
    write = ring._database.write

    async def cut_off(work):
        await write(work)
        raise StoreError("the connection was lost")

    async with app(tmp_path, keys=ring) as (client, service):
        service.replica = Replica(Alone(), service._settle, service.ledger.noted)
        monkeypatch.setattr(ring._database, "write", cut_off)
        told = await client.post("/v1/chat/completions", json=ASKED, headers={"Authorization": f"Bearer {secret}"})
        await service.hall.empty()
        assert service.replica.owing == 1
        monkeypatch.setattr(ring._database, "write", write)
        await service.replica._beat()
        assert service.replica.owing == 0
        assert f"({told.json()['usage']['total_tokens']} used)" in str(await ring.refusal(key))
    await ring.aclose()


async def test_reasons_are_listed_as_they_are(tmp_path, monkeypatch):
    reasons = ["a tie was broken: 54; 56", "low confidence"]
    monkeypatch.setattr("chorus.server.review.reasons", lambda *_: reasons)
    async with app(tmp_path) as (client, service):
        await client.post("/v1/chat/completions", json=ASKED)
        await service.hall.empty()
        (listed,) = (await client.get("/v1/debates")).json()["data"]
        assert listed["needs_review"]["reasons"] == reasons


async def test_what_is_owed_is_written_though_memory_has_no_room_for_it_and_too_much_of_it_lets_no_more_in(
    tmp_path, monkeypatch
):
    async with app(tmp_path, kept=0) as (client, service):
        finish = Switch(service.store.finish)
        monkeypatch.setattr(service.store, "finish", finish)
        service.replica = Replica(Alone(), service._settle, service.ledger.noted)
        finish.away = True
        debate = (await client.post("/v1/chat/completions", json=ASKED)).json()["chorus"]["debate"]
        await service.hall.empty()
        refused = await client.post("/v1/chat/completions", json=ASKED)
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "store_unavailable")
        finish.away = False
        await service.replica._beat()
        assert service.replica.owing == 0
        assert (await client.get(f"/v1/debates/{debate}")).json()["answer"] == "56"
        assert (await client.post("/v1/chat/completions", json=ASKED)).status_code == 200


async def test_what_is_owed_and_was_erased_is_not_written(tmp_path, monkeypatch):
    async with app(tmp_path) as (client, service):
        finish = Switch(service.store.finish)
        monkeypatch.setattr(service.store, "finish", finish)
        service.replica = Replica(Alone(), service._settle, service.ledger.noted)
        finish.away = True
        debate = (await client.post("/v1/chat/completions", json=ASKED)).json()["chorus"]["debate"]
        await service.hall.empty()
        assert (await client.delete(f"/v1/debates/{debate}")).json()["deleted"] is True
        finish.away = False
        await service.replica._beat()
        assert (service.replica.owing, finish.through) == (0, 0)


async def test_one_that_nobody_keeps_is_erased_under_way(tmp_path):
    unkept = {"model": "chorus-solo", "input": "What is 7 * 8?", "store": False}
    async with app(tmp_path, SLOW) as (client, service):
        asking = asyncio.create_task(client.post("/v1/responses", json=unkept))
        while not (held := list(service.hall)):  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.01)
        erased = await client.delete(f"/v1/debates/{held[0].id}")
        assert (erased.status_code, erased.json().get("deleted")) == (200, True)
        assert (await asking).status_code == 503
        assert (await client.delete(f"/v1/debates/{held[0].id}")).status_code == 404
