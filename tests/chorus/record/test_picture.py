"""The picture of a debate, its page, its graph, and the files they go to."""

import re
import time
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import networkx as nx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chorus.errors import ConfigError, NotSaved
from chorus.record.drawing.labels import percent
from chorus.record.explanation import explain
from chorus.record.picture import draw, graph, html, svg
from chorus.types import Answer, Decision, Dissent, Plan, Position, Question, SeatPlan, Support, Turn, Usage

SVG = "{http://www.w3.org/2000/svg}"
BLUE, ORANGE = "#0072B2", "#E69F00"


def turn(turn_id, answer=None, *, heard=(), before=None, sure=None, **fields):
    """A turn from its id; `heard` may be a text of ids."""
    number, seat = turn_id.split(".", 1)
    fields = {"persona": seat, "text": f"I say {answer}." if answer else "Hm.", **fields}
    heard = heard.split() if isinstance(heard, str) else heard
    position = None if answer is None else Position(answer=answer, confidence=sure, ranking=fields.pop("ranking", None))
    return Turn(id=turn_id, round=int(number), seat=seat, position=position, heard=heard, flipped_from=before, **fields)


def record(*turns, support=(), edges=(), seats=(), rule="plurality", **fields):
    """A record of these turns; `support` holds `(answer, seats)`, best first, and the first is the debate's answer."""
    seats = seats or list(dict.fromkeys(turn.seat for turn in turns if turn.kind == "speech"))
    voted = sum(len(who.split()) for _, who in support) or 1
    rows = tuple(
        Support(answer=answer, weight=len(who.split()), share=len(who.split()) / voted, seats=who.split())
        for answer, who in support
    )
    answer = fields.pop("answer", rows[0].answer if rows else None)
    dissent = fields.pop("dissent", None)
    decision = Decision(
        rule=rule,
        answer=answer,
        confidence=rows[0].share if rows else 0.0,
        support=rows,
        dissent=dissent,
        tie=fields.pop("tie", None),
    )
    plan = Plan(
        mode=fields.pop("mode", "debate"),
        kind="number",
        seats=[SeatPlan(seat=seat, persona=seat, temperature=0.0, top_p=1.0) for seat in seats],
        topology="complete",
        edges=edges,
        rounds=max((turn.round for turn in turns if turn.kind == "speech"), default=1),
        decision=rule,
        layout="shared",
        openness=0.4,
        detail="brief",
        max_tokens=64,
        engine="scripted:memory",
        routed_by="fixed",
    )
    return Answer(
        **{
            "id": "q-1",
            "status": "done",
            "reason": None,
            "question": Question(text=fields.pop("question", "What is 7 * 8?")),
            "answer": answer,
            "confidence": decision.confidence,
            "dissent": dissent,
            "decision": decision,
            "turns": turns,
            "usage": Usage(calls=4, prompt_tokens=1200, cached_tokens=800, completion_tokens=60, wall_s=2.5),
            "plan": plan,
            "personas": {},
            "seed": 0,
            "versions": {},
            **fields,
        }
    )


def complete(seats, rounds, says=lambda number, seat: "56"):
    """A debate in which everybody hears everybody."""
    places = [(number, seat) for number in range(1, rounds + 1) for seat in seats]
    heard = {number: [f"{number - 1}.{seat}" for seat in seats if number > 1] for number in range(1, rounds + 1)}
    turns = (turn(f"{number}.{seat}", says(number, seat), heard=heard[number]) for number, seat in places)
    return record(*turns, support=[("56", " ".join(seats))])


DISSENT = Dissent(answer="54", share=1 / 3, seats=("formalist",), turn="2.formalist", text="I say 54.")

DEBATE = record(
    turn("1.skeptic", "54", sure=0.5),
    turn("1.tester", "56"),
    turn("1.formalist", "54"),
    turn("2.skeptic", "56", heard="1.skeptic 1.tester 1.formalist", before="54", sure=0.9),
    turn("2.tester", "56.0", heard="1.skeptic 1.tester 1.formalist"),
    turn("2.formalist", "54", heard="1.skeptic 1.tester 1.formalist"),
    support=[("56", "skeptic tester"), ("54", "formalist")],
    edges=[("skeptic", "tester", "answer")],
    dissent=DISSENT,
)

