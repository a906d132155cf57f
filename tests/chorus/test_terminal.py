"""What a reader of the terminal sees: while a debate runs, when it is over, and when the output is no terminal."""

import io
import itertools
import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from chorus.record.events import (
    Convened,
    Decided,
    Event,
    Noted,
    SupportMoved,
    TurnCancelled,
    TurnDelta,
    TurnFailed,
    TurnFinished,
    TurnRetried,
    TurnStarted,
)
from chorus.terminal import QuietView, view
from chorus.terminal.live import LiveView, frame
from chorus.terminal.plain import PlainView
from chorus.terminal.stage import Stage
from chorus.terminal.words import summary
from chorus.types import Answer, Decision, Dissent, Plan, Position, Question, SeatPlan, Support, Turn, Usage

CAST = ("skeptic", "tester", "formalist")
NAMES = {"skeptic": "The Skeptic", "tester": "The Tester", "formalist": "The Formalist"}
HOSTILE = "\x1b[2J\x1b]0;owned\x07\x9b31m\u202eevil\r\u2028[bold]x[/bold]\x00"
UNSEEN = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b\u2028-\u202e\ud800-\udfff]")


def plan(seats=CAST, mode="debate", rounds=2, decision="weighted") -> Plan:
    return Plan(
        mode=mode,
        kind="number",
        seats=tuple(SeatPlan(seat=seat, persona=seat.split("-")[0], temperature=0, top_p=1) for seat in seats),
        topology="complete",
        edges=(),
        rounds=rounds,
        decision=decision,
        layout="shared",
        openness=0.4,
        detail="brief",
        max_tokens=64,
        engine="hf:smollm2-135m",
        routed_by="fixed",
    )


def convened(question="What is 7 * 8?", **shape) -> Convened:
    return Convened(debate="q-1", question=Question(text=question), plan=plan(**shape), personas={}, seed=0)


def turn(number, seat, text="So it is 56.", answer="56", sure=0.71, **more) -> Turn:
    position = None if answer is None else Position(answer=answer, confidence=sure)
    fields = {"id": f"{number}.{seat}", "round": number, "seat": seat, "persona": seat.split("-")[0], **more}
    return Turn(**{"text": text, "position": position, **fields})


def started(number, seat, heard=(), kind="speech") -> TurnStarted:
    persona = seat.split("-")[0]
    return TurnStarted(at=0, turn=f"{number}.{seat}", round=number, seat=seat, persona=persona, kind=kind, heard=heard)


def said(number, seat, text) -> TurnDelta:
    return TurnDelta(at=0, turn=f"{number}.{seat}", text=text)


def finished(*args, **more) -> TurnFinished:
    return TurnFinished(at=1, turn=turn(*args, **more))


def failed(number, seat, reason="HTTP 500: out of memory") -> TurnFailed:
    return TurnFailed(at=1, turn=turn(number, seat, text="", answer=None, status="failed", reason=reason))


def cancelled(number, seat, reason="the budget of 4 calls is spent", text="") -> TurnCancelled:
    return TurnCancelled(at=1, turn=turn(number, seat, text=text, answer=None, status="cancelled", reason=reason))


def decision(**votes) -> Decision:
    """`_56=("tester",)`: who holds which answer, best first."""
    total = sum(len(seats) for seats in votes.values())
    rows = tuple(
        Support(answer=answer[1:], weight=len(seats), share=len(seats) / total, seats=seats)
        for answer, seats in votes.items()
        if seats
    )
    losing = [
        Dissent(answer=row.answer, share=row.share, seats=row.seats, turn=f"2.{row.seats[0]}", text="It is 6 * 9.")
        for row in rows[1:2]
    ]
    return Decision(
        rule="weighted",
        answer=rows[0].answer if rows else None,
        confidence=rows[0].share if rows else 0,
        support=rows,
        dissent=losing[0] if losing else None,
    )


