"""Capacity on paper: against queueing theory, against the chorus's own scheduler, and against what was measured."""

import asyncio
import dataclasses
import math
import random
import statistics

import pytest
from measured import counting_server, letters

pytest.importorskip("simpy")
pytest.importorskip("numpy")
pytest.importorskip("scipy")

from chorus.chorus import Chorus
from chorus.config import Settings
from chorus.engines.scripted import ScriptedEngine
from evals.bench.capacity import check, rates, simulation, workload
from evals.bench.capacity.__main__ import COLUMNS, coordinator_s, row
from evals.bench.capacity.rates import Rates
from evals.bench.capacity.workload import Call, Load
from evals.bench.driving import Wrapper
from evals.bench.ways import BATCH, CAST, LIMIT, OURS, ROUNDS, Cell

ONE = (Call("1.a", (), 0, 0, 100),)
"""A debate of one turn."""


def engine(**given):
    figures = {"prompt_s": 0.0, "step_s": 0.01, "token_s": 0.0, "batch": 1, "tokens": 100} | given
    return Rates("a machine", **figures, ours=True, source="a test")


def geometric(mean, draw):
    """A text that may end after each token has such a length."""
    return max(1, math.ceil(math.log(1 - draw.random()) / math.log(1 - 1 / mean)))


@pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
@pytest.mark.parametrize("length", [None, geometric], ids=["M/D/1", "M/M/1"])
def test_one_at_a_time_waits_as_pollaczek_and_khinchine_say(load, length):
    """Mean time in an M/G/1 queue: S + load / (1 - load) * S * (1 + scv) / 2."""
    service_s, scv = 1.0, 0.0 if length is None else 1 - 1 / 100
    arrivals = simulation.poisson(Load(ONE), load / service_s, 20_000, seed=1)
    outcome = simulation.run(engine(), arrivals, length=length)
    expected = service_s + load / (1 - load) * service_s * (1 + scv) / 2
    assert statistics.mean(outcome.latencies) == pytest.approx(expected, rel=0.06)
    assert outcome.busy == pytest.approx(load, rel=0.03)
    assert outcome.debates_per_s == pytest.approx(load / service_s, rel=0.03)


def test_little_s_law_between_what_debates_see_and_what_the_engine_sees():
    """Sequences in a step, over time, are the calls' time in it: their latency but for the wait for a step to begin."""
    machine = engine(batch=10_000, token_s=0.001)
    outcome = simulation.run(machine, simulation.poisson(Load(ONE), 3.0, 2000, seed=2), length=geometric)
    inside, seen = outcome.batch * outcome.busy_s, sum(outcome.latencies)
    longest_step = machine.step_s + 100 * machine.token_s
    assert inside <= seen + 1e-6
    assert seen - inside < 2000 * longest_step / 2
    assert seen - inside < 0.05 * seen


def test_a_full_batch_writes_as_fast_as_its_rates_say():
    machine = engine(batch=8, prompt_s=0.001, token_s=0.002)
    load = Load((Call("1.a", (), 50, 0, 100),))
    a_batch_s = 8 * 50 * 0.001 + 100 * (0.01 + 8 * 0.002)
    assert simulation.saturate(machine, load).debates_per_s == pytest.approx(8 / a_batch_s, rel=0.03)


def test_what_the_cache_has_is_not_computed():
    machine, load = engine(prompt_s=0.1, batch=4), Load((Call("1.a", (), 100, 80, 1),))
    alone = [simulation.run(machine, [(0.0, load.whole)], hit=hit).wall_s for hit in (0.0, 0.5, 1.0)]
    assert alone == pytest.approx([10.01, 6.01, 2.01])
    assert [load.computed(hit) for hit in (0.0, 0.5, 1.0)] == [100, 60, 20]


class Slow(Wrapper):
    """Takes set seconds for each turn, on the clock that jumps."""

    def __init__(self, inside, seconds):
        super().__init__(inside)
        self.seconds, self.ended = seconds, 0.0

    async def generate(self, request, emit):
        await asyncio.sleep(self.seconds[request.id])
        completion = await self.engine.generate(request, emit)
        self.ended = asyncio.get_running_loop().time()
        return completion


