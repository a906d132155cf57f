"""Debates and baselines inside Inspect: what its logs show of them."""

from __future__ import annotations

import pytest

pytest.importorskip("inspect_ai")
pytest.importorskip("scipy")

from inspect_ai import Task, eval_async
from inspect_ai.event import ModelEvent, SpanBeginEvent
from inspect_ai.model import GenerateConfig, ModelOutput, ModelUsage, get_model
from inspect_ai.util._display import init_display_type

from chorus.engines.base import Completion, Sampling, TokenLogprob
from chorus.types import Message, Question, ToolCall, Usage
from evals import adaptive, provider, samples, scorers, solvers, translation

pytestmark = [
    pytest.mark.usefixtures("no_other_plugins"),
    pytest.mark.timeout(300),
    # Inspect's own: it retries by an old name, and leaves what it opened to the garbage collector.
    pytest.mark.filterwarnings("ignore:The 'initial' parameter is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:(?i)unclosed:ResourceWarning"),
]

SUM = Question(id="sums/dev/1", text="What is 7 * 8?", answer="56", kind="number")

SCRIPT = """
turns:
  - {turn: "1.skeptic", text: "Answer: 54", confidence: 0.9}
  - {turn: "1.plain", text: "Answer: 56", confidence: 0.2}
  - {turn: "1.plain-2", text: "Answer: 54", confidence: 0.9}
  - {turn: "1.plain-3", text: "Answer: 56", confidence: 0.3}
  - {turn: "*.judge", text: "Answer: 57", confidence: 0.5}
  - {turn: "*.coordinator", text: "Skeptic: 54.\\nAnswer: 56", confidence: 0.5}
default: {text: "Answer: 56", confidence: 0.5, cached_tokens: 3}
"""


@pytest.fixture
def model(tmp_path):
    (tmp_path / "script.yaml").write_text(SCRIPT)
    return get_model(f"chorus/scripted:{tmp_path}/script.yaml", memoize=False)


async def held(model, solver, tmp_path, **more):
    """The one sample of a log, with its debate."""
    init_display_type("none")
    task = Task(samples.dataset([SUM], "sums"), solver=solver, scorer=scorers.graded(), name="sums")
    (log,) = await eval_async(
        task, model=model, log_dir=str(tmp_path / "logs"), log_realtime=False, ctl_server=False, **more
    )
    assert log.status == "success", log.error
    return log.samples[0]


async def test_a_debate_is_seen_turn_by_turn(model, tmp_path):
    sample = await held(model, solvers.debate(personas="skeptic,tester", topology="ring"), tmp_path)
    spans = {event.id: event.name for event in sample.events if isinstance(event, SpanBeginEvent)}
    calls = [event for event in sample.events if isinstance(event, ModelEvent)]
    assert sorted(spans[call.span_id] for call in calls) == ["1.skeptic", "1.tester", "2.skeptic", "2.tester"]
    record = samples.kept(sample.store)
    assert [turn.id for turn in record.turns] == ["1.skeptic", "1.tester", "2.skeptic", "2.tester"]
    assert sample.output.completion == record.answer == "56"
    assert sample.scores["graded"].value == "C"
    used = sample.model_usage[str(model)]
    assert used.input_tokens_cache_read == record.usage.cached_tokens == 9
    assert used.input_tokens + 9 == record.usage.prompt_tokens
    assert sample.scores["graded"].metadata["computed_tokens"] == used.input_tokens + used.output_tokens


@pytest.mark.parametrize(
    ("solver", "answer", "calls"),
    [
        (solvers.single(), "56", 1),
        (solvers.self_consistency(3), "56", 3),
        (solvers.self_consistency(3, decision="weighted"), "54", 3),
        (solvers.best_of_n(3), "54", 3),
        (solvers.mixture_of_agents(2), "57", 3),
        (solvers.mixture_of_agents(2, layers=2), "57", 5),
        (solvers.inner_chorus(personas="skeptic,tester"), "56", 1),
        # 5 votes to 1 stand with probability 1 - 8/128, 6 to 1 with 1 - 9/256.
        (solvers.adaptive_self_consistency(16), "56", 7),
    ],
)
async def test_baselines(model, tmp_path, solver, answer, calls):
    record = samples.kept((await held(model, solver, tmp_path)).store)
    assert (record.answer, record.usage.calls) == (answer, calls)