CUT = record(
    turn("1.a", "54"),
    turn("1.b", status="failed", reason="HTTP 500 from <the> server"),
    turn("2.a", status="cancelled", reason="the budget of 2 calls is spent", heard="1.a"),
    turn("2.b", status="cancelled", reason="the budget of 2 calls is spent", heard="1.a"),
    support=[("54", "a")],
    status="cut",
    reason="the budget of 2 calls is spent",
    notes=("2.a read the transcript without its 1 oldest turns",),
)


class Drawn:
    """An SVG taken apart: its turns by id, each with its box, words and arrows."""

    def __init__(self, answer, **options):
        self.source = svg(answer, **options)
        self.root = ElementTree.fromstring(self.source)
        groups = [one for one in self.root.iter(f"{SVG}g") if one.get("class") == "gc-turn"]
        self.turns = {one.find(f"{SVG}title").text.split("\n")[0].split(" ")[0]: one for one in groups}

    def told(self, turn_id):
        return self.turns[turn_id].find(f"{SVG}title").text

    def words(self, turn_id):
        return self.turns[turn_id].find(f"{SVG}text").text

    def fill(self, turn_id):
        return self.turns[turn_id].find(f"{SVG}rect").get("fill")

    def at(self, turn_id):
        box = self.turns[turn_id].find(f"{SVG}rect")
        return float(box.get("x")), float(box.get("y"))

    def arrows(self, turn_id, *, dashed=False):
        lines = [one for one in self.turns[turn_id].iter(f"{SVG}path") if one.get("class") == "gc-heard"]
        return sum(line.get("d").count("M") for line in lines if bool(line.get("stroke-dasharray")) == dashed)

    def texts(self):
        return [one.text for one in self.root.iter(f"{SVG}text")]


# Who sits where


def test_every_turn_stands_in_the_column_of_its_round_and_the_row_of_its_seat():
    drawn = Drawn(DEBATE)
    assert len(drawn.turns) == 6
    for seat in ("skeptic", "tester", "formalist"):
        (x1, y1), (x2, y2) = drawn.at(f"1.{seat}"), drawn.at(f"2.{seat}")
        assert x1 < x2
        assert y1 == y2
    rows = [drawn.at(f"1.{seat}")[1] for seat in ("skeptic", "tester", "formalist")]
    assert rows == sorted(rows)
    assert {"round 1", "round 2", "skeptic", "tester", "formalist"} <= set(drawn.texts())


def test_ballots_and_closing_turns_stand_in_columns_of_their_own_after_the_rounds():
    ballots = [turn(f"2.{s}", "56", kind="ballot", heard="1.a 1.b", ranking=("56", "54")) for s in "ab"]
    ruling = turn("3.judge", "56", kind="ruling", heard="1.a 1.b")
    drawn = Drawn(record(turn("1.a", "54"), turn("1.b", "56"), *ballots, ruling, support=[("56", "b")]))
    assert drawn.at("1.a")[0] < drawn.at("2.a")[0] < drawn.at("3.judge")[0]
    assert drawn.at("1.a")[1] < drawn.at("3.judge")[1] < drawn.at("1.b")[1]
    assert {"ballot", "ruling"} <= set(drawn.texts())
    assert "ranking: 56 > 54" in drawn.told("2.a")
    assert "judge" not in drawn.texts()  # has no row


def test_the_checks_of_each_answer_stand_in_a_column_of_their_own():
    checks = [
        turn(f"{number}.{seat}", answer, sure=p, kind="check", heard="1.a 1.b")
        for number, answer, p in ((2, "54", 0.25), (3, "56", 0.9))
        for seat in "ab"
    ]
    debate = record(turn("1.a", "54"), turn("1.b", "56"), *checks, support=[("56", "b"), ("54", "a")], rule="checked")
    drawn = Drawn(debate)
    assert drawn.at("1.a")[0] < drawn.at("2.a")[0] < drawn.at("3.a")[0]
    assert drawn.at("1.a")[1] == drawn.at("3.a")[1]
    assert [drawn.words("2.a"), drawn.words("3.b")] == ["54: 25%", "56: 90%"]
    assert drawn.texts().count("check") == 2
    assert "answer: 56, 90% right" in drawn.told("3.a")
    assert "90% right" in html(debate)


