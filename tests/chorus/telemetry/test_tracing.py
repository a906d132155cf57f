"""Traces of scripted debates: what spans there are, under which others, and what they say and don't say."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from contextlib import aclosing

import pytest
from command_line import Command
from debates import SEATS, SUM, after, cast, engine, fails, in_virtual_time, plan, until
from opentelemetry import trace
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from chorus import Chorus, DebateFailed
from chorus.debate.budget import Limits
from chorus.debate.scheduler import Debate
from chorus.engines.scripted import ScriptedEngine
from chorus.errors import ConfigError, MissingExtra
from chorus.record import events
from chorus.telemetry import genai
from chorus.telemetry.passage import Passage
from chorus.telemetry.tracing import Tracing
from chorus.types import Message, Question, ToolCall

pytestmark = pytest.mark.usefixtures("bare_place")


class Traces:
    """A program's own tracing, and the spans that came out of it, in the order in which they ended."""

    def __init__(self):
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))

    @property
    def spans(self):
        return self.exporter.get_finished_spans()

    @property
    def debate(self):
        (found,) = [span for span in self.spans if span.name.startswith("invoke_workflow")]
        return found

    @property
    def rounds(self):
        return {span.attributes["chorus.round"]: span for span in self.spans if span.name.startswith("round")}

    @property
    def turns(self):
        return {span.attributes["chorus.turn"]: span for span in self.spans if span.name.startswith("chat")}

    def text(self):
        return "".join(span.to_json() for span in self.spans)


@pytest.fixture
def traces(monkeypatch):
    made = Traces()
    # The program's provider can be set only once in a process.
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: made.provider)
    yield made
    made.provider.shutdown()


def traced(speaker, of=None, question=SUM, tracing=None, **limits):
    """A debate that has not begun, observed."""
    of, observer = of or plan(), (tracing or Tracing()).debate()
    return Debate(of, question, cast(of), observer.engine(speaker), limits=Limits(**limits), observer=observer)


def hold(*args, **more):
    return in_virtual_time(traced(*args, **more).hold())


def parent(span):
    return span.parent.span_id if span.parent else None


# ---- which spans there are ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("listening", [True, False])
def test_turns_stand_under_rounds_and_rounds_under_the_debate(traces, listening):
    async def listen():
        async with aclosing(traced(engine()).run()) as stream:
            return await until(stream, events.Decided)

    in_virtual_time(listen()) if listening else hold(engine())
    assert len(traces.spans) == 1 + 2 + 6
    assert traces.debate.parent is None
    assert {parent(span) for span in traces.rounds.values()} == {traces.debate.context.span_id}
    for name, span in traces.turns.items():
        assert parent(span) == traces.rounds[int(name[0])].context.span_id
    assert len({span.context.trace_id for span in traces.spans}) == 1
    assert {span.status.status_code for span in traces.spans} == {StatusCode.UNSET}


def test_a_round_lasts_from_its_first_start_to_its_last_end_though_rounds_overlap(traces):
    speaker = engine({"1.skeptic": after(9), "*": after(1)})
    hold(speaker, plan("chain", SEATS))
    turns, rounds = traces.turns, traces.rounds
    assert turns["2.formalist"].start_time < turns["1.skeptic"].end_time, "a dataflow"
    for number, span in rounds.items():
        held = [turn for name, turn in turns.items() if name.startswith(f"{number}.")]
        assert span.attributes["chorus.turns"] == len(held) == 3
        assert span.start_time <= min(turn.start_time for turn in held)
        assert span.end_time == max(turn.end_time for turn in held)
    assert traces.debate.start_time <= rounds[1].start_time
    assert traces.debate.end_time >= rounds[2].end_time


@pytest.mark.parametrize(
    ("rule", "kind", "rounds"),
    [
        ("borda", "ballot", {1, 2}),
        ("checked", "check", {1, 2, 3}),
        ("judge", "ruling", {1, 2}),
        ("synthesis", "synthesis", {1, 2}),
    ],
)
def test_what_is_said_after_the_last_round_has_a_round_of_its_own(traces, rule, kind, rounds):
    speaker = engine({"1.skeptic": "Answer: 54"})
    answer = hold(speaker, plan("none", rounds=1, decision=rule))
    closing = {turn.id for turn in answer.turns if turn.kind == kind}
    assert closing
    assert {name for name, span in traces.turns.items() if span.attributes["chorus.kind"] == kind} == closing
    assert set(traces.rounds) == rounds