async def test_each_epoch_draws_anew(model, tmp_path):
    init_display_type("none")
    task = Task(
        samples.dataset([SUM], "sums"), solver=solvers.single(temperature=0.5), scorer=scorers.graded(), epochs=2
    )
    (log,) = await eval_async(task, model=model, log_dir=str(tmp_path), log_realtime=False, ctl_server=False)
    assert [samples.kept(sample.store).seed for sample in log.samples] == [0, 1]


async def test_any_model_of_inspects_can_debate(tmp_path):
    said = ModelOutput.from_content("mockllm/model", "Answer: 56")
    said.usage = ModelUsage(input_tokens=9, output_tokens=3, total_tokens=12)  # else it would fetch a tokenizer
    other = get_model("mockllm/model", custom_outputs=[said] * 4)
    sample = await held(other, solvers.debate(personas="skeptic,tester"), tmp_path)
    assert sample.scores["graded"].value == "C"
    record = samples.kept(sample.store)
    assert record.plan.engine == "inspect:mockllm/model"
    assert record.usage.prompt_tokens == 36


async def test_an_engine_serves_inspects_own_solvers(model, tmp_path):
    from inspect_ai.solver import generate

    sample = await held(model, generate(), tmp_path)
    assert sample.output.completion == "Answer: 56"
    assert sample.scores["graded"].value == "C"


async def test_an_engine_is_opened_once_and_closed(model):
    first, second = await provider.opened(model), await provider.opened(model)
    assert first.info == second.info
    assert not first.info.virtual_time
    engine = await model.api.open()
    await model.api.aclose()
    assert await model.api.open() is not engine


# Adaptive self-consistency


@pytest.mark.parametrize(
    ("votes", "sure"),
    [((), 0.5), ((1,), 0.75), ((2,), 0.875), ((4,), 0.96875), ((2, 2), 0.5), ((3, 1), 0.8125), ((3, 1, 1), 0.8125)],
)
def test_how_sure_a_majority_stands(votes, sure):
    """With v votes against none it is 1 - 0.5^(v+1): the integral of Beta(v+1, 1) above one half."""
    assert adaptive.stands(votes) == pytest.approx(sure)


# Translation


def test_a_completion_survives_the_way_there_and_back():
    said = Completion(
        text="It is 56",
        finish="length",
        usage=Usage(calls=1, prompt_tokens=40, cached_tokens=30, completion_tokens=2),
        logprobs=(TokenLogprob("It is", -0.5), TokenLogprob(" 56", -0.1)),
        tool_calls=(ToolCall(id="1", name="add", arguments='{"a": 1}'),),
    )
    output = translation.output(said, "model")
    assert output.usage.input_tokens == 10, "what was cached is not counted twice"
    assert translation.completion(output) == said


def test_logprobs_of_another_text_are_dropped():
    said = Completion("56", "stop", Usage(calls=1), logprobs=(TokenLogprob("57", -0.5),))
    assert translation.completion(translation.output(said, "model")).logprobs == ()


def test_how_it_is_drawn_and_what_is_said_survive():
    drawn = Sampling(max_tokens=9, temperature=0.3, top_p=0.9, seed=4, stop=("\n",))
    assert translation.sampling(translation.config(drawn)) == drawn
    assert translation.sampling(GenerateConfig()).max_tokens == translation.DEFAULT_TOKENS
    said = (
        Message(role="system", content="Be brief."),
        Message(role="user", content="1 + 1?"),
        Message(role="assistant", content="", tool_calls=(ToolCall(id="1", name="add", arguments='{"a": 1}'),)),
        Message(role="tool", content="2", tool_call_id="1"),
    )
    assert translation.messages(translation.chat(said)) == said


def test_arguments_that_are_no_json_are_said_to_be():
    said = Completion("", "tool_calls", Usage(calls=1), tool_calls=(ToolCall(id="1", name="add", arguments="{a"),))
    (call,) = translation.output(said, "model").choices[0].message.tool_calls
    assert call.arguments == {}
    assert "no JSON" in call.parse_error