def test_long_names_and_answers_are_shortened_and_whole_under_the_pointer():
    seat = "a-seat-with-a-name-of-many-letters-in-it"
    drawn = Drawn(record(turn(f"1.{seat}", "seven times eight is fifty-six"), seats=[seat]))
    assert drawn.words(f"1.{seat}") == "seven times eig…"
    assert "a-seat-with-a-name-of-m…" in drawn.texts()
    assert seat in drawn.told(f"1.{seat}")
    assert "seven times eight is fifty-six" in drawn.told(f"1.{seat}")


def test_a_record_without_turns_shows_its_seats_and_why():
    drawn = Drawn(record(seats=["skeptic"], status="failed", reason="the engine is not there"))
    assert {"skeptic", "nothing decided", "the engine is not there"} <= set(drawn.texts())


# Who heard whom


def test_an_arrow_runs_from_every_turn_heard_and_the_own_one_is_dashed():
    drawn = Drawn(DEBATE)
    assert [drawn.arrows("1.tester"), drawn.arrows("1.tester", dashed=True)] == [0, 0]
    assert [drawn.arrows("2.tester"), drawn.arrows("2.tester", dashed=True)] == [2, 1]
    assert {"heard", "own earlier turn"} <= set(drawn.texts())


def test_a_solo_has_no_arrows_and_no_key_to_them():
    drawn = Drawn(record(turn("1.skeptic", "56"), support=[("56", "skeptic")], mode="solo"))
    assert drawn.arrows("1.skeptic") == 0
    assert "heard" not in drawn.texts()


def test_an_arrow_that_others_imply_is_left_out():
    says = ["1.a", "1.b", "1.c", "2.a", "2.b"]
    inner = [turn(one, "56", heard=says[:index]) for index, one in enumerate(says)]
    drawn = Drawn(record(*inner, turn("3.coordinator", "56", kind="ruling"), mode="inner"))
    arrows = [drawn.arrows(one) + drawn.arrows(one, dashed=True) for one in [*says, "3.coordinator"]]
    assert arrows == [0, 1, 1, 1, 1, 0]  # a conversation is a chain


def test_a_judge_who_heard_everything_is_reached_from_the_last_round():
    everything = [turn.id for turn in DEBATE.turns]
    ruling = turn("3.judge", "56", kind="ruling", heard=everything)
    drawn = Drawn(DEBATE.model_copy(update={"turns": (*DEBATE.turns, ruling)}))
    assert drawn.arrows("3.judge") == 3


def test_voices_that_speak_out_of_turn_are_drawn_all_the_same():
    says = ["1.a", "2.a", "1.c", "1.b", "2.c"]  # a twice before the others once; c before b
    spoken = [turn(one, "56", heard=says[:index]) for index, one in enumerate(says)]
    drawn = Drawn(record(*sorted(spoken, key=lambda turn: turn.id), seats=["a", "b", "c"]))
    assert sum(drawn.arrows(one) + drawn.arrows(one, dashed=True) for one in says) == 4


def test_where_many_hear_the_same_many_their_arrows_run_together():
    seats = [f"seat{index}" for index in range(8)]
    drawn = Drawn(complete(seats, 2))
    assert [drawn.arrows(f"2.{seat}") for seat in seats] == [1] * 8
    assert [drawn.arrows(f"2.{seat}", dashed=True) for seat in seats] == [1] * 8
    trunk = [one for one in drawn.root.findall(f"{SVG}path") if one.get("class") == "gc-heard"]
    assert [one.get("d").count("M") for one in trunk] == [8]


@pytest.mark.parametrize("heard", ["1.nobody", "1.a", "2.b 1.b"])
def test_a_record_that_no_debate_makes_can_still_be_drawn(heard):
    odd = record(turn("1.a", "56", heard=heard), turn("1.b", "54", heard="1.a"), turn("2.b", "54", heard="1.a"))
    assert len(Drawn(odd).turns) == 3


# Who stood for what


def test_answers_that_the_decision_counted_as_one_have_one_colour():
    drawn = Drawn(DEBATE)
    assert [drawn.fill(one) for one in ("1.tester", "2.skeptic", "2.tester")] == [BLUE] * 3
    assert [drawn.fill(one) for one in ("1.skeptic", "1.formalist", "2.formalist")] == [ORANGE] * 3
    assert drawn.words("2.tester") == "56.0"
    assert {"56 · 67%", "54 · 33%"} <= set(drawn.texts())