SPLIT = decision(_56=("skeptic", "tester"), _54=("formalist",))


def answer(turns=(), outcome=SPLIT, question="What is 7 * 8?", shape=None, **more) -> Answer:
    usage = Usage(calls=6, prompt_tokens=8100, cached_tokens=6272, completion_tokens=960, wall_s=24.12)
    fields = {"id": "q-1", "status": "done", "reason": None, "answer": outcome.answer, "dissent": outcome.dissent}
    return Answer(
        question=Question(text=question),
        confidence=outcome.confidence,
        decision=outcome,
        turns=turns,
        usage=usage,
        plan=shape or plan(),
        personas={},
        seed=0,
        versions={},
        **{**fields, **more},
    )


def debate() -> list[Event]:
    """Two rounds of three seats: one changes its mind, one fails."""
    first = [turn(1, "skeptic", "It is 54.", "54"), turn(1, "tester"), turn(1, "formalist", "It is 6 * 9.", "54", 0.4)]
    heard = ("1.tester", "1.formalist")
    second = [
        turn(2, "skeptic", "I misread it.", "56", 0.9, heard=heard, flipped_from="54"),
        turn(2, "tester", heard=("1.skeptic", "1.formalist")),
        turn(2, "formalist", "", None, status="failed", reason="HTTP 500: out of memory"),
    ]
    return [
        convened(),
        *(TurnFinished(at=1, turn=one) for one in first),
        *(TurnFinished(at=2, turn=one) for one in second[:2]),
        TurnFailed(at=3, turn=second[2]),
        SupportMoved(at=3, decision=SPLIT),
        Decided(at=4, answer=answer((*first, *second), notes=("a transcript was shortened",))),
    ]


def plain(*events: Event, encoding="utf-8", names=NAMES) -> str:
    """What `PlainView` prints."""
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding, write_through=True)
    with PlainView(stream, names) as shown:
        for event in events:
            shown.show(event)
    return raw.getvalue().decode(encoding)


def screen(*events: Event, width=80, height=24) -> list[str]:
    """The live view's lines after these events."""
    stage = Stage(NAMES)
    for event in events:
        stage.take(event)
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=True)
    return [line.plain.rstrip() for line in frame(console, stage, 3.0)]


def left_behind(*events: Event, width=80, height=24) -> str:
    """What stands on the terminal after a live view, without its colours."""
    out = io.StringIO()
    shown = LiveView(Console(file=out, width=width, height=height, force_terminal=True, color_system=None), NAMES)
    with shown:
        for event in events:
            shown.show(event)
    # The drawing ends where it is wiped, with the cursor shown again.
    return re.sub("\x1b\\[[0-9;]*m", "", out.getvalue().rpartition("\x1b[2K")[2])


def find(lines: list[str], word: str) -> str:
    """The one line that holds the word."""
    [line] = [line for line in lines if word in line]
    return line


# ---- no terminal: lines ----------------------------------------------------------------------------------------------


def test_lines_tell_the_whole_debate_in_the_order_of_its_events():
    assert plain(*debate()).splitlines() == [
        "Question: What is 7 * 8?",
        "debate · 3 voices · complete · 2 rounds · weighted · hf:smollm2-135m · skeptic, tester, formalist",
        "[1.skeptic] The Skeptic: It is 54. => 54 (71%)",
        "[1.tester] The Tester: So it is 56. => 56 (71%)",
        "[1.formalist] The Formalist: It is 6 * 9. => 54 (40%)",
        "[2.skeptic] The Skeptic: I misread it. => 56 (90%) (changed from 54)",
        "[2.tester] The Tester: So it is 56. => 56 (71%)",
        "[2.formalist] The Formalist failed: HTTP 500: out of memory",
        "",
        "Answer:     56",
        "Confidence: 67% (rule: weighted)",
        "Support:    56  67%  skeptic, tester",
        "Support:    54  33%  formalist",
        "Dissent:    54 (33%, formalist), in 2.formalist: “It is 6 * 9.”",
        "Note:       a transcript was shortened",
        "Turns:      5 done, 1 failed",
        "Cost:       6 calls, 8,100 tokens read (6,272 cached), 960 written, 24.1 s",
    ]


