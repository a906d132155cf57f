"""From a question to a plan: who is cast, where they sit, how it will be decided, and what is refused."""

from __future__ import annotations

import json

import networkx as nx
import pytest
from debates import LIBRARY, engine, in_virtual_time, plan
from hypothesis import given
from hypothesis import strategies as st

from chorus.casting import BEST_SMALL
from chorus.config import Settings
from chorus.engines.base import EngineInfo
from chorus.engines.script import Script
from chorus.engines.scripted import ScriptedEngine
from chorus.errors import ConfigError, QuestionError, TopologyError
from chorus.route import route
from chorus.types import Question
from personas import Persona, PersonaError
from personas.library import BASELINE


class Small(ScriptedEngine):
    """An engine with few weights."""

    @property
    def info(self):
        return EngineInfo(spec="small", context_window=2048, parameters=135_000_000)


def routed(question="What is 7 * 8?", *, speaker=None, in_hand=None, **settings):
    asked = question if isinstance(question, Question) else Question(text=question)
    return in_virtual_time(route(asked, Settings(**settings), speaker or engine(), LIBRARY, in_hand))


def seated(made):
    return [(seat.seat, seat.persona) for seat in made.plan.seats]


# ---- the plan ----------------------------------------------------------------------------------------------------


def test_without_further_wishes_three_voices_hear_each_other_for_two_rounds():
    made = routed().plan
    assert (made.mode, made.kind, len(made.seats), made.rounds) == ("debate", "number", 3, 2)
    assert (made.topology, len(made.edges), made.decision, made.routed_by) == ("complete", 6, "weighted", "expertise")
    assert (made.detail, made.max_tokens, made.engine) == ("full", 512, "scripted:memory")


@pytest.mark.parametrize(
    ("question", "decision"),
    [
        ("What is 7 * 8?", "weighted"),
        ("Which is larger? (A) 3/4 (B) 2/3", "weighted"),
        ("Is 91 a prime number?", "weighted"),
        ("Should cities ban cars from their centres? Discuss the trade-offs.", "synthesis"),
    ],
)
def test_answers_that_can_be_compared_are_voted_on_and_others_put_together(question, decision):
    assert routed(question).plan.decision == decision


def test_a_small_model_is_told_little_and_shown_answers_only():
    made = routed(speaker=Small(lambda request: "56")).plan
    assert (made.detail, made.max_tokens, made.topology) == ("brief", 64, "complete:visibility=answer")
    assert {visibility for _, _, visibility in made.edges} == {"answer"}
    assert routed(speaker=Small(lambda request: "56"), detail="full").plan.detail == "full"
    assert routed(detail="brief").plan.max_tokens == 64


@pytest.mark.parametrize(
    ("question", "wishes", "rounds"),
    [
        ("What is 7 * 8?", {}, 1),
        ("What is 7 * 8?", {"rounds": 3}, 3),
        ("What is 7 * 8?", {"topology": "ring"}, 2),
        ("What is 7 * 8?", {"decision": "anchored"}, 2),
        ("What is 7 * 8?", {"mode": "inner", "decision": None}, 2),
        ("Should cities ban cars from their centres? Discuss the trade-offs.", {}, 2),
    ],
)
def test_a_small_models_voices_hear_each_other_only_where_it_is_asked_for_or_unmeasured(question, wishes, rounds):
    assert routed(question, speaker=Small(lambda request: "56"), **wishes).plan.rounds == rounds


def test_the_options_in_a_question_become_its_choices():
    made = routed("Which is larger?\n(A) 3/4\n(B) 2/3")
    assert (made.plan.kind, made.question.choices) == ("choice", ("3/4", "2/3"))


def test_personas_shift_the_sampling_within_bounds():
    cool, hot = LIBRARY.get("skeptic").model_dump(), LIBRARY.get("estimator").model_dump()
    cool["sampling"] = {"temperature": -1.0, "top_p": -1.0}
    hot["sampling"] = {"temperature": 1.0, "top_p": 0.0}
    made = routed(in_hand=[Persona(**cool), Persona(**hot)], temperature=0.5, top_p=0.9).plan
    assert [(seat.temperature, seat.top_p) for seat in made.seats] == [(0.0, 0.05), (1.5, 0.9)]


def test_one_seed_draws_one_graph():
    drawn = [routed(personas="reasoning", topology="small-world:k=2,p=0.9", seed=seed).plan.edges for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]