def test_an_inner_chorus_is_one_call_and_so_one_turn(traces):
    answer = hold(engine(default="Skeptic: It is 56.\nEstimator: Yes.\nAnswer: 56"), plan("none", mode="inner"))
    assert len(answer.turns) > 1
    assert len(traces.turns) == len(traces.rounds) == 1
    assert traces.debate.name == "invoke_workflow inner"


def test_a_turn_that_never_began_has_no_span(traces):
    answer = hold(engine(), max_calls=4, concurrency=1)
    statuses = {turn.id: turn.status for turn in answer.turns}
    assert sorted(statuses.values()) == ["cancelled"] * 2 + ["done"] * 4
    assert set(traces.turns) == {name for name, status in statuses.items() if status == "done"}
    assert traces.debate.attributes["chorus.status"] == "cut"
    assert traces.debate.attributes["chorus.reason"] == "the budget of 4 calls is spent"
    assert traces.debate.status.status_code is StatusCode.UNSET


# ---- what they say -----------------------------------------------------------------------------------------------


def test_a_debate_says_what_it_was_and_what_became_of_it(traces):
    answer = hold(engine(default={"text": "Answer: 56", "confidence": 0.5}))
    assert traces.debate.name == "invoke_workflow debate"
    assert traces.debate.kind is SpanKind.INTERNAL
    said = traces.debate.attributes
    assert said["gen_ai.operation.name"] == "invoke_workflow"
    assert said["gen_ai.workflow.name"] == "debate"
    assert said["gen_ai.conversation.id"] == answer.id
    assert said["chorus.seats"] == SEATS
    assert (said["chorus.decision"], said["chorus.rounds"]) == ("borda", 2)
    assert (said["chorus.status"], said["chorus.confidence"], said["chorus.dissent"]) == ("done", 1.0, False)
    assert said["chorus.usage.calls"] == answer.usage.calls == 6
    assert said["chorus.usage.input_tokens"] == answer.usage.prompt_tokens


def test_a_turn_says_what_was_asked_of_the_model_and_what_came(traces):
    reply = {"text": "It is so.\nAnswer: 56", "confidence": 0.5, "cached_tokens": 7, "latency": {"first": 3}}
    of = plan("complete", rounds=2)
    of = of.model_copy(update={"seats": tuple(s.model_copy(update={"temperature": 0.7}) for s in of.seats)})
    answer = hold(engine({"1.skeptic": "Answer: 54"}, default=reply), of)
    turn = next(turn for turn in answer.turns if turn.id == "2.skeptic")
    span = traces.turns["2.skeptic"]
    assert span.name == "chat memory"
    assert span.kind is SpanKind.INTERNAL, "the model runs in this process"
    expected = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "scripted",
        "gen_ai.request.model": "memory",
        "gen_ai.conversation.id": answer.id,
        "gen_ai.agent.name": "skeptic",
        "gen_ai.request.max_tokens": 64,
        "gen_ai.request.temperature": 0.7,
        "gen_ai.request.top_p": 1.0,
        "gen_ai.request.seed": turn.seed,
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.response.time_to_first_chunk": 3,
        "gen_ai.usage.input_tokens": turn.usage.prompt_tokens,
        "gen_ai.usage.cache_read.input_tokens": 7,
        "gen_ai.usage.output_tokens": turn.usage.completion_tokens,
        "chorus.turn": "2.skeptic",
        "chorus.round": 2,
        "chorus.seat": "skeptic",
        "chorus.persona": "skeptic",
        "chorus.kind": "speech",
        "chorus.heard": turn.heard,
        "chorus.status": "done",
        "chorus.calls": 1,
        "chorus.position.taken": True,
        "chorus.position.flipped": True,
        "chorus.position.confidence": pytest.approx(0.5),
    }
    said = dict(span.attributes)
    assert said.pop("gen_ai.request.stop_sequences")
    assert said == expected


def test_a_server_is_named_and_called_as_a_client(traces):
    hold(engine(), plan("none", rounds=1, engine="openai:http://ann:pass@10.0.0.7:8000/v1#org/model"))
    span = traces.turns["1.skeptic"]
    assert (span.name, span.kind) == ("chat org/model", SpanKind.CLIENT)
    assert (span.attributes["server.address"], span.attributes["server.port"]) == ("10.0.0.7", 8000)
    assert "pass@" not in traces.text()