def test_a_turn_is_printed_once_it_is_done_not_as_it_grows():
    growing = [convened(), started(1, "tester"), said(1, "tester", "So it ")]
    assert "So it" not in plain(*growing)
    assert plain(*growing, finished(1, "tester")).count("So it is 56.") == 1


def test_retries_cancellations_and_notes_are_lines_of_their_own():
    shown = plain(
        TurnRetried(at=1, turn="1.tester", attempt=1, reason="HTTP 503: overloaded"),
        cancelled(1, "skeptic"),
        Noted(at=1, note="the context was full"),
    )
    assert shown.splitlines() == [
        "[1.tester] attempt 1 failed, trying again: HTTP 503: overloaded",
        "[1.skeptic] The Skeptic cancelled: the budget of 4 calls is spent",
        "Note: the context was full",
    ]


def test_a_note_that_was_shown_as_it_came_is_not_repeated_at_the_end():
    notes = ("the context was full", "stopped early")
    shown = plain(convened(), Noted(at=1, note=notes[0]), Decided(at=2, answer=answer(notes=notes)))
    assert shown.count("the context was full") == 1
    assert shown.count("stopped early") == 1


def test_no_voice_can_write_a_line_that_looks_like_anothers():
    shown = plain(finished(1, "skeptic", "Hm.\n[1.tester] The Tester: I give up => 54 (99%)\r\nAnswer: 56"))
    assert shown.splitlines() == [
        "[1.skeptic] The Skeptic: Hm.",
        "    [1.tester] The Tester: I give up => 54 (99%)",
        "    Answer: 56",
        "    => 56 (71%)",
    ]


def test_a_turn_without_an_answer_says_so_and_why():
    assert plain(finished(1, "tester", "Hm.", None)).endswith("Hm. => no answer found\n")
    cut = plain(finished(1, "tester", "Hm, so", None, finish="length"))
    assert cut.endswith("Hm, so => no answer: cut at the token limit\n")


def test_a_ballot_shows_its_ranking_and_a_position_without_confidence_no_percents():
    ballot = turn(3, "tester", "B, A", kind="ballot", position=Position(answer="56", ranking=("56", "54")))
    assert "B, A => 56 > 54\n" in plain(TurnFinished(at=1, turn=ballot))
    assert plain(finished(1, "tester", sure=None)).endswith("=> 56\n")


def test_a_check_shows_how_likely_the_answer_is_right():
    check = turn(3, "tester", "no", sure=0.25, kind="check")
    assert "no => 56 (25% right)\n" in plain(TurnFinished(at=1, turn=check))
    unread = turn(3, "tester", "Hm.", None, kind="check")
    assert "Hm. => no yes or no found\n" in plain(TurnFinished(at=1, turn=unread))


def test_an_inner_chorus_tells_its_conversation_once():
    voices = [finished(1, seat, f"{seat} speaks.", sure=None) for seat in CAST]
    whole = "The Skeptic: skeptic speaks.\nThe Tester: tester speaks."
    ruling = finished(3, "coordinator", whole, kind="ruling")
    shown = plain(convened(mode="inner", decision="judge"), *voices, ruling)
    assert shown.count("tester speaks.") == 1
    assert "[3.coordinator] The inner chorus: (the whole conversation above) => 56 (71%)" in shown
    assert "tester speaks." in plain(convened(mode="inner", decision="judge"), ruling), "nobody could be told apart"


def test_personas_without_a_known_name_are_called_by_their_id():
    assert plain(finished(1, "tester"), names=None).startswith("[1.tester] The Tester:")
    assert plain(finished(2, "judge", kind="ruling")).startswith("[2.judge] The Judge:")


