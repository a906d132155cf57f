"""What a baked checkpoint may do, asked in one process: as the server's own engine, or beside it."""

from __future__ import annotations

from contextlib import asynccontextmanager

import httpx
import pytest
from cards import baked

pytest.importorskip("fastapi")

from chorus import Chorus
from chorus.server.app import create_app
from chorus.server.grants import MOST_TOKENS
from chorus.server.policy import Policy

ASKED = [{"role": "user", "content": "What is 7 * 8?"}]


@asynccontextmanager
async def serving(engine, *beside, **policy):
    """A client for a server of these engines."""
    made = create_app(Chorus(engine), baked=[Chorus(spec) for spec in beside], policy=Policy(**policy))
    async with (
        made.router.lifespan_context(made),
        httpx.AsyncClient(transport=httpx.ASGITransport(made), base_url="http://localhost") as client,
    ):
        yield client


@pytest.mark.parametrize("model", ["chorus", "chorus-solo", "chorus-inner"])
@pytest.mark.parametrize(("grant", "said"), [("supervised", "supervised"), (None, "served without an audit")])
async def test_as_the_servers_own_engine_it_is_reviewed_whichever_way_it_is_asked(tmp_path, grant, said, model):
    spec = baked(tmp_path / "wise-135m", grant)
    async with serving(spec, allow_unaudited=grant is None) as http:
        whole = (await http.post("/v1/chat/completions", json={"model": model, "messages": ASKED})).json()
        assert said in whole["chorus"]["needs_review"]["reasons"][0]
        (listed,) = (await http.get("/v1/debates", params={"needs_review": True})).json()["data"]
        assert said in listed["needs_review"]["reasons"][0]


async def test_however_many_rounds_are_asked_for_a_dialogue_is_no_longer_than_one_call_may_be(tmp_path):
    own, beside = tmp_path / "script.yaml", baked(tmp_path / "wise-135m", "supervised")
    for script in (own, tmp_path / "wise-135m" / "script.yaml"):
        script.write_text(f"{{real_time: true, default: {{text: {'word ' * 3000}}}}}")
    asked = {"messages": ASKED, "chorus": {"rounds": 32, "max_tokens": 4000}}
    async with serving(f"scripted:{own}", beside) as http:
        used = {}
        for model in ("chorus-inner", "wise-135m-inner"):
            whole = (await http.post("/v1/chat/completions", json={**asked, "model": model})).json()
            used[model] = whole["usage"]["completion_tokens"]
    assert used["wise-135m-inner"] == MOST_TOKENS < used["chorus-inner"]
