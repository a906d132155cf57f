"""The command line as a person, and a script, meets it: what is printed where, and with which exit code."""

import json
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType

import click
import pytest
from command_line import Command, Ran

from chorus import cli
from chorus.chorus import Chorus
from chorus.debate.scheduler import Debate
from chorus.engines import registry
from chorus.record import jsonl, transcript

QUESTION = "What is 7 * 8?"
CAST = ("--personas", "skeptic,formalist,decomposer")
SCRIPT = """\
default: {text: "I counted.\\nAnswer: 56", confidence: 0.7}
turns:
  - {turn: "1.skeptic", text: "I doubt it.\\nAnswer: 54", confidence: 0.4}
  - {turn: "2.formalist", text: "By rule.\\nAnswer: 65", confidence: 0.1}
"""
OPTIONS = ("--engine", "scripted:s.yaml", *CAST)

CARD = """\
id: gardener
name: The Gardener
summary: Waits for things to grow.
method:
- Ask what season it is.
- Wait for what follows.
cue: Ask what season it is.
voice: Slow and kind.
"""


@pytest.fixture
def command(tmp_path, monkeypatch, capsys) -> Command:
    Path(tmp_path, "s.yaml").write_text(SCRIPT)
    return Command(tmp_path, monkeypatch, capsys)


def saved(command, *more: str) -> Path:
    assert command("ask", QUESTION, *OPTIONS, "--save", "r.jsonl", "-q", *more).code == 0
    return Path("r.jsonl")


# ask


def test_asking_shows_the_debate_and_how_it_ended(command):
    ran = command("ask", QUESTION, *OPTIONS)
    assert ran.code == 0
    assert ran.err == ""
    assert "\x1b" not in ran.out, "no escapes where there is no terminal"
    lines = ran.out.splitlines()
    assert lines[0] == "Question: What is 7 * 8?"
    assert "[1.skeptic] The Skeptic: I doubt it." in lines
    assert "    => 54 (40%)" in lines
    assert "    => 56 (70%) (changed from 54)" in lines, "a flip is marked, with what it was from"
    assert "Answer:     56" in lines
    assert any(line.startswith("Confidence: ") for line in lines)
    assert any(line.startswith("Dissent:    65") and "By rule." in line for line in lines)
    assert any(line.startswith("Cost:       6 calls") for line in lines)


def test_quiet_prints_the_answer_alone(command):
    ran = command("ask", QUESTION, *OPTIONS, "--quiet")
    assert (ran.code, ran.out, ran.err) == (0, "56\n", "")


def test_json_prints_one_object_with_all_there_is_to_know(command):
    ran = command("ask", QUESTION, *OPTIONS, "--json")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.count("\n") == 1
    record = json.loads(ran.out)
    assert record["schema"] == 1
    assert record["status"] == "done"
    assert record["answer"] == "56"
    assert 0 < record["confidence"] < 1
    assert record["dissent"]["answer"] == "65"
    assert record["decision"]["rule"] == "weighted"
    assert record["seed"] == 0
    assert record["plan"]["rounds"] == 2
    assert record["usage"]["calls"] == 6
    assert record["usage"].keys() >= {"calls", "prompt_tokens", "cached_tokens", "completion_tokens", "wall_s"}
    turn = next(turn for turn in record["turns"] if turn["id"] == "2.skeptic")
    assert turn["persona"] == turn["seat"] == "skeptic"
    assert turn["round"] == 2
    assert turn["text"] == "I counted.\nAnswer: 56"
    assert turn["position"] == {
        "answer": "56",
        "confidence": pytest.approx(0.7),
        "ranking": None,
        "signals": {"span": pytest.approx(0.7), "text": pytest.approx(0.7), "stated": None},
    }
    assert turn["flipped_from"] == "54"
    assert sorted(turn["heard"]) == ["1.decomposer", "1.formalist", "1.skeptic"]


def test_the_same_seed_prints_the_same_record(command):
    first, again = (command("ask", QUESTION, *OPTIONS, "--json", "--seed", "7") for _ in range(2))
    assert first.out == again.out
    assert json.loads(first.out)["seed"] == 7