def test_a_stream_that_knows_only_ascii_gets_ascii():
    shown = plain(*debate(), finished(3, "tester", "sept × huit = 漢"), encoding="ascii")
    assert "debate - 3 voices - complete" in shown
    assert 'in 2.formalist: "It is 6 * 9."' in shown
    assert "sept \\xd7 huit = \\u6f22" in shown


# ---- the summary -----------------------------------------------------------------------------------------------------


def rows(record: Answer) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for row in summary(record):
        found.setdefault(row.label, []).append(row.text)
    return found


def test_the_summary_of_a_cut_debate_says_why_and_still_answers():
    why = "the budget of 4 calls is spent"
    turns = (turn(1, "tester"), cancelled(2, "tester").turn)
    shown = rows(answer(turns, status="cut", reason=why))
    assert shown["Answer"] == ["56"]
    assert shown["Cut short"] == [why]
    assert shown["Turns"] == ["1 done, 1 cancelled"]


def test_the_summary_of_a_failed_debate_has_a_reason_in_place_of_an_answer():
    nothing = Decision(rule="weighted", answer=None, confidence=0, note="no voice took a position")
    shown = rows(answer(outcome=nothing, status="failed", reason="HTTP 401: bad key"))
    assert shown["Failed"] == ["HTTP 401: bad key"]
    assert shown["Note"] == ["no voice took a position"]
    assert "Answer" not in shown
    assert "Confidence" not in shown
    assert "Dissent" not in shown


def test_where_all_agree_there_is_no_dissent_and_the_summary_says_that():
    assert rows(answer(outcome=decision(_56=CAST)))["Dissent"] == ["none"]


def test_a_single_voice_has_neither_support_nor_dissent():
    alone = answer(outcome=decision(_56=("tester",)), shape=plan(("tester",), "solo", 1))
    shown = rows(alone)
    assert shown["Confidence"] == ["100% (rule: weighted, over a single voice)"]
    assert "Support" not in shown
    assert "Dissent" not in shown


def test_ties_and_notes_are_told_each_once():
    outcome = SPLIT.model_copy(update={"tie": "56 and 54 tied; the surer won", "note": "stopped early"})
    shown = rows(answer(outcome=outcome, notes=("stopped early", "a second note")))
    assert shown["Tie"] == ["56 and 54 tied; the surer won"]
    assert shown["Note"] == ["stopped early", "a second note"]


def test_a_dissent_is_given_in_its_own_words_shortened_and_without_its_answer_line():
    words = "Six times nine " * 100 + "\n\n**Answer:** 54\nConfidence: 30%"
    losing = Dissent(answer="54", share=0.33, seats=("formalist",), turn="2.formalist", text=words)
    [long] = rows(answer(dissent=losing))["Dissent"]
    assert long.endswith("…”")
    assert len(long) < 400
    [short] = rows(answer(dissent=losing.model_copy(update={"text": words[-60:]})))["Dissent"]
    assert "Answer" not in short


def test_code_in_a_dissent_keeps_its_last_line():
    losing = Dissent(answer="f", share=0.3, seats=("tester",), turn="2.tester", text="```\nf = 1\n```\nAnswer: f\n")
    assert rows(answer(dissent=losing))["Dissent"] == ["f (30%, tester), in 2.tester: “``` f = 1 ```”"]


def test_the_tail_of_a_long_support_table_is_counted():
    outcome = decision(**{f"_{number}": (f"seat-{number}",) for number in range(15)})
    assert rows(answer(outcome=outcome))["Support"][-1] == "and 3 answers more"


@pytest.mark.parametrize(
    ("share", "shown"), [(1.0, "100%"), (0.999, ">99%"), (0.5, "50%"), (0.001, "<1%"), (0.0, "0%")]
)
def test_only_what_is_certain_reads_as_certain(share, shown):
    assert rows(answer(outcome=SPLIT.model_copy(update={"confidence": share})))["Confidence"][0].startswith(shown + " ")