def test_the_ruling_has_the_colour_of_the_answer_that_it_became():
    ruling = turn("2.judge", "fifty-six", kind="ruling")
    drawn = Drawn(
        record(turn("1.a", "56"), turn("1.b", "54"), ruling, support=[("56", "a"), ("54", "b")], rule="judge")
    )
    assert drawn.fill("2.judge") == drawn.fill("1.a") == BLUE


def test_answers_beyond_the_palette_share_a_colour():
    seats = [f"seat{index}" for index in range(10)]
    drawn = Drawn(record(*(turn(f"1.{seat}", seat) for seat in seats)))
    fills = [drawn.fill(f"1.{seat}") for seat in seats]
    assert len(set(fills)) == 8
    assert fills[7] == fills[8] == fills[9]
    assert "3 other answers" in drawn.texts()


def test_a_changed_answer_is_ringed_and_told():
    drawn = Drawn(DEBATE)
    assert "changed: 54 → 56" in drawn.told("2.skeptic")
    assert len(drawn.turns["2.skeptic"].findall(f"{SVG}rect")) == 2
    assert drawn.turns["2.skeptic"].find(f"{SVG}circle").get("fill") == ORANGE
    assert len(drawn.turns["2.tester"].findall(f"{SVG}rect")) == 1
    assert "changed its answer" in drawn.texts()


def test_turns_that_came_to_nothing_are_hollow_and_crossed():
    drawn = Drawn(CUT)
    for turn_id, status in (("1.b", "failed"), ("2.a", "cancelled")):
        box = drawn.turns[turn_id].find(f"{SVG}rect")
        assert (box.get("fill"), box.get("fill-opacity")) == (None, "0")
        assert box.get("stroke-dasharray")
        assert drawn.words(turn_id) == status
    assert "failed: HTTP 500 from <the> server" in drawn.told("1.b")
    assert {"cut short: the budget of 2 calls is spent", "did not speak to its end"} <= set(drawn.texts())


def test_a_turn_without_an_answer_says_so():
    drawn = Drawn(record(turn("1.a"), turn("1.b", "\x00")))
    assert drawn.words("1.a") == "no answer"
    assert drawn.words("1.b") == "(blank)"
    assert "“Hm.”" in drawn.told("1.a")


# What it needs from its reader


def test_the_drawing_is_described_to_those_who_cannot_see_it():
    root = Drawn(DEBATE).root
    assert root.get("role") == "img"
    assert root[0].text == "What is 7 * 8?"
    assert root[1].tag == f"{SVG}desc"
    assert "Round 2: changed 54 → 56: skeptic; 56.0: tester; 54: formalist." in root[1].text
    assert "Outcome: 56 · 67% confidence · plurality." in root[1].text


def test_it_follows_light_and_dark_as_a_file_and_the_page_as_a_part():
    source = svg(DEBATE)
    assert "svg.gc-svg:root{color-scheme:light dark;color:#1f2328}" in source
    assert "@media(prefers-color-scheme:dark){svg.gc-svg:root{" in source
    assert 'color="currentColor" fill="currentColor"' in source


def test_nothing_in_it_runs_or_is_fetched_or_clashes_with_another_on_the_page():
    for source in (svg(DEBATE), html(DEBATE)):
        assert not re.search(r"<script|<a |href|src=|url\(|@import|\bid=|\son\w+=", source)
        assert set(re.findall(r"https?://[^\"<]+", source)) == {"http://www.w3.org/2000/svg"}


def test_the_heading_can_be_left_to_the_page():
    assert "What is 7 * 8?" in Drawn(DEBATE).texts()
    assert "What is 7 * 8?" not in Drawn(DEBATE, heading=False).texts()


def test_the_largest_debate_is_drawn_in_seconds():
    seats = [f"seat{index}" for index in range(64)]
    largest = complete(seats, 32, lambda number, seat: str((number * len(seat)) % 5))
    began = time.perf_counter()
    drawn = Drawn(largest)
    assert time.perf_counter() - began < 10
    assert len(drawn.turns) == 64 * 32
    assert len(drawn.source) < 4_000_000


ANYTHING = st.text(st.characters(codec=None), max_size=60)  # halves of surrogate pairs too
WHOLE = st.text(max_size=60)