def test_saving_adds_a_record_that_can_be_loaded(command):
    for seed in ("1", "2"):
        assert command("ask", QUESTION, *OPTIONS, "--save", "all.jsonl", "--seed", seed).code == 0
    records = list(transcript.read("all.jsonl"))
    assert [record.seed for record in records] == [1, 2]
    assert [record.answer for record in records] == ["56", "56"]


@pytest.mark.parametrize(("name", "sign"), [("d.svg", "<svg"), ("d.html", "<html"), ("d.graphml", "<graphml")])
def test_drawing_writes_a_picture(command, name, sign):
    assert command("ask", QUESTION, *OPTIONS, "--draw", name).code == 0
    assert sign in Path(name).read_text()


def test_the_question_may_come_from_standard_input(command):
    ran = command("ask", "-", *OPTIONS, "--json", stdin=b"What is\n7 * 8?\n")
    assert json.loads(ran.out)["question"]["question"] == "What is\n7 * 8?\n"


def test_bytes_that_are_no_text_are_read_as_far_as_they_go(command):
    ran = command("ask", "-", *OPTIONS, "--json", stdin=b"What is \xff?")
    assert json.loads(ran.out)["question"]["question"] == "What is \ufffd?"


@pytest.mark.parametrize(
    ("options", "voices", "rounds"),
    [(["--mode", "vote"], 3, 1), (["--mode", "solo"], 1, 1), (["--rounds", "3"], 3, 3), (["--topology", "ring"], 3, 2)],
)
def test_options_shape_the_plan(command, options, voices, rounds):
    plan = json.loads(command("ask", QUESTION, *OPTIONS, *options, "--json").out)["plan"]
    assert (len(plan["seats"]), plan["rounds"]) == (voices, rounds)


def test_settings_come_from_file_then_environment_then_options(command, monkeypatch):
    Path("chorus.toml").write_text('engine = "scripted:s.yaml"\nrounds = 3\nseed = 3\ndecision = "plurality"\n')
    monkeypatch.setenv("CHORUS_SEED", "4")
    monkeypatch.setenv("CHORUS_DECISION", "weighted")
    record = json.loads(command("ask", QUESTION, *CAST, "--decision", "unanimity", "--json").out)
    assert (record["plan"]["rounds"], record["seed"], record["plan"]["decision"]) == (3, 4, "unanimity")


# Exit code 2: what can't be done


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([""], "the question is empty"),
        (["  \n"], "the question is empty"),
        (["x" * 100_000], "the question has 100,000 characters; at most 20,000 can be put to a chorus"),
        ([QUESTION, "--personas", "skeptik"], "skeptik: no such name; did you mean skeptic?"),
        ([QUESTION, "--personas", "./mine"], "mine"),
        ([QUESTION, "--topology", "rings"], "unknown topology 'rings'; did you mean ring?"),
        ([QUESTION, "--topology", "layers:9"], "layers"),
        ([QUESTION, "--decision", "coin"], "unknown decision rule 'coin'"),
        ([QUESTION, "--engine", "oracle:x"], "there is no engine 'oracle'"),
        ([QUESTION, "--engine", "hf"], "'hf' is not an engine SPEC"),
        ([QUESTION, "--engine", "scripted:gone.yaml"], "can't read the script gone.yaml: No such file"),
        ([QUESTION, "--openness", "3"], "openness (arguments): Input should be less than or equal to 1, got 3.0"),
        ([QUESTION, "--openness", "nan"], "openness"),
        ([QUESTION, "--rounds", "0"], "rounds (arguments): Input should be greater than or equal to 1, got 0"),
        ([QUESTION, "--rounds", "two"], "'two' is not a valid integer"),
        ([QUESTION, "--mode", "quarrel"], "'quarrel' is not one of 'debate', 'vote', 'inner', 'solo'"),
        ([QUESTION, "--mode", "vote", "--rounds", "3"], "mode vote has one round"),
        ([QUESTION, "--max-seconds", "0"], "greater than 0"),
        ([QUESTION, "--seed", "-1"], "seed"),
        ([QUESTION, "--save", "no/where.jsonl"], "can't write no/where.jsonl: there is no folder no"),
        ([QUESTION, "--save", "."], "is a directory"),
        ([QUESTION, "--draw", "no/where.svg"], "there is no folder no"),
        ([QUESTION, "--draw", "d.png"], "'d.png': its name should end in .svg, .html, .graphml, .dot"),
        ([QUESTION, "--config", "gone.toml"], "can't read the settings in gone.toml"),
        ([QUESTION, "--colour", "red"], "No such option"),
        ([], "Missing argument 'QUESTION'"),
        ([QUESTION, "another"], "unexpected extra argument"),
    ],
)
def test_what_is_asked_wrongly_is_refused_before_anything_is_said(command, arguments, problem):
    ran = command("ask", *OPTIONS, *arguments)
    assert ran.code == 2
    assert ran.out == ""
    assert problem in ran.err
    assert "Traceback" not in ran.err