# ---- the live view ---------------------------------------------------------------------------------------------------


def test_before_the_debate_begins_the_screen_says_that_it_is_being_convened():
    [line] = screen()
    assert "convening the chorus · 3 s" in line


def test_the_screen_shows_question_plan_and_a_place_for_every_seat_from_the_start():
    lines = screen(convened())
    assert lines[0] == "What is 7 * 8?"
    assert lines[1].startswith("debate · 3 voices · complete · 2 rounds · weighted · hf:smollm2-135m")
    assert all(any(f"· {NAMES[seat]}" in line for line in lines) for seat in CAST)
    assert "round 1 of 2 · 0 of 6 turns" in lines[-1]


def test_words_show_as_they_come_and_whom_the_speaker_heard():
    lines = screen(
        convened(),
        started(2, "skeptic", ("1.skeptic", "1.tester", "1.formalist")),
        said(2, "skeptic", "Now "),
        said(2, "skeptic", "I see"),
    )
    assert "The Skeptic · round 2" in find(lines, "The Skeptic")
    assert find(lines, "Now I see").startswith("│ Now I see ")
    assert "← tester, formalist" in find(lines, "←")


def test_whoever_hears_everyone_is_said_to_hear_all_others():
    seats = ("skeptic", "tester", "formalist", "estimator")
    heard = tuple(f"1.{seat}" for seat in seats)
    assert "← all 3 others" in find(screen(convened(seats=seats), started(2, "tester", heard)), "←")
    assert not any("←" in line for line in screen(convened(), started(2, "tester", ("1.tester",))))


def test_only_the_end_of_a_long_turn_is_shown():
    lines = screen(convened(), started(1, "skeptic"), said(1, "skeptic", "first words " + "more " * 500 + "last words"))
    assert not any("first words" in line for line in lines)
    assert any("last words" in line for line in lines)


def test_a_finished_turn_shows_its_answer_and_a_flip_what_it_was():
    lines = screen(convened(), finished(1, "tester"), finished(2, "skeptic", flipped_from="54"))
    assert "✓ The Tester · round 1" in find(lines, "The Tester")
    assert "⟲ The Skeptic · round 2" in find(lines, "The Skeptic")
    assert any("⇒ 56 (71%) ⟲ was 54" in line for line in lines)
    assert find(lines, "changed") == "⟲ skeptic changed 54 → 56"


def test_support_bars_move_with_the_decision():
    before, after = decision(_54=CAST), decision(_56=("skeptic", "tester"), _54=("formalist",))
    [whole] = [line for line in screen(convened(), SupportMoved(at=1, decision=before)) if "█" in line]
    assert "100% skeptic, tester, formalist" in whole
    lines = screen(convened(), SupportMoved(at=1, decision=before), SupportMoved(at=2, decision=after))
    first, second = (line for line in lines if "█" in line)
    assert first.startswith("56 ")
    assert "67% skeptic, tester" in first
    assert second.startswith("54 ")
    assert whole.count("█") > first.count("█") > second.count("█")


def test_a_retry_voids_the_words_so_far_and_says_why():
    begun = [convened(), started(1, "tester"), said(1, "tester", "void words")]
    retried = [*begun, TurnRetried(at=1, turn="1.tester", attempt=1, reason="HTTP 503: overloaded")]
    lines = screen(*retried)
    assert not any("void words" in line for line in lines)
    assert any("│ trying again after: HTTP 503: overloaded" in line for line in lines)
    assert "↻ tester: attempt 1 failed, trying again: HTTP 503: overloaded" in lines
    assert any("│ new words" in line for line in screen(*retried, said(1, "tester", "new words")))


