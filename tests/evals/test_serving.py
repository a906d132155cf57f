"""The serving benchmark, on a stand-in for the server: what is measured, how it is told, and that it can be cut off."""

import asyncio
import contextlib
import json
from dataclasses import replace
from itertools import pairwise

import pytest
from fake_openai_server import error
from measured import CountingServer, counting_server

from evals.bench import serving, serving_table
from evals.bench.holding import Bench, Held
from evals.bench.ways import BATCH, CONCURRENT, EVEN, LIMIT, OURS, PARTS, SERIAL, UNEVEN, Cell, Way

CELL = Cell("even", OURS, 1, 0, 10.0, 9000, 8000, 480, 15, 0.3, 2.0, 3.0)


@pytest.fixture(autouse=True)
def neither_tokenizer_nor_plot(monkeypatch):
    monkeypatch.setattr(serving, "encoder", lambda model: lambda messages: messages)
    monkeypatch.setattr(serving_table, "plot", lambda path, cells: None)


def arguments(folder, *more):
    return ["--debates=1", "--repeats=1", "--tokens=4", f"--folder={folder}", *more]


def cells_in(folder) -> list[Cell]:
    return [Cell(**cell) for cell in json.loads((folder / "serving.json").read_text())["data"]["cells"]]


def named(name: str) -> Way:
    return next(way for way in EVEN if way.name == name)


def hold(way: Way, part: str = "even", *replies) -> tuple[Held, list[dict]]:
    """Hold one debate, and return what was noted and what the server was sent."""
    with counting_server() as server:
        server.fake.replies += replies
        held = asyncio.run(Bench(server, 4, 0).hold(part, way, 1))
        return held, server.fake.chats


# ---- holding ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", [way for way in EVEN if not way.may_stop], ids=lambda way: way.name)
def test_every_way_holds_the_same_debate(way):
    held, chats = hold(way)
    assert len(chats) == held.begun == len(held.calls) == 15
    assert {chat["max_tokens"] for chat in chats} == {4}
    assert all(chat["ignore_eos"] for chat in chats)
    assert {turn.status for turn in held.answers[0].turns} == {"done"}
    assert {turn.position.answer for turn in held.answers[0].turns} == {"56"}


def test_the_persona_comes_first_in_one_layout_and_last_in_the_other():
    def first_messages(name):
        _, chats = hold(named(name))
        return {chat["messages"][0]["content"] for chat in chats}

    assert len(first_messages(CONCURRENT)) == 5
    assert len(first_messages(OURS)) == 1


def test_serial_calls_never_overlap():
    held, _ = hold(named(SERIAL))
    calls = sorted(held.calls, key=lambda call: call.began)
    assert all(before.ended <= after.began for before, after in pairwise(calls))


@pytest.mark.parametrize("barrier", [True, False])
def test_only_a_barrier_waits_for_turns_that_it_does_not_hear(barrier):
    held, _ = hold(Way("", topology="ring", barrier=barrier), "uneven")
    ended = {call.request.id: call.ended for call in held.calls}
    whole = max(time for turn, time in ended.items() if turn.startswith("1."))
    second = [call for call in held.calls if call.request.id.startswith("2.")]
    assert all(call.began >= max(ended[turn] for turn in held.heard[call.request.id]) for call in second)
    if barrier:
        assert all(call.began >= whole for call in second)


def test_uneven_turns_have_the_same_lengths_in_every_way():
    def lengths(way):
        held, _ = hold(way, "uneven")
        return {call.request.id: call.completion.usage.completion_tokens for call in held.calls}

    one, other = lengths(UNEVEN[0]), lengths(UNEVEN[-2])
    assert one == other
    assert len(set(one.values())) > 3


def test_the_settings_of_whoever_runs_it_change_nothing(monkeypatch, tmp_path):
    def prompts():
        _, chats = hold(named(SERIAL))
        return [chat["messages"] for chat in chats]

    before = prompts()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "chorus.toml").write_text("openness = 1.0\n")
    monkeypatch.setenv("CHORUS_PERSONAS", "socratic")
    assert prompts() == before


def test_a_debate_that_lost_a_turn_is_no_measurement():
    with pytest.raises(RuntimeError, match=r"ours, dataflow: 1 turns were not spoken.*out of memory"):
        hold(named(OURS), "even", error(500, "out of memory"))


# ---- the command -----------------------------------------------------------------------------------------------------


def test_everything_is_measured_once_before_anything_is_measured_again():
    once = [("even", 1, 0), ("uneven", 1, 0), ("even", 4, 0), ("even", 16, 0)]
    assert list(serving.plan([1, 4, 16], 2)) == [*once, ("even", 1, 1), ("uneven", 1, 1)]
    assert list(serving.plan([4], 3)) == [("even", 4, 0)]


def test_the_command_measures_all_ways_and_writes_a_table(tmp_path, capsys):
    serving.main(arguments(tmp_path), counting_server)
    cells = cells_in(tmp_path)
    assert {cell.way for cell in cells if cell.part == "even"} == {way.name for way in EVEN} | {LIMIT, BATCH}
    assert {cell.way for cell in cells if cell.part == "uneven"} == {way.name for way in UNEVEN}
    limit = {cell.way: cell for cell in cells if cell.part == "even"}
    assert limit[LIMIT].prompt_tokens == limit[BATCH].prompt_tokens == limit[OURS].prompt_tokens
    table = (tmp_path / "serving.md").read_text()
    assert table in capsys.readouterr().out
    assert table.count("aim, one debate:") == 4
    assert "along its longest path" in table