def test_a_setting_that_does_not_exist_is_named_with_its_file(command):
    Path("chorus.toml").write_text("tempo = 3\n")
    ran = command("ask", QUESTION, *OPTIONS)
    assert ran.code == 2
    assert "tempo (chorus.toml): no such setting" in ran.err


def test_an_empty_standard_input_is_an_empty_question(command):
    ran = command("ask", "-", *OPTIONS)
    assert (ran.code, ran.err) == (2, "error: the question is empty\n")


def test_a_command_that_does_not_exist_is_refused(command):
    ran = command("sing")
    assert ran.code == 2
    assert "No such command 'sing'" in ran.err


# Exit code 3: what could not be finished


def test_a_debate_without_any_answer_ends_with_3_and_its_record(command):
    Path("s.yaml").write_text("default: {fail: {message: the well is dry}}")
    ran = command("ask", QUESTION, *OPTIONS, "--save", "r.jsonl")
    assert ran.code == 3
    assert "the well is dry" in ran.err.splitlines()[-1]
    assert "Failed:" in ran.out
    (record,) = transcript.read("r.jsonl")
    assert record.status == "failed"
    assert {turn.status for turn in record.turns} == {"failed", "cancelled"}


@pytest.mark.parametrize("flag", ["--json", "--quiet"])
def test_a_debate_without_any_answer_is_told_to_scripts_too(command, flag):
    Path("s.yaml").write_text("default: {text: ''}")
    ran = command("ask", QUESTION, *OPTIONS, flag)
    assert ran.code == 3
    assert ran.err.startswith("error: no answer: ")
    assert (ran.out == "") is (flag == "--quiet")
    if flag == "--json":
        assert json.loads(ran.out)["status"] == "failed"


@pytest.mark.parametrize(
    ("budget", "reason"),
    [
        (["--max-calls", "4"], "the budget of 4 calls is spent"),
        (["--max-total-tokens", "400"], "the budget of 400 tokens is spent"),
        (["--max-seconds", "15"], "the budget of 15 seconds is spent"),
    ],
)
def test_a_spent_budget_gives_the_best_answer_so_far_and_ends_with_3(command, budget, reason):
    Path("s.yaml").write_text("latency: {first: 10}\n" + SCRIPT)
    ran = command("ask", QUESTION, *OPTIONS, *budget, "--json")
    assert ran.code == 3
    record = json.loads(ran.out)
    assert (record["status"], record["answer"]) == ("cut", "56")
    assert reason in record["reason"]


def test_a_model_that_repeats_one_character_is_no_trouble(command):
    Path("s.yaml").write_text("default: {repeat: {char: 'a', times: 65536}}")
    ran = command("ask", QUESTION, *OPTIONS, "--max-tokens", "4096")
    assert ran.code == 3
    assert "no answer" in ran.out


# replay