def test_failures_and_cancellations_show_in_their_place_and_in_the_news():
    lines = screen(convened(), failed(1, "tester"), cancelled(1, "skeptic"))
    assert "✗ The Tester" in find(lines, "The Tester")
    assert any("│ failed: HTTP 500: out of memory" in line for line in lines)
    assert any("│ cancelled: the budget of 4 calls is spent" in line for line in lines)
    assert "✗ tester failed: HTTP 500: out of memory" in lines
    assert "⊘ skeptic cancelled: the budget of 4 calls is spent" in lines


def test_a_judge_takes_the_stage_alone_and_ballots_are_called_ballots():
    spoken = [convened(), *(finished(1, seat) for seat in CAST)]
    lines = screen(*spoken, started(3, "judge", kind="ruling"), said(3, "judge", "Having heard all"))
    assert any("│ Having heard all" in line for line in lines)
    assert not any("The Tester" in line for line in lines)
    assert "the judge rules" in lines[-1]
    lines = screen(*spoken, started(3, "tester", kind="ballot"))
    assert "The Tester · ballot" in find(lines, "The Tester")
    assert "the voices cast their ballots" in lines[-1]


def test_checks_are_called_checks():
    spoken = [convened(), *(finished(1, seat) for seat in CAST)]
    asked = [started(number, "tester", kind="check") for number in (3, 4)]
    lines = screen(*spoken, *asked, finished(3, "tester", "yes", kind="check"))
    assert "The Tester · check" in find(lines, "The Tester")
    assert any("56 (71% right)" in line for line in lines)
    assert "the voices check the answers" in lines[-1]


def test_an_inner_chorus_streams_in_one_box_even_when_its_voices_arrive():
    begun = [convened(mode="inner", decision="judge"), started(3, "coordinator", kind="ruling")]
    begun.append(said(3, "coordinator", "The Skeptic: is it?\nThe Tester: it is."))
    for events in (begun, [*begun, *(finished(1, seat) for seat in CAST)]):
        lines = screen(*events)
        assert find(lines, "The inner chorus").startswith("╭─ ")
        assert any("│ The Tester: it is." in line for line in lines)
        assert "one model speaks for all" in lines[-1]


def test_a_solo_has_one_box_and_no_support():
    shape = convened(seats=("tester",), mode="solo", rounds=1)
    lines = screen(shape, finished(1, "tester"), SupportMoved(at=1, decision=decision(_56=("tester",))))
    assert sum("╭" in line for line in lines) == 1
    assert not any("█" in line for line in lines)


def crowd(count: int) -> list[Event]:
    seats = tuple(f"skeptic-{number}" for number in range(1, count + 1))
    half = [finished(1, seat, "words " * 40) for seat in seats[::2]]
    return [
        convened(seats=seats),
        *(started(1, seat) for seat in seats),
        *(said(1, seat, "talk " * 40) for seat in seats),
        *half,
        SupportMoved(at=1, decision=decision(_56=seats[::2], _54=seats[1:4:2])),
    ]


def test_sixty_four_seats_all_find_a_place_on_an_ordinary_terminal():
    for width, height in [(80, 24), (120, 40), (200, 60)]:
        text = "\n".join(screen(*crowd(64), width=width, height=height))
        assert all(re.search(rf"skeptic-{number}\b", text) for number in range(1, 65)), (width, height)


def test_seats_that_find_no_place_are_counted_and_those_at_work_go_first():
    lines = screen(*crowd(64), width=40, height=12)
    counted = int(re.search(r"\+ (\d+) more", "\n".join(lines))[1])
    shown = re.findall(r"(\S) skeptic-\d+", "\n".join(lines))
    assert counted + len(shown) == 64
    assert "✓" not in shown, "a seat that is done was shown before one that speaks"


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 64])
def test_a_frame_fits_any_terminal(count):
    events = [*crowd(count), failed(1, "skeptic-1")]
    for width, height in itertools.product((20, 40, 50, 80, 120, 200), (2, 5, 10, 20, 24, 40)):
        lines = screen(*events, width=width, height=height)
        assert 1 <= len(lines) < height
        assert max(len(line) for line in lines) <= width