# ---- modes -------------------------------------------------------------------------------------------------------


def test_a_vote_has_one_round_and_no_edges():
    made = routed(mode="vote", voices=5).plan
    assert (made.rounds, made.edges, len(made.seats), made.decision) == (1, (), 5, "weighted")


def test_a_solo_has_one_voice():
    made = routed(mode="solo").plan
    assert (made.rounds, made.edges, len(made.seats)) == (1, (), 1)
    assert seated(routed(mode="solo", personas="tester,skeptic")) == [("tester", "tester")]
    essay = routed("What is justice?", mode="solo").plan
    assert essay.decision == "plurality", "one voice needs no coordinator"


def test_an_inner_chorus_rules_itself():
    made = routed(mode="inner", rounds=3).plan
    assert (made.rounds, made.edges, len(made.seats), made.decision) == (3, (), 3, "judge")


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"mode": "vote", "topology": "ring"}, "mode vote has no edges"),
        ({"mode": "solo", "topology": "ring"}, "mode solo has no edges"),
        ({"mode": "inner", "topology": "ring"}, "mode inner has no edges"),
        ({"mode": "vote", "rounds": 2}, "mode vote has one round"),
        ({"mode": "solo", "rounds": 3}, "mode solo has one round"),
        ({"mode": "inner", "decision": "borda"}, "casts no ballots, so borda can't decide"),
        ({"mode": "inner", "decision": "checked"}, "checks no answers, so checked can't decide"),
    ],
)
def test_wishes_that_a_mode_cant_grant_are_refused(settings, problem):
    with pytest.raises(ConfigError, match=problem):
        routed(**settings)


# ---- the cast ----------------------------------------------------------------------------------------------------


def test_a_cast_may_be_named():
    made = routed(personas="skeptic,estimator")
    assert seated(made) == [("skeptic", "skeptic"), ("estimator", "estimator")]
    assert made.plan.routed_by == "fixed"


def test_a_persona_named_twice_gets_two_seats():
    made = routed(personas="skeptic,skeptic,estimator,skeptic")
    assert [name for name, _ in seated(made)] == ["skeptic", "skeptic-2", "estimator", "skeptic-3"]
    assert set(made.cast) == {"skeptic", "estimator"}


def test_a_persona_may_be_seated_many_times():
    made = routed(personas="plain*8", mode="vote")
    assert [who for _, who in seated(made)] == ["plain"] * 8
    assert [name for name, _ in seated(made)][::7] == ["plain", "plain-8"]


def test_a_cast_in_hand_goes_first():
    made = routed(in_hand=[LIBRARY.get("tester")], personas="skeptic")
    assert seated(made) == [("tester", "tester")]
    with pytest.raises(ConfigError, match="the cast is empty"):
        routed(in_hand=[])


def test_voices_are_matched_to_the_question():
    reasoning, judgement = ({who.id for who in LIBRARY.packs[pack]} for pack in ("reasoning", "judgement"))
    assert set(routed("What is 7 * 8?").cast) <= reasoning
    assert set(routed("Should cities ban cars? Discuss.").cast) <= judgement
    assert "forecaster" in routed("How likely is it that prices rise? Discuss the probability of a crash.").cast


def test_a_small_model_is_given_the_voices_that_did_best_with_small_models():
    def speak(question="What is 7 * 8?", **settings):
        return routed(question, speaker=Small(lambda request: "56"), **settings)

    made = speak()
    assert [who for _, who in seated(made)] == ["plain", "estimator", "backtracker"]
    assert made.plan.routed_by == "what did best with small models"
    assert [who for _, who in seated(speak(mode="solo"))] == ["plain"]
    for unmeasured in ("Should cities ban cars? Discuss.", "Is a whale a fish?"):
        assert speak(unmeasured).plan.routed_by == "expertise"
    assert "plain" not in speak(personas="skeptic,tester").cast, "who names a cast has that one"
    assert speak(voices=len(BEST_SMALL) + 1).plan.routed_by == "expertise", "there are no more that were measured"
    assert {*BEST_SMALL} == {"plain", *(who.id for who in LIBRARY.packs["reasoning"])}


def test_more_voices_than_the_pack_has_come_from_the_others():
    everybody = len(LIBRARY.personas) - len(LIBRARY.packs[BASELINE])
    cast = {who for _, who in seated(routed(voices=everybody))}
    assert len(cast) == everybody
    assert "plain" not in cast
    with pytest.raises(ConfigError, match=f"{everybody + 1} voices are more than the {everybody} personas"):
        routed(voices=everybody + 1)


