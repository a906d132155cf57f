"""A debate on a vLLM server that is killed: with patience it goes on when the server is back, else it ends and says why."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing

import pytest
from debates import SUM, cast, plan
from vllm_server import MODEL, VllmServer

from chorus import checkpoints
from chorus.debate.budget import Limits
from chorus.debate.scheduler import Debate
from chorus.engines.registry import open_engine
from chorus.record import events

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(600)]


async def test_a_server_that_is_killed_and_comes_back_and_one_that_does_not(tmp_path):
    folder = checkpoints.resolve(MODEL)
    server = VllmServer(folder, tmp_path / "first.log", max_model_len=1024)
    try:
        await asyncio.to_thread(server.wait)
        engine = await open_engine(f"openai:{server.root}/v1#{MODEL}")
        port = server.port

        # Killed while all three voices speak; started again at once, which takes it half a minute or more.
        of = plan(max_tokens=48, detail="brief", decision="plurality")
        debate = Debate(of, SUM, cast(of), engine, limits=Limits(attempts=10, backoff_s=1.0))
        retried = 0
        async with aclosing(debate.run()) as stream:
            async for event in stream:
                if isinstance(event, events.TurnDelta) and retried == 0 and server.port == port:
                    server.kill()
                    server = VllmServer(folder, tmp_path / "second.log", max_model_len=1024, port=port)
                    port = 0  # only once
                retried += isinstance(event, events.TurnRetried)
                last = event
        assert isinstance(last, events.Decided)
        assert retried >= 3
        assert last.answer.status == "done"
        assert all(turn.status == "done" for turn in last.answer.turns if turn.round == 1)

        # Killed for good, after the first round.
        debate = Debate(of, SUM, cast(of), engine, limits=Limits(attempts=2, backoff_s=0.1, patience_s=5))
        began = time.monotonic()
        async with aclosing(debate.run()) as stream:
            async for event in stream:
                if isinstance(event, events.TurnStarted) and event.round == 2 and port == 0:
                    server.kill()
                    port = -1
                last = event
        answer = last.answer
        assert time.monotonic() - began < 60
        assert answer.status == "cut"
        assert "voices failed in round 2" in answer.reason
        assert [turn.status for turn in answer.turns].count("done") >= 3
        await engine.aclose()
    finally:
        await asyncio.to_thread(server.stop)