@given(
    text=st.text(max_size=200) | st.just(HOSTILE),
    width=st.integers(1, 100),
    height=st.integers(1, 40),
)
def test_whatever_a_model_or_server_says_the_frame_fits_and_drives_nothing(text, width, height):
    stage = Stage({"skeptic": text})
    events = [
        convened(question=text),
        started(1, "skeptic"),
        # An engine's bytes may decode to half a surrogate pair, and deltas are not validated.
        TurnDelta.model_construct(at=0, turn="1.skeptic", text=text + "\ud800"),
        finished(2, "tester", text, text, flipped_from=text),
        failed(1, "formalist", text),
        TurnRetried(at=1, turn="1.skeptic", attempt=1, reason=text),
        Noted(at=1, note=text),
        SupportMoved(at=1, decision=Decision(rule="w", answer=text, confidence=1, support=SPLIT.support[:1])),
    ]
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=True)
    for event in events:
        stage.take(event)
        lines = frame(console, stage, 0.0)
        assert len(lines) <= max(1, height - 1)
        assert all(line.cell_len <= width for line in lines)
        assert not any(UNSEEN.search(line.plain) or line.plain.count("\n") for line in lines)


# ---- what a live view leaves behind ----------------------------------------------------------------------------------


def test_the_drawing_gives_way_to_a_transcript_and_the_summary():
    assert left_behind(*debate()).splitlines() == [
        "What is 7 * 8?",
        "debate · 3 voices · complete · 2 rounds · weighted · hf:smollm2-135m · skeptic,…",
        "",
        "Round 1",
        "✓ The Skeptic    ⇒ 54 (71%)",
        "    It is 54.",
        "✓ The Tester     ⇒ 56 (71%)",
        "    So it is 56.",
        "✓ The Formalist  ⇒ 54 (40%)",
        "    It is 6 * 9.",
        "",
        "Round 2",
        "⟲ The Skeptic    ⇒ 56 (90%) ⟲ was 54  ← tester, formalist",
        "    I misread it.",
        "✓ The Tester     ⇒ 56 (71%)  ← skeptic, formalist",
        "    So it is 56.",
        "✗ The Formalist  failed",
        "    HTTP 500: out of memory",
        "",
        "Answer      56",
        "Confidence  67% (rule: weighted)",
        "Support     56 ███████████▍       67% skeptic, tester",
        "            54 █████▋             33% formalist",
        "Dissent     54 (33%, formalist), in 2.formalist: “It is 6 * 9.”",
        "Note        a transcript was shortened",
        "Turns       5 done, 1 failed",
        "Cost        6 calls, 8,100 tokens read (6,272 cached), 960 written, 24.1 s",
    ]


def test_turns_that_were_never_held_are_told_in_one_line():
    turns = (turn(1, "tester"), *(cancelled(2, seat).turn for seat in CAST))
    shown = left_behind(convened(), Decided(at=1, answer=answer(turns, status="cut", reason="out of time")))
    assert "⊘ not held, the budget of 4 calls is spent: formalist, skeptic, tester" in shown


def test_a_long_turn_is_cut_to_two_lines_and_a_synthesis_is_told_as_the_answer_with_its_layout():
    text = "First, a plan:\n\n- one [b]\n- two"
    synthesis = turn(3, "coordinator", text, text, kind="synthesis")
    turns = (turn(1, "tester", "word " * 200), synthesis)
    outcome = SPLIT.model_copy(update={"answer": text})
    shown = left_behind(convened(), Decided(at=1, answer=answer(turns, outcome))).splitlines()
    assert sum("word" in line for line in shown) == 2
    assert [line for line in shown if "word" in line][1].endswith("…")
    start = shown.index("Answer      First, a plan:")
    assert [line.strip() for line in shown[start + 1 : start + 4]] == ["", "- one [b]", "- two"]
    assert sum("First, a plan" in line for line in shown) == 1