# ---- a cast from a file ------------------------------------------------------------------------------------------


def graphml(path):
    graph = nx.DiGraph()
    graph.add_node("head", persona="formalist")
    graph.add_node("skeptic")
    graph.add_node("skeptic-2")
    graph.add_edge("skeptic", "head", visibility="answer")
    graph.add_edge("skeptic-2", "head")
    nx.write_graphml(graph, path)


def node_link(path):
    content = {
        "directed": True,
        "nodes": [{"id": "head", "persona": "formalist"}, {"id": "skeptic"}, {"id": "skeptic-2"}],
        "links": [
            {"source": "skeptic", "target": "head", "visibility": "answer"},
            {"source": "skeptic-2", "target": "head"},
        ],
    }
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(("name", "write"), [("who.graphml", graphml), ("who.json", node_link)])
def test_a_topology_file_brings_its_own_cast(tmp_path, name, write):
    write(tmp_path / name)
    made = routed(topology=str(tmp_path / name))
    assert seated(made) == [("head", "formalist"), ("skeptic", "skeptic"), ("skeptic-2", "skeptic")]
    assert made.plan.edges == (("skeptic", "head", "answer"), ("skeptic-2", "head", "full"))
    assert made.plan.routed_by == "fixed by the topology file"


def test_a_topology_file_may_be_filled_with_the_same_cast_by_name(tmp_path):
    graphml(tmp_path / "who.graphml")
    made = routed(personas="formalist,skeptic,skeptic", topology=str(tmp_path / "who.graphml"))
    assert [name for name, _ in seated(made)] == ["head", "skeptic", "skeptic-2"]


def test_a_topology_file_that_does_not_fit_the_cast_is_refused(tmp_path):
    graphml(tmp_path / "who.graphml")
    with pytest.raises(TopologyError, match="names unknown seats: head"):
        routed(personas="tester,skeptic,skeptic", topology=str(tmp_path / "who.graphml"))


def test_a_topology_file_whose_seats_are_nobody_is_refused(tmp_path):
    nx.write_graphml(nx.path_graph(["nobody", "skeptic"], create_using=nx.DiGraph), tmp_path / "who.graphml")
    with pytest.raises(PersonaError, match="nobody"):
        routed(topology=str(tmp_path / "who.graphml"))


# ---- a cast that the model writes --------------------------------------------------------------------------------

ANN = {"name": "Ann, a surveyor", "cue": "Measure first.", "method": ["Measure it.", "Compare it."]}
BO = {"name": "Bo, a judge", "cue": "Weigh both sides.", "method": ["Hear one side.", "Hear the other."]}


def written(text, voices=2, **more):
    said = text if isinstance(text, str) else json.dumps(text)
    speaker = engine({"0.cast": {"text": said, **more}})
    return routed(speaker=speaker, personas="written", voices=voices)


def test_the_model_may_write_the_cast():
    made = written(f"Here they are:\n```json\n{json.dumps([ANN, BO])}\n```\nEnjoy!")
    assert (made.plan.routed_by, seated(made)) == (
        "written",
        [("ann-a-surveyor", "ann-a-surveyor"), ("bo-a-judge", "bo-a-judge")],
    )
    assert made.cast["ann-a-surveyor"].method == ("Measure it.", "Compare it.")
    assert made.cast["bo-a-judge"].cue == "Weigh both sides."


def test_what_it_took_to_write_the_cast_is_kept():
    assert written([ANN, BO]).spent.calls == 1
    assert written([ANN, BO]).spent.completion_tokens > 0
    assert written("no").spent.completion_tokens > 0, "also when it was no use"
    assert routed().spent.calls == 0


def test_no_more_personas_than_voices_are_taken():
    assert len(written([ANN, BO, {**ANN, "name": "Cy"}]).plan.seats) == 2


def test_a_solo_has_one_persona_written():
    asked = []

    class Listening(ScriptedEngine):
        async def generate(self, request, emit):
            asked.append(request)
            return await super().generate(request, emit)

    speaker = Listening(Script.model_validate({"default": {"text": json.dumps([ANN])}}))
    made = routed(speaker=speaker, mode="solo", personas="written", voices=5)
    assert (made.plan.routed_by, seated(made)) == ("written", [("ann-a-surveyor", "ann-a-surveyor")])
    assert "Name an expert whose way of thinking would help" in asked[0].messages[0].content
    assert asked[0].sampling.max_tokens == 100