@settings(max_examples=60, deadline=None)
@example(question="</svg>", seat="s\ud800", said="<script>", text="\u202e]]>&\x00\x1b[2J", reason='"><b>')
@given(question=WHOLE, seat=ANYTHING.map("s".__add__), said=ANYTHING, text=ANYTHING, reason=ANYTHING)
def test_whatever_a_model_wrote_the_drawing_and_the_page_hold_together(question, seat, said, text, reason):
    one = turn(f"1.{seat}", said, text=text, persona=text or "p")
    two = turn(f"2.{seat}", text, heard=[one.id], before=said)
    bad = turn("2.b", status="failed", reason=reason)
    dissent = Dissent(answer=said, share=0.5, seats=(seat,), turn=one.id, text=text)
    answer = record(
        one, two, bad, question=question, answer=text, dissent=dissent, notes=(reason,), status="cut", reason=reason
    )
    assert len(list(Drawn(answer).root.iter(f"{SVG}g"))) >= 3
    assert tags(html(answer)) <= ALLOWED


# The page


ALLOWED = {"section", "style", "p", "strong", "div", "blockquote", "ul", "li", "details", "summary", "span"}
ALLOWED |= {"svg", "title", "desc", "g", "text", "path", "rect", "circle"}


def tags(source):
    """The tags of well-formed HTML."""
    seen, still_open = set(), []

    class Reader(HTMLParser):
        def handle_starttag(self, tag, attrs):
            seen.add(tag)
            still_open.append(tag)

        def handle_startendtag(self, tag, attrs):
            seen.add(tag)

        def handle_endtag(self, tag):
            assert still_open.pop() == tag

    reader = Reader()
    reader.feed(source)
    reader.close()
    assert not still_open
    return seen


def read(source):
    """The words of a page, without its style, drawing and tags."""
    bare = re.sub(r"<style>.*?</style>|<svg.*?</svg>", "", source, flags=re.DOTALL)
    return re.sub(r"<[^>]+>", "|", bare)


def test_the_page_reads_from_the_answer_down_to_every_word():
    source = html(DEBATE)
    words = read(source)
    for part in (
        "|56|",
        "67% confidence · plurality",
        "skeptic, tester",
        "Dissent: 54 (33%)",
        "I say 54.",
        "— formalist, round 2",
        "skeptic: 54 → 56 in round 2",
        "4 calls · 1,200 tokens read (800 cached) · 60 written · 2.5 seconds",
        "Round 1",
        "90% sure · changed 54 → 56 · heard 1.skeptic, 1.tester, 1.formalist",
    ):
        assert part in words
    assert source.count("<details>") == 2
    assert f'style="width:66.7%;background:{BLUE}"' in source
    assert "What went wrong" not in words


def test_the_page_of_a_cut_debate_says_so_and_lists_what_went_wrong():
    words = read(html(CUT))
    assert "Cut short:| the budget of 2 calls is spent" in words
    assert "1.b failed: HTTP 500 from &lt;the&gt; server" in words
    assert "2.a, 2.b cancelled: the budget of 2 calls is spent" in words
    assert "2.a read the transcript without its 1 oldest turns" in words


def test_the_page_of_a_failed_debate_says_why_and_shows_no_answer():
    source = html(record(turn("1.a", status="failed", reason="refused"), status="failed", reason="no voice answered"))
    assert "Nothing was decided:| no voice answered" in read(source)
    assert "confidence" not in read(source)


def test_how_a_tie_was_broken_stands_among_the_notes():
    assert "tied with 54" in read(html(record(turn("1.a", "56"), support=[("56", "a")], tie="tied with 54")))


def test_a_long_answer_is_text_and_not_a_headline():
    assert 'class="gc-answer"' in html(DEBATE)
    essay = record(turn("1.a", "A bridge.\n\nIt stands."), support=[("A bridge.\n\nIt stands.", "a")])
    assert '<p class="gc-text">A bridge.\n\nIt stands.</p>' in html(essay)


def test_every_rule_of_its_style_holds_inside_it_only():
    style = "".join(re.findall(r"<style>(.*?)</style>", html(DEBATE), re.DOTALL))
    selectors = re.findall(r"([^{}]+)\{[^{}]*\}", style.replace("@media(prefers-color-scheme:dark){", ""))
    assert len(selectors) > 10
    assert all(re.match(r"\s*(\.greek-chorus|(svg)?\.gc-svg)", one) for one in selectors)


# The graph