def test_a_replay_shows_what_was_seen(command):
    seen = command("ask", QUESTION, *OPTIONS, "--save", "r.jsonl")
    ran = command("replay", "r.jsonl")
    assert ran.code == 0
    assert sorted(ran.out.splitlines()) == sorted(seen.out.splitlines())


def test_a_replay_prints_the_record_itself(command):
    file = saved(command)
    assert command("replay", "r.jsonl", "--json").out == file.read_text()


def test_a_replay_decides_by_another_rule(command):
    saved(command)
    ran = command("replay", "r.jsonl", "--decision", "plurality", "--json")
    record = json.loads(ran.out)
    assert (record["decision"]["rule"], record["answer"]) == ("plurality", "56")
    assert record["confidence"] == pytest.approx(2 / 3)


def test_a_ranked_rule_needs_an_engine(command):
    saved(command)
    ran = command("replay", "r.jsonl", "--decision", "borda")
    assert ran.code == 2
    assert ran.err == (
        "error: borda needs a ballot that the record lacks: name an engine to ask for it (--engine SPEC)\n"
    )


def test_a_ranked_rule_with_an_engine_holds_its_ballot(command):
    saved(command)
    Path("votes.yaml").write_text("turns: [{turn: '3.*', text: 'B, A'}]")
    ran = command("replay", "r.jsonl", "--decision", "borda", "--engine", "scripted:votes.yaml", "--json")
    assert ran.code == 0
    record = json.loads(ran.out)
    assert (record["decision"]["rule"], record["answer"]) == ("borda", "65")
    assert [turn["kind"] for turn in record["turns"]].count("ballot") == 3
    assert record["turns"][0]["text"] == "I doubt it.\nAnswer: 54", "what was said stays said"


def test_answers_may_be_checked_afterwards(command):
    saved(command)
    Path("checks.yaml").write_text("turns: [{turn: '3.*', text: 'no'}, {turn: '4.*', text: 'yes'}]")
    ran = command("replay", "r.jsonl", "--decision", "checked", "--engine", "scripted:checks.yaml", "--json")
    assert ran.code == 0
    record = json.loads(ran.out)
    assert (record["decision"]["rule"], record["answer"], record["confidence"]) == ("checked", "65", 1)
    assert [turn["kind"] for turn in record["turns"]].count("check") == 6


def test_one_engine_is_opened_for_all_records(command, monkeypatch):
    for seed in ("1", "2", "3"):
        saved(command, "--seed", seed)
    Path("votes.yaml").write_text("turns: [{turn: '3.*', text: 'B, A'}]")
    opened, closed = [], []
    open_engine = registry.open_engine

    async def count(spec, **options):
        engine = await open_engine(spec, **options)
        opened.append(engine)
        close = engine.aclose

        async def aclose():
            closed.append(engine)
            await close()

        engine.aclose = aclose
        return engine

    monkeypatch.setattr(registry, "open_engine", count)
    ran = command("replay", "r.jsonl", "--decision", "borda", "--engine", "scripted:votes.yaml", "--json")
    assert [json.loads(line)["decision"]["rule"] for line in ran.out.splitlines()] == ["borda"] * 3
    assert (len(opened), closed) == (1, opened)


def test_an_engine_without_a_rule_is_not_passed_over(command):
    saved(command)
    ran = command("replay", "r.jsonl", "--engine", "scripted:s.yaml")
    assert ran.code == 2
    assert "--decision" in ran.err


def test_a_record_cut_short_is_shown_and_never_decided_again(command):
    assert command("ask", QUESTION, *OPTIONS, "--max-calls", "4", "--save", "cut.jsonl").code == 3
    assert "Cut short:" in command("replay", "cut.jsonl").out
    ran = command("replay", "cut.jsonl", "--decision", "plurality")
    assert ran.code == 2
    assert "was cut short (the budget of 4 calls is spent): it can't be decided by another rule" in ran.err