def test_they_are_ours_by_name_version_and_schema(traces):
    hold(engine())
    scope = traces.debate.instrumentation_scope
    assert (scope.name, scope.schema_url) == ("chorus", "https://opentelemetry.io/schemas/1.41.0")
    assert scope.version


# ---- when things go wrong ----------------------------------------------------------------------------------------


def test_a_failed_turn_is_an_error_and_the_debate_is_not(traces):
    hold(engine({"1.skeptic": fails("the server is down")}), plan("none", rounds=1))
    span = traces.turns["1.skeptic"]
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "the server is down")
    assert span.attributes["error.type"] == "EngineError"
    assert span.attributes["chorus.status"] == "failed"
    assert "gen_ai.usage.input_tokens" not in span.attributes, "nobody knows"
    assert traces.turns["1.formalist"].status.status_code is StatusCode.UNSET
    assert traces.debate.status.status_code is StatusCode.UNSET


def test_the_kind_of_error_is_told(traces):
    hold(engine({"1.skeptic": fails("too long", context_too_long=True)}), plan("none", rounds=1))
    assert traces.turns["1.skeptic"].attributes["error.type"] == "ContextTooLong"


def test_a_turn_that_failed_before_its_call_is_seen_all_the_same(traces):
    answer = hold(engine(context_window=80), plan("none", rounds=1))
    assert {turn.status for turn in answer.turns} == {"failed"}
    assert set(traces.turns) == {turn.id for turn in answer.turns}
    assert {span.status.status_code for span in traces.turns.values()} == {StatusCode.ERROR}
    assert {span.attributes["error.type"] for span in traces.turns.values()} == {"_OTHER"}


def test_a_debate_that_decided_nothing_is_an_error(traces):
    hold(engine(default=fails("the server is down")))
    assert traces.debate.status.status_code is StatusCode.ERROR
    assert "the server is down" in traces.debate.status.description
    assert traces.debate.attributes["error.type"] == "DebateFailed"
    assert traces.debate.attributes["chorus.status"] == "failed"


def test_a_turns_span_covers_all_its_attempts(traces):
    hold(engine({"1.skeptic": fails("busy", times=2, retryable=True)}), plan("none", rounds=1))
    span = traces.turns["1.skeptic"]
    assert [(event.name, dict(event.attributes)) for event in span.events] == [
        ("chorus.retry", {"chorus.attempt": 1, "chorus.reason": "busy"}),
        ("chorus.retry", {"chorus.attempt": 2, "chorus.reason": "busy"}),
    ]
    assert (span.attributes["chorus.calls"], span.attributes["chorus.status"]) == (3, "done")
    assert span.status.status_code is StatusCode.UNSET
    assert "error.type" not in span.attributes
    assert len(traces.turns) == 3


def test_a_turn_that_was_stopped_is_no_error(traces):
    hold(engine({"1.formalist": after(9), "*": after(1)}), plan("none", rounds=1, decision="plurality"))
    span = traces.turns["1.formalist"]
    assert span.attributes["chorus.status"] == "cancelled"
    assert span.attributes["chorus.reason"] == "the outcome could no longer change"
    assert span.status.status_code is StatusCode.UNSET
    assert traces.debate.attributes["chorus.status"] == "done"


@pytest.mark.parametrize("listening", [True, False])
def test_a_debate_that_is_left_ends_all_its_spans(traces, listening):
    async def leave():
        held = traced(engine(default=after(5)))
        if listening:
            async with aclosing(held.run()) as stream:
                await until(stream, events.TurnFinished)
                await asyncio.sleep(2)
        else:
            task = asyncio.create_task(held.hold())
            await asyncio.sleep(7)
            task.cancel()
            await asyncio.wait([task])

    in_virtual_time(leave())
    statuses = {name: span.attributes["chorus.status"] for name, span in traces.turns.items()}
    assert sorted(statuses.values()) == ["cancelled"] * 3 + ["done"] * 3
    assert set(traces.rounds) == {1, 2}
    assert traces.debate.attributes["chorus.status"] == "abandoned"
    assert traces.debate.status.status_code is StatusCode.UNSET