def test_the_graph_holds_the_turns_and_who_heard_them():
    made = graph(DEBATE)
    assert list(made) == [turn.id for turn in DEBATE.turns]
    assert made.nodes["2.skeptic"] == {
        "persona": "skeptic",
        "seat": "skeptic",
        "round": 2,
        "kind": "speech",
        "status": "done",
        "answer": "56",
        "confidence": 0.9,
        "flipped_from": "54",
    }
    assert "confidence" not in made.nodes["1.tester"]
    assert set(made.predecessors("2.tester")) == {"1.skeptic", "1.tester", "1.formalist"}
    assert made.edges["1.skeptic", "2.tester"] == {"visibility": "answer"}
    assert made.edges["1.tester", "2.tester"] == {"visibility": "full"}
    assert made.graph == {"question": "What is 7 * 8?", "status": "done", "confidence": 2 / 3, "answer": "56"}
    assert nx.is_directed_acyclic_graph(made)


# Files


def test_an_svg_file_is_a_whole_xml_document(tmp_path):
    draw(DEBATE, tmp_path / "debate.svg")
    assert ElementTree.parse(tmp_path / "debate.svg").getroot().tag == f"{SVG}svg"


def test_an_html_file_is_a_whole_page_that_may_fetch_nothing(tmp_path):
    draw(DEBATE, tmp_path / "debate.HTML")
    page = (tmp_path / "debate.HTML").read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>")
    assert "default-src 'none'" in page
    assert html(DEBATE) in page


def test_a_notebook_shows_an_answer_as_its_page_does():
    assert DEBATE._repr_html_() == html(DEBATE)


def test_graphml_reads_back_as_the_same_graph(tmp_path):
    draw(DEBATE, str(tmp_path / "debate.graphml"))
    back = nx.read_graphml(tmp_path / "debate.graphml")
    assert dict(back.nodes(data=True)) == dict(graph(DEBATE).nodes(data=True))
    assert list(back.edges(data=True)) == list(graph(DEBATE).edges(data=True))


def test_graphml_survives_what_xml_forbids(tmp_path):
    draw(
        record(turn("1.a\x00", "5\x016", heard=["1.a\x00"], persona="\ud800"), question="7\x0b?"),
        tmp_path / "odd.graphml",
    )
    assert nx.read_graphml(tmp_path / "odd.graphml").nodes["1.a"]["answer"] == "56"


def test_dot_quotes_what_it_holds(tmp_path):
    draw(record(turn("1.a", 'say "\\N"'), turn("2.a", heard="1.a")), tmp_path / "debate.dot")
    lines = (tmp_path / "debate.dot").read_text().splitlines()
    assert lines[3].startswith(r'"1.a" [label="1.a\nsay \"\\N\"", fillcolor="#0072B2"')
    assert '"1.a" -> "2.a"' in lines
    assert lines[-1] == "}"


def test_an_unknown_suffix_is_refused_with_those_known(tmp_path):
    with pytest.raises(ConfigError, match=r"debate\.png.*\.svg, \.html, \.graphml, \.dot"):
        draw(DEBATE, tmp_path / "debate.png")
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_to_is_named(tmp_path):
    with pytest.raises(NotSaved, match=r"can't draw the debate to .*gone/debate\.svg: No such file"):
        draw(DEBATE, tmp_path / "gone" / "debate.svg")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no full disk")
def test_a_full_disk_leaves_the_old_picture(tmp_path):
    (tmp_path / "debate.svg").write_text("the old one")
    (tmp_path / ".debate.svg.partial").symlink_to("/dev/full")
    with pytest.raises(NotSaved, match=r"can't draw the debate to .*debate\.svg: No space left") as fault:
        draw(DEBATE, tmp_path / "debate.svg")
    assert fault.value.exit_code == 3
    assert (tmp_path / "debate.svg").read_text() == "the old one"
    assert [file.name for file in tmp_path.iterdir()] == ["debate.svg"]


def test_shares_are_told_as_certain_only_where_they_are():
    almost = DEBATE.model_copy(update={"confidence": 0.996})
    assert ">99% confidence" in unescape(read(html(almost)))
    assert "Confidence: >99% (" in explain(almost)
    assert [percent(share) for share in (0, 0.004, 0.5, 0.996, 1)] == ["0%", "<1%", "50%", ">99%", "100%"]
    for part in ElementTree.fromstring(svg(almost)).itertext():
        assert "100%" not in part