@pytest.mark.parametrize("spec", ["complete", "ring", "chain", "layers:2,2,1", "none", "small-world:k=2,p=0.2"])
@pytest.mark.parametrize("held_back", [False, True], ids=["no gate", "behind a gate"])
def test_a_debate_ends_when_the_scheduler_ends_it(spec, held_back, tmp_path):
    """The same lengths on the same graph, on the chorus's scheduler and on an engine that is never full."""
    load = workload.gated(spec, 8, letters, 0.5) if held_back else workload.plain(spec, 8, letters)
    gate = {"gate": True, "calibration": str(workload.gate_file(tmp_path, 1.0))} if held_back else {}
    step_s = 0.01
    for seed in range(5):
        draw = random.Random(seed)
        calls = tuple(dataclasses.replace(call, written=100 * draw.randint(1, 40)) for call in load.whole)
        slow = Slow(ScriptedEngine(lambda _: "Answer: 56"), {call.id: step_s * call.written for call in calls})
        with Chorus(slow, CAST, settings=Settings(), topology=spec, rounds=ROUNDS, decision="borda", **gate) as chorus:
            chorus.ask("What is 7 * 8?")
        simulated = simulation.run(engine(step_s=step_s, batch=64), [(0.0, calls)])
        # A turn that follows another waits for the step under way: one for each round, and one for the gate.
        assert 0 <= simulated.wall_s - slow.ended + 1e-6 < (ROUNDS + 1) * step_s


def test_a_gate_that_answers_asks_two_voices():
    load = workload.gated("complete", 8, letters, 0.25)
    assert [len(load.whole), len(load.gated)] == [15, 2]
    assert load.calls == 0.75 * 15 + 0.25 * 2
    kinds = [kind for _, kind in simulation.poisson(load, 1.0, 2000, seed=0)]
    assert kinds.count(load.gated) / 2000 == pytest.approx(0.25, abs=0.03)


def test_the_fit_is_near_the_runs_that_it_was_made_of_and_those_that_it_was_not():
    fitted = rates.measured()
    assert fitted.error < 0.06
    apart = [foretold / cell.wall_s - 1 for cell, foretold in check.unfitted()]
    assert len(apart) >= 10
    assert max(map(abs, apart)) < 0.2


def test_runs_that_were_disturbed_give_no_machine_that_ends_before_it_begins():
    # Measured on a machine whose speed changed meanwhile: without a bound, a token read would take less than no time.
    walls = {OURS: (24.27, 35.49), LIMIT: (24.27, 31.65), BATCH: (17.86, 27.15)}
    computed = (2847, 4877)
    runs = [
        Cell("even", way, at + 1, 0, wall, computed[at], 0, 480 * (at + 1), 15 * (at + 1))
        for way, both in walls.items()
        for at, wall in enumerate(both)
    ]
    fitted = rates.fitted(runs, 32, "runs")
    assert min(fitted.prompt_s, fitted.step_s, fitted.token_s) >= 0
    assert simulation.run(fitted, [(0.0, (Call("1.a", (), 100, 0, 32),))]).wall_s > 0


def test_published_throughputs_come_out_again():
    for machine, entry in zip(rates.published(), rates.entries(), strict=True):
        assert not machine.ours
        assert "http" in machine.source
        for point in entry["points"]:
            load = Load((Call("1.a", (), point["read"], 0, point["write"]),))
            made = simulation.saturate(machine, load).debates_per_s * point["write"]
            assert made == pytest.approx(point["tokens_per_s"], rel=0.03)


def test_the_same_seed_gives_the_same_row():
    def told(seed):
        return row(rates.measured(), 2, "ring", 0.5, 1.0, letters, coordinator_s(), seed, each=20)

    first = told(0)
    assert first == told(0) != told(1)
    assert len(first) == len(COLUMNS)


def test_replicas_that_share_their_queues_wait_less():
    here, load = rates.measured(), workload.plain("complete", 32, letters)
    most = simulation.saturate(here, load).debates_per_s
    slow, quick = (
        simulation.run(here, simulation.poisson(load, 0.9 * most * gpus, 300 * gpus, 0), replicas=gpus).quantile(0.95)
        for gpus in (1, 4)
    )
    assert quick < slow


@pytest.mark.timeout(180)
def test_the_check_holds_the_debates_at_the_moments_that_it_foretells():
    # The stand-in answers at once, so that debates come faster than the machine that is foretold could hold them.
    table, fitted, data = check.check(letters, 2, 50.0, seed=0, start=counting_server)
    assert fitted.source == "fitted to 8 runs on this server, a moment before"
    figures = {name: (said, was) for name, said, was, _ in table}
    assert len(data["came_s"]) == len(data["measured_latencies_s"]) == 2
    assert data["came_s"] == sorted(data["came_s"])
    assert figures["wall s, from the first question to the last answer"][1] >= data["came_s"][-1]
    assert figures["latency, longest s"][0] == max(data["predicted_latencies_s"])