@pytest.mark.parametrize("listening", [True, False])
def test_a_fault_of_ours_is_told_and_ends_all_spans(traces, listening):
    def broken(request):
        if request.id == "1.skeptic":
            raise RuntimeError("a fault of ours")
        return after(5)["text"]

    async def listen():
        held = traced(ScriptedEngine(broken))
        if not listening:
            await held.hold()
        async with aclosing(held.run()) as stream:
            await until(stream, events.Decided)

    with pytest.raises(RuntimeError, match="a fault of ours"):
        in_virtual_time(listen())
    assert traces.debate.status.status_code is StatusCode.ERROR
    assert traces.debate.attributes["error.type"] == "RuntimeError"
    assert traces.turns["1.skeptic"].attributes["error.type"] == "RuntimeError"
    assert set(traces.rounds) == {1}
    assert traces.rounds[1].end_time >= traces.turns["1.skeptic"].end_time


def test_a_fault_in_the_programs_tracing_never_reaches_the_debate(traces, caplog):
    class Broken(SpanProcessor):
        def on_start(self, span, parent_context=None):
            if span.name.startswith("chat"):
                raise RuntimeError("the collector's client is broken")

    traces.provider.add_span_processor(Broken())
    answer = hold(engine())
    assert (answer.status, answer.answer, len(answer.turns)) == ("done", "56", 6)
    assert "the trace of a debate ends here" in caplog.text
    assert len(caplog.records) == 1


# ---- what they don't say -----------------------------------------------------------------------------------------

SECRET = Question(
    text="Is the swordfish 7 * 8?", kind="number", history=(Message(role="user", content="Hello, swordfish."),)
)


def test_no_word_of_what_was_asked_or_said_is_in_them(traces):
    hold(engine({"1.skeptic": "A swordfish.\nAnswer: 4711"}, default="Swordfish!\nAnswer: 4712"), question=SECRET)
    assert "swordfish" not in traces.text().lower()
    for span in traces.spans:
        assert {"4711", "4712"}.isdisjoint(map(str, span.attributes.values()))
        assert not {"gen_ai.input.messages", "gen_ai.output.messages", "chorus.position.answer"} & set(span.attributes)


@pytest.mark.parametrize("value", ["true", "True", "SPAN_ONLY", "span_and_event"])
def test_the_environment_lets_the_words_in(traces, monkeypatch, value):
    monkeypatch.setenv(genai.CAPTURE, value)
    hold(engine(default="It is so.\nAnswer: 56"), plan("none", rounds=1), question=SECRET)
    asked = json.loads(traces.debate.attributes["gen_ai.input.messages"])
    assert [message["parts"][0]["content"] for message in asked] == ["Hello, swordfish.", "Is the swordfish 7 * 8?"]
    (answered,) = json.loads(traces.debate.attributes["gen_ai.output.messages"])
    assert answered["parts"] == [{"type": "text", "content": "56"}]
    said = traces.turns["1.skeptic"].attributes
    assert json.loads(said["gen_ai.output.messages"]) == [
        {
            "role": "assistant",
            "parts": [{"type": "text", "content": "It is so.\nAnswer: 56"}],
            "finish_reason": "stop",
        }
    ]
    assert "Is the swordfish 7 * 8?" in said["gen_ai.input.messages"]
    assert said["chorus.position.answer"] == "56"


@pytest.mark.parametrize("value", ["", "false", "0", "NO_CONTENT", "EVENT_ONLY"])
def test_any_other_value_keeps_them_out(traces, monkeypatch, value):
    monkeypatch.setenv(genai.CAPTURE, value)
    hold(engine(), question=SECRET)
    assert "swordfish" not in traces.text()


def test_messages_about_tools_are_told_in_the_conventions_shape():
    call = ToolCall(id="c1", name="add", arguments='{"a": 1}')
    messages = [
        Message(role="assistant", content="", tool_calls=(call,)),
        Message(role="tool", content="2", tool_call_id="c1"),
    ]
    assert json.loads(genai.input_messages(messages)) == [
        {
            "role": "assistant",
            "parts": [{"type": "tool_call", "id": "c1", "name": "add", "arguments": '{"a": 1}'}],
        },
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": "2"}]},
    ]