def test_a_quick_look_is_at_even_turns_only(tmp_path):
    serving.main(["--quick", f"--folder={tmp_path}"], counting_server)
    assert {cell.part for cell in cells_in(tmp_path)} == {"even"}
    assert "uneven" not in (tmp_path / "serving.md").read_text()


def test_the_cache_is_emptied_before_every_measurement(tmp_path):
    seen: list[CountingServer] = []

    @contextlib.contextmanager
    def start(model, given):
        with counting_server() as server:
            seen.append(server)
            yield server

    serving.main(arguments(tmp_path, "--debates=2"), start)
    warm_up_and_profile = 3
    assert seen[0].resets == len(cells_in(tmp_path)) + warm_up_and_profile


def test_a_run_that_was_cut_off_goes_on_where_it_stopped(tmp_path, monkeypatch):
    class CutOff(Bench):
        def measure(self, part, debates, repeat, kept=lambda: None):
            def cut():
                kept()
                if len(self.cells) >= 5:
                    raise KeyboardInterrupt

            super().measure(part, debates, repeat, cut)

    monkeypatch.setattr(serving, "Bench", CutOff)
    with pytest.raises(KeyboardInterrupt):
        serving.main(arguments(tmp_path, "--debates=2"), counting_server)
    before = cells_in(tmp_path)
    assert 5 <= len(before) < 9
    monkeypatch.setattr(serving, "Bench", Bench)
    serving.main(arguments(tmp_path, "--debates=2"), counting_server)
    after = cells_in(tmp_path)
    assert after[: len(before)] == before
    assert len(after) == len({cell.key for cell in after}) == 9


@pytest.mark.parametrize("change", ["--anew", "--tokens=5", "--seed=1", "--engine-args=--block-size 16", "--model=m"])
def test_figures_of_other_settings_are_not_mixed_in(tmp_path, change):
    options = serving.parse(arguments(tmp_path))
    serving.write(options, [CELL], {})
    assert serving.kept(options) == ([CELL], {})
    assert serving.kept(serving.parse(arguments(tmp_path, change))) == ([], {})


def test_a_result_names_the_command_that_gives_it_again(tmp_path):
    assert serving.parse([f"--folder={tmp_path}", "--anew"]).command == "python -m evals.bench.serving"
    words = ["--tokens=64", "--engine-args=--block-size 16"]
    again = serving.parse(words).command
    assert again == "python -m evals.bench.serving --tokens=64 '--engine-args=--block-size 16'"


# ---- the table -------------------------------------------------------------------------------------------------------


def test_ratios_are_taken_repeat_by_repeat():
    ours = [replace(CELL, repeat=number, wall_s=wall) for number, wall in enumerate((10.0, 20.0, 10.0))]
    serial = [replace(CELL, way=SERIAL, repeat=number, wall_s=wall) for number, wall in enumerate((30.0, 80.0))]
    assert serving_table.ratios(ours, serial, lambda cell: cell.wall_s) == [3.0, 4.0]
    row = dict(zip(serving_table.COLUMNS, serving_table.rows([*ours, *serial])[1], strict=True))
    assert (row["way"], row["wall s"], row["min–max"], row["serial / this"]) == (OURS, 10.0, "10.0–20.0", 3.5)
    assert row["concurrent / this"] == ""
    assert row["computed"] == 1000


def test_aims_are_met_or_missed_by_the_median_of_the_repeats():
    others = [
        replace(CELL, way=SERIAL, wall_s=31.0),
        replace(CELL, way=CONCURRENT, wall_s=15.0, cached_tokens=6000),
        replace(CELL, way=LIMIT, wall_s=9.0),
    ]
    told = serving_table.verdicts([CELL, *others])
    verdicts = ["MISSED" if "MISSED" in one else "met" for one in told]
    assert verdicts == ["met", "MISSED", "MISSED", "met"]
    assert "ratio 3.10; repeats 3.10" in told[0]


def test_nothing_is_claimed_of_what_was_not_measured():
    assert serving_table.verdicts([CELL]) == []
    assert serving_table.gains([CELL]) == []


def test_the_gain_of_a_dataflow_is_told_for_each_graph():
    barrier, dataflow = (replace(CELL, part="uneven", way=f"{name}, ring") for name in ("barrier", "dataflow"))
    (told,) = serving_table.gains([replace(barrier, wall_s=12.0), dataflow])
    assert told.endswith("ring 1.20 (1.20)")


def test_every_measurement_has_a_way_of_its_own():
    for ways in PARTS.values():
        assert len({way.name for way in ways}) == len(ways)


@pytest.mark.vllm
@pytest.mark.timeout(1200)
def test_on_a_real_server(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib", reason="needs the `bench` extra")
    monkeypatch.undo()
    serving.main(["--quick", f"--folder={tmp_path}"])
    cells = {cell.key: cell for cell in cells_in(tmp_path)}
    assert {part for part, *_ in cells} == {"even"}
    assert len(cells) == len(EVEN) + 2
    ours, limit = cells["even", OURS, 1, 0], cells["even", LIMIT, 1, 0]
    assert (ours.prompt_tokens, ours.completion_tokens) == (limit.prompt_tokens, limit.completion_tokens)
    assert ours.completion_tokens == 15 * 4
    assert ours.computed_tokens < cells["even", CONCURRENT, 1, 0].computed_tokens
    assert (tmp_path / "serving.svg").read_text().startswith("<?xml")