def test_one_of_several_debates_is_picked_by_its_id(command):
    for seed in ("1", "2"):
        saved(command, "--seed", seed)
    one = json.loads(command("replay", "r.jsonl", "--json").out.splitlines()[1])
    assert json.loads(command("replay", "r.jsonl", "--id", one["id"], "--json").out) == one
    ran = command("replay", "r.jsonl", "--id", "another")
    assert (ran.code, ran.err) == (2, "error: r.jsonl holds no debate with the id another\n")


def test_a_replay_draws_one_debate(command):
    saved(command)
    assert command("replay", "r.jsonl", "--draw", "d.svg").code == 0
    assert "<svg" in Path("d.svg").read_text()
    saved(command)
    ran = command("replay", "r.jsonl", "--draw", "d.svg")
    assert ran.code == 2
    assert "pick one with --id" in ran.err


@pytest.mark.parametrize(
    ("content", "problem"),
    [(None, "can't read r.jsonl: No such file"), ("", "r.jsonl holds no debate"), ("{}\n", "r.jsonl, line 1: not a")],
)
def test_a_file_without_debates_is_refused(command, content, problem):
    if content is not None:
        Path("r.jsonl").write_text(content)
    ran = command("replay", "r.jsonl")
    assert ran.code == 2
    assert problem in ran.err


# personas


def test_the_cast_is_listed_by_pack(command):
    out = command("personas", "list").out.splitlines()
    assert {"reasoning", "socratic", "judgement"} <= set(out)
    assert any(line.startswith("  skeptic ") for line in out)
    assert len([line for line in out if line.startswith("  ")]) >= 12


def test_a_card_that_is_shown_is_a_card(command):
    shown = command("personas", "show", "skeptic")
    assert shown.code == 0
    Path("card.yaml").write_text(shown.out)
    ran = command("personas", "validate", "card.yaml")
    assert (ran.code, ran.out) == (0, "1 card is in order\n")


def test_the_cards_of_a_pack_are_told_apart(command):
    assert command("personas", "show", "socratic").out.count("---\nid: ") == 4


def test_a_name_that_no_card_has_is_refused(command):
    ran = command("personas", "show", "skeptik")
    assert ran.code == 2
    assert "did you mean skeptic?" in ran.err


def test_every_fault_of_every_card_is_named(command):
    mine = Path("mine")
    mine.mkdir()
    (mine / "a.yaml").write_text(CARD.replace("name: The Gardener\n", "") + "mood: fine\n")
    (mine / "b.yaml").write_text(CARD.replace("gardener", "Big Gardener"))
    (mine / "c.yaml").write_text("!!python/object/apply:os.system [ls]")
    (mine / "d.yaml").write_text("a: &a [*a]")
    (mine / "e.yaml").write_text("# " + "x" * 10_000_000)
    ran = command("personas", "validate", "mine")
    assert ran.code == 2
    assert ran.out == ""
    faults = ran.err.splitlines()
    for file, field in (("a", "name"), ("a", "mood"), ("b", "id"), ("c", ""), ("d", ""), ("e", "")):
        assert any(line.startswith(f"mine/{file}.yaml: {field}") for line in faults), (file, field, faults)


def test_a_persona_of_ones_own_speaks(command):
    Path("mine").mkdir()
    Path("mine/gardener.yaml").write_text(CARD)
    assert command("personas", "validate", "mine").out == "1 card is in order\n"
    assert "gardener" in command("personas", "list", "mine").out
    ran = command("ask", QUESTION, "--engine", "scripted:s.yaml", "--personas", "./mine,skeptic", "--save", "r.jsonl")
    assert ran.code == 0
    assert "[1.gardener] The Gardener: I counted." in ran.out
    assert "The Gardener" in command("replay", "r.jsonl", "--personas", "mine").out