def test_names_in_other_alphabets_make_no_id_but_a_seat_all_the_same():
    made = written([{**ANN, "name": "Анна, геодезист"}, {**BO, "name": "3D Bo"}])
    assert seated(made) == [("voice-1", "voice-1"), ("d-bo", "d-bo")]
    assert made.cast["voice-1"].name == "Анна, геодезист"


def test_one_step_is_a_method_with_a_conclusion():
    made = written([{**ANN, "method": ["Measure it."]}, BO])
    assert made.cast["ann-a-surveyor"].method == ("Measure it.", "State what follows for the question.")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("I can't do that.", "the model wrote no JSON list"),
        ("", "the model wrote no JSON list"),
        ('[{"name": "Ann"', "the model wrote no JSON list"),
        ('[{"name": "Ann",]', "the model's JSON can't be read"),
        ("[" * 1500 + "]" * 1500, "the model's JSON can't be read"),
        ("[]", "the model wrote 0 usable personas"),
        ([ANN, ANN], "the model wrote 1 usable personas"),
        ([ANN, "Bo"], "something else than personas"),
        ([ANN, 5, None], "something else than personas"),
        ([ANN, {}], "faulty name"),
        ([ANN, {**BO, "name": {"first": "Bo"}}], "faulty name"),
        ([ANN, {**BO, "cue": 7}], "faulty cue"),
        ([ANN, {**BO, "method": 5}], "faulty method"),
        ([ANN, {**BO, "method": True}], "faulty method"),
        ([ANN, {**BO, "method": "Measure it."}], "faulty method"),
        ([ANN, {**BO, "method": [1, None, "", {}]}], "faulty method"),
        ([ANN, {**BO, "name": "Bo <|im_end|>"}], "faulty name"),
        ([ANN, {**BO, "cue": "Obey.\x07"}], "faulty summary"),
        ([ANN, {**BO, "name": "Bo \ud800"}], "faulty name"),
    ],
)
def test_a_cast_that_is_no_use_falls_back_and_says_why(text, reason):
    made = written(text)
    assert made.plan.routed_by.startswith("expertise, since no cast could be written: ")
    assert reason in made.plan.routed_by
    assert len(made.plan.seats) == 2
    assert set(made.cast) <= {who.id for who in LIBRARY.personas}


def test_an_engine_that_fails_to_write_the_cast_falls_back_too():
    made = written("", fail={"message": "HTTP 500"})
    assert made.plan.routed_by == "expertise, since no cast could be written: HTTP 500"
    assert made.spent.calls == 1


@given(
    st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                key: st.one_of(
                    st.text(max_size=30), st.integers(), st.none(), st.lists(st.text(max_size=9), max_size=4)
                )
                for key in ("name", "cue", "method")
            },
        ),
        max_size=4,
    )
)
def test_whatever_the_model_writes_there_is_a_cast(entries):
    made = written(entries)
    assert len(made.plan.seats) >= 2 if made.plan.routed_by == "written" else len(made.plan.seats) == 2
    made.plan.model_dump_json()


# ---- what is refused ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "  \n", "\0\x01\x02", "\u200b\ufeff\u202e"])
def test_a_question_that_says_nothing_is_refused(text):
    with pytest.raises(QuestionError, match="the question is empty"):
        routed(Question(text=text))


def test_what_is_not_there_is_refused_with_what_is_nearest():
    with pytest.raises(PersonaError, match=r"skeptik.*did you mean skeptic"):
        routed(personas="skeptik")
    with pytest.raises(TopologyError, match="unknown topology 'rign'; did you mean ring"):
        routed(topology="rign")
    with pytest.raises(ConfigError, match="unknown decision rule 'pluralty'; did you mean plurality"):
        routed(decision="pluralty")


def test_a_path_that_is_no_text_makes_no_record_that_cant_be_saved(tmp_path):
    path = tmp_path / "who\udcff.json"
    node_link(path)
    made = routed(topology=str(path))
    made.plan.model_dump_json()
    assert made.plan.topology.endswith("who\ufffd.json")


def test_one_seat_needs_no_edges():
    assert plan("complete", ("skeptic",)).edges == ()
    assert routed(personas="skeptic", topology="ring").plan.edges == ()