# ---- above and below ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["ask", "aask", "stream"])
def test_a_debate_inside_a_callers_span_is_its_child(traces, how):
    async def inside(chorus):
        async with chorus:
            if how == "aask":
                await chorus.aask("What is 7 * 8?")
            else:
                async with aclosing(chorus.stream("What is 7 * 8?")) as stream:
                    await until(stream, events.Decided)

    chorus = Chorus(engine(), telemetry="otel")
    with traces.provider.get_tracer("caller").start_as_current_span("handle request") as caller:
        if how == "ask":
            with chorus:
                chorus.ask("What is 7 * 8?")
        else:
            in_virtual_time(inside(chorus))
    assert parent(traces.debate) == caller.context.span_id
    assert {span.context.trace_id for span in traces.spans} == {caller.context.trace_id}


def test_what_the_engine_does_for_a_turn_is_a_child_of_the_turn(traces):
    class Instrumented(Passage):
        async def generate(self, request, emit):
            with traces.provider.get_tracer("http").start_as_current_span("POST", attributes={"turn": request.id}):
                return await super().generate(request, emit)

    hold(Instrumented(ScriptedEngine(lambda request: "Answer: 56")))
    posts = [span for span in traces.spans if span.name == "POST"]
    assert len(posts) == 6
    for post in posts:
        assert parent(post) == traces.turns[post.attributes["turn"]].context.span_id


def test_debates_at_once_have_a_trace_each(traces):
    async def both():
        async with Chorus(engine(default=after(1)), telemetry="otel") as chorus:
            await asyncio.gather(*(chorus.aask(f"What is {number} * 8?") for number in range(5)))

    in_virtual_time(both())
    by_trace = {}
    for span in traces.spans:
        by_trace.setdefault(span.context.trace_id, set()).add(span.attributes["gen_ai.conversation.id"])
    assert len(by_trace) == 5
    assert all(len(named) == 1 for named in by_trace.values())


# ---- on and off --------------------------------------------------------------------------------------------------


def test_they_are_off_unless_asked_for(traces, monkeypatch):
    with Chorus(engine()) as chorus:
        chorus.ask("What is 7 * 8?")
    assert traces.spans == ()
    monkeypatch.setenv("CHORUS_TELEMETRY", "otel")
    with Chorus(engine()) as chorus:
        chorus.ask("What is 7 * 8?")
    assert len(traces.spans) == 9


def test_a_failed_debate_raises_as_it_does_without(traces):
    with Chorus(engine(default=fails()), telemetry="otel") as chorus, pytest.raises(DebateFailed):
        chorus.ask("What is 7 * 8?")
    assert traces.debate.status.status_code is StatusCode.ERROR


def test_the_record_is_the_same_with_and_without(traces):
    def asked(**settings):
        with Chorus(engine(default=after(2)), **settings) as chorus:
            return chorus.ask("What is 7 * 8?")

    assert asked() == asked(telemetry="otel")


def test_the_command_line_switches_them_on(traces, monkeypatch, capsys, tmp_path):
    (tmp_path / "script.yaml").write_text('default: {text: "Answer: 56"}\n')
    command = Command(tmp_path, monkeypatch, capsys)
    asked = ("ask", "What is 7 * 8?", "--engine", "scripted:script.yaml", "--quiet")
    assert command(*asked).out == "56\n"
    assert traces.spans == ()
    assert command(*asked, "--telemetry", "otel").out == "56\n"
    assert len(traces.spans) == 9


def test_the_command_line_names_what_is_missing(monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    ran = Command(tmp_path, monkeypatch, capsys)("ask", "x", "--telemetry", "otel")
    assert ran.code == 2
    assert "pip install 'greek-chorus[telemetry]'" in ran.err


def test_without_a_provider_nothing_happens_and_nothing_fails():
    with Chorus(engine(), telemetry="otel") as chorus:
        assert chorus.ask("What is 7 * 8?").answer == "56"


def test_a_way_of_telling_that_there_isnt_is_refused():
    with pytest.raises(ConfigError, match=r"telemetry \(arguments\)"):
        Chorus(engine(), telemetry="zipkin")


def test_without_its_package_the_install_line_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(MissingExtra, match=r"pip install 'greek-chorus\[telemetry\]'"):
        Chorus(engine(), telemetry="otel")


def test_neither_package_is_imported_unless_asked_for():
    program = (
        "import json, sys, chorus.telemetry.counters, chorus.telemetry.tracing, chorus.telemetry.metered, chorus.cli.ask\n"
        "from chorus import Chorus\n"
        "Chorus('scripted:x.yaml')\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert {"opentelemetry", "prometheus_client"}.isdisjoint(json.loads(done.stdout))