def test_a_debate_that_breaks_off_leaves_what_was_said():
    out = io.StringIO()
    console = Console(file=out, width=80, force_terminal=True, color_system=None)

    def interrupted() -> None:
        with LiveView(console, NAMES) as shown:
            for event in debate()[:3]:
                shown.show(event)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    text = out.getvalue().rpartition("\x1b[2K")[2]
    assert "✓ The Tester " in text
    assert "Answer " not in text
    assert out.getvalue().rpartition("\x1b[?25")[2].startswith("h"), "the cursor is visible again"


def test_a_view_left_before_any_voice_was_heard_leaves_nothing():
    assert left_behind().strip() == ""
    assert left_behind(convened()).strip() == ""


@pytest.mark.parametrize("width", [20, 40, 200])
def test_the_transcript_of_a_crowd_fits_and_shows_answers_only(width):
    seats = tuple(f"skeptic-{number}" for number in range(64))
    turns = tuple(turn(number, seat, "many words " * 50) for number in (1, 2) for seat in seats)
    shown = left_behind(convened(seats=seats), Decided(at=1, answer=answer(turns)), width=width).splitlines()
    assert max(len(line) for line in shown) <= width
    assert not any("many words" in line for line in shown)
    assert sum(line.startswith("✓") for line in shown) == 128


def test_escapes_and_markup_in_what_a_model_says_are_shown_not_obeyed():
    hostile = turn(1, "tester", HOSTILE, HOSTILE, flipped_from=HOSTILE)
    outcome = Decision(rule="weighted", answer=HOSTILE, confidence=1)
    record = answer((hostile, failed(1, "skeptic", HOSTILE).turn), outcome, HOSTILE, notes=(HOSTILE,))
    events = [
        convened(question=HOSTILE),
        started(1, "tester"),
        said(1, "tester", HOSTILE),
        TurnRetried(at=1, turn="1.tester", attempt=1, reason=HOSTILE),
        TurnFinished(at=1, turn=hostile),
        Noted(at=1, note=HOSTILE),
        Decided(at=1, answer=record),
    ]
    lines = plain(*events)
    assert not UNSEEN.search(lines)
    assert "\\x1b[2J\\x1b]0;owned\\x07\\x9b31m\\u202eevil\\r\\u2028[bold]x[/bold]\\x00" in lines
    out = io.StringIO()
    with LiveView(Console(file=out, width=200, height=40, force_terminal=True), NAMES) as shown:
        for event in events:
            shown.show(event)
    ours = re.compile("\x1b\\[(?:[0-9;]*m|\\?25[hl]|2K|1A)|[\r\n]")
    assert not UNSEEN.search(ours.sub("", out.getvalue()))
    assert "\\x1b[2J" in out.getvalue()
    assert "[bold]x[/bold]" in out.getvalue()


# ---- which view ------------------------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    """A stream that is a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def test_the_view_suits_where_the_output_goes(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    assert isinstance(view(Terminal()), LiveView)
    assert isinstance(view(io.StringIO()), PlainView)
    latin = Terminal()
    latin.encoding = "latin-1"
    assert isinstance(view(latin), PlainView)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(view(Terminal()), PlainView)


def test_quiet_and_json_show_nothing():
    for asked in ({"quiet": True}, {"json": True}):
        out = Terminal()
        with view(out, **asked) as shown:
            assert isinstance(shown, QuietView)
            for event in debate():
                shown.show(event)
        assert out.getvalue() == ""


def test_rich_is_loaded_only_to_draw():
    check = (
        "import sys, io, chorus.terminal as t; t.view(io.StringIO()); print([m for m in sys.modules if m == 'rich'])"
    )
    shown = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