def test_personas_of_ones_own_are_asked_again(command):
    Path("mine").mkdir()
    Path("mine/sailor.yaml").write_text(CARD.replace("gardener", "sailor").replace("The Gardener", "Old Jack"))
    Path("s.yaml").write_text("turns: [{turn: '*.sailor', text: 'Answer: 3'}, {turn: '*', text: 'Answer: 56'}]")
    asked = ("ask", QUESTION, "--engine", "scripted:s.yaml", "--personas", "./mine,skeptic", "--save", "r.jsonl")
    assert command(*asked).code == 0
    Path("votes.yaml").write_text("default: {text: 'A, B'}")
    again = ("replay", "r.jsonl", "--decision", "borda", "--engine", "scripted:votes.yaml")
    assert "no such name" in command(*again).err
    ran = command(*again, "--personas", "mine")
    assert ran.code == 0
    assert "[3.sailor] Old Jack: A, B" in ran.out


# models


def test_the_catalogue_names_what_each_model_needs(command):
    out = command("models", "list").out
    assert "smollm2-135m " in out
    assert "GPU" in out
    row = next(line for line in out.splitlines() if line.startswith("smollm2-135m "))
    assert " -  " in row, "it is not in this cache"


def test_the_path_of_a_folder_is_itself(command, tmp_path):
    Path("model").mkdir()
    Path("model/config.json").write_text("{}")
    assert command("models", "path", "model").out == f"{tmp_path / 'model'}\n"


@pytest.mark.parametrize(
    ("name", "code", "problem"),
    [
        ("smollm2-135m", 3, "smollm2-135m is not on this machine yet: chorus models pull smollm2-135m"),
        ("gpt-9", 2, "no model 'gpt-9'"),
        ("cache", 2, "cache is a folder without a config.json"),
    ],
)
def test_a_model_that_is_not_here_is_named(command, name, code, problem):
    Path("cache").mkdir()
    ran = command("models", "path", name)
    assert (ran.code, ran.out) == (code, "")
    assert problem in ran.err


# Help


def commands(command=cli.chorus, words=()):
    yield words
    for name, child in getattr(command, "commands", {}).items():
        yield from commands(child, (*words, name))


@pytest.mark.parametrize("words", list(commands()), ids=" ".join)
def test_every_command_explains_itself(command, words):
    ran = command(*words, "--help")
    assert ran.code == 0
    assert ran.out.startswith(f"Usage: {' '.join(('chorus', *words))}")


def test_the_version_is_the_package_s(command):
    assert command("--version").out.startswith("chorus, version 0.1.")


def test_another_distribution_brings_a_command_that_is_loaded_when_it_is_called(command, monkeypatch):
    sings = click.Command("sing", callback=lambda: click.echo("la"), help="Sing a song.")
    point = EntryPoint("sing", "a_songbook:command", cli.GROUP)
    monkeypatch.setattr(cli, "_plugins", lambda: (point,))
    missing = command("sing", "--loudly")
    assert (missing.code, missing.out) == (2, "")
    assert "the command 'sing' of a_songbook:command can't be loaded: No module named 'a_songbook'" in missing.err
    assert "can't be loaded" in command("--help").out, "and no other command suffers"
    songbook = ModuleType("a_songbook")
    songbook.command = sings
    monkeypatch.setitem(sys.modules, "a_songbook", songbook)
    assert "Sing a song." in command("--help").out
    assert command("sing") == Ran(0, "la\n", "")


# Faults of ours


def test_a_fault_of_ours_keeps_what_was_said_and_shows_its_traceback(command, monkeypatch):
    async def broken(self):
        async for event in whole(self):
            yield event
            if getattr(event, "turn", None) and event.event == "turn_finished":
                raise ZeroDivisionError("a fault")

    whole = Debate.run
    monkeypatch.setattr(Debate, "run", broken)
    with pytest.raises(ZeroDivisionError):
        command("ask", QUESTION, *OPTIONS, "--save", "r.jsonl")
    (record,) = transcript.read("r.jsonl")
    assert any(turn.status == "done" for turn in record.turns)
    assert record.reason == "a fault"


def test_the_library_gives_the_same_answer_as_the_command(command):
    with Chorus("scripted:s.yaml", "skeptic,formalist,decomposer") as library:
        answer = library.ask(QUESTION)
    assert jsonl.dumps(answer) + "\n" == command("ask", QUESTION, *OPTIONS, "--json").out
