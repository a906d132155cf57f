"""What each figure of a card means, in plain words: what it says, where it is good, and what stands beside it.

Words alone, for the report and for the docs: what is measured is measured elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass

ASKED, DRAWN, MOVED, LONG, LARGE = (
    "Student's t, over questions",
    "questions drawn anew",
    "moves as far in random directions",
    "random directions as long",
    "random circuits as large",
)
FEW = f"a few {LARGE}: hardly more than their range"
RANKED = "a few random rankings of all edges: hardly more than their range"
TURNED = "each edge's score turned at random, question by question"
NONE = "-"


@dataclass(frozen=True, slots=True)
class Meaning:
    """Of one figure, or of several of a kind."""

    figures: tuple[str, ...]
    """As the report names them; … stands for what differs."""
    says: str
    good: str
    """Where it is good: a value, a side, or `-` where it is neither good nor bad."""
    interval: str
    """What was drawn anew for it."""
    chance: str
    """What was drawn where nothing is to be found."""


DECIDING = (
    Meaning(
        ("effect",),
        "by how many nats a token the persona's prompt makes its answer likelier against the neutral one",
        "far above 0",
        ASKED,
        "placebo prompts: the same words, shuffled",
    ),
    Meaning(
        ("faithfulness",),
        "the share of the effect that is left when only the circuit's edges carry the run, and all others what they carry "
        "under the other prompt",
        "1; above it the circuit overshoots",
        ASKED,
        LARGE,
    ),
    Meaning(
        ("stability",),
        "what circuits from two halves of the questions share: edges in both over edges in either",
        "1",
        "the halvings",
        TURNED,
    ),
    Meaning(
        ("reliability",),
        "the cosine between the persona's vectors from two halves of the questions, the prompts in other wordings each",
        "1",
        ASKED,
        "halves with sides swapped at random",
    ),
    Meaning(
        ("steering",),
        "by how many nats a token one unit of the vector, added where the persona is absent, moves the behaviour",
        "on the effect's side of 0, beyond chance",
        ASKED,
        LONG,
    ),
    Meaning(
        ("wrong way",),
        "the share of questions on which steering does the contrary of what the persona's prompt does",
        "0",
        "Wilson's method, over questions",
        LONG,
    ),
    Meaning(
        ("specificity",),
        "faithfulness less the mean of what other personas' circuits carry of this behaviour",
        "above 0",
        ASKED,
        LARGE,
    ),
    Meaning(
        ("residual",),
        "the share of what training changed in behaviour that comes back through none of the circuits",
        "0; below it more comes back than there was",
        ASKED,
        LARGE,
    ),
)

TOLD = (
    Meaning(
        ("mean faithfulness",),
        "faithfulness where the other edges carry means over both prompts, instead of the other prompt's values",
        "1",
        ASKED,
        FEW,
    ),
    Meaning(
        ("CPR", "mean CPR"),
        "the area under the curve of faithfulness, or mean faithfulness, over the share of edges that are kept",
        "high",
        ASKED,
        RANKED,
    ),
    Meaning(("CMD", "mean CMD"), "the area between that curve and 1", "0", ASKED, RANKED),
    Meaning(
        ("shift", "no shift"),
        "by how many nats a token training moved the behaviour; *no shift* where it did not, and no residual is owed",
        NONE,
        ASKED,
        NONE,
    ),
    Meaning(("lack",), "by how much circuit and model suffer differently from losing the same edges", "0", ASKED, FEW),
    Meaning(
        ("needed",),
        "of some of the circuit's edges, the share of which each costs more than 19 in 20 edges outside it do that are put "
        "to it and taken away again",
        "1",
        "Wilson's method, over these edges",
        NONE,
    ),
    Meaning(
        ("stability over templates", "stability over wordings"),
        "stability between halves that share no template of the questions, or no wording of the prompts",
        "1",
        "the halvings",
        TURNED,
    ),
    Meaning(
        ("ablation",), "the share of the effect that goes with the stream's part along the vector", "1", ASKED, MOVED
    ),
    Meaning(
        ("interchange",),
        "the share of it that comes over with that part to a prompt without the persona",
        "1",
        ASKED,
        MOVED,
    ),
    Meaning(
        ("patching",),
        "the share that comes over with the whole stream where the answer is foretold",
        "1",
        ASKED,
        MOVED,
    ),
    Meaning(("damage",), "by how many nats a token plain text is foretold worse while steered", "0", ASKED, LONG),
    Meaning(
        ("separation",),
        "by how many deviations the stream along the layer's direction differs between the prompts, on the questions "
        "that the layer is chosen on; of the chosen layer it is the best of all, and so on the high side",
        "high",
        ASKED,
        "sides swapped at random",
    ),
    Meaning(
        ("probe",),
        "AUROC of telling the persona's prompt by the stream, over the same neutral answer, on wordings that the probe was "
        "not fitted on",
        "1; 0.5 is nothing",
        DRAWN,
        "labels swapped within questions, as many as the correction of p needs",
    ),
    Meaning(("selectivity",), "the probe's AUROC less its mean with such labels", "high", DRAWN, NONE),
    Meaning(
        ("surface gain",), "the probe's AUROC less the best from words, embeddings or length", "above 0", DRAWN, NONE
    ),
    Meaning(("gain over untrained",), "the same less that from an untrained model", "above 0", DRAWN, NONE),
    Meaning(("cosine with …",), "how alike two personas' vectors are", "0", DRAWN, LONG),
    Meaning(
        ("moves …",),
        "by how many nats a token one unit of the vector moves another's behaviour (*the answer*: KL from what would "
        "have been said)",
        NONE,
        ASKED,
        LONG,
    ),
    Meaning(
        ("activity of …",),
        "how much of a persona's own late direction the model itself adds when one unit of the vector is put in, in units "
        "of that direction; what the stream merely carries there is taken off",
        NONE,
        ASKED,
        LONG,
    ),
    Meaning(
        ("name effect", "name …"),
        "by how much a voice's words are likelier behind its name than behind another's, in the model's own dialogues, "
        "and what the circuit carries of that",
        NONE,
        "Student's t, over dialogues",
        "names swapped at random",
    ),
    Meaning(("KL", "KL …"), "how far training moved what is said next, in nats a token", NONE, ASKED, NONE),
    Meaning(
        ("shift along …",),
        "how far training moved the stream along the persona's vector in the base, in units of that vector",
        NONE,
        ASKED,
        LONG,
    ),
    Meaning(("edge entropy …",), "the logarithm of over how many edges the behaviour is spread", NONE, NONE, NONE),
    Meaning(
        ("…'s circuit from …",),
        "what the base's circuit carries in the trained model (*before* is the base), and the other way round",
        "1: it is the same circuit",
        ASKED,
        NONE,
    ),
    Meaning(
        ("who speaks at turn …",),
        "how often it is foretold from the question alone who speaks, and by how much more than by always naming the "
        "commonest, or from words; *kept by a readable …* is the share of that in a rule that can be read",
        "high",
        "of the accuracy: questions drawn anew",
        "of the accuracy: voices shuffled among questions",
    ),
)


def table(meanings: tuple[Meaning, ...] = (*DECIDING, *TOLD)) -> str:
    """Return figures with what they mean, as Markdown."""
    lines = ["| figure | what it says | good is | interval from | by chance |", "| --- | --- | --- | --- | --- |"]
    lines += [f"| {', '.join(m.figures)} | {m.says} | {m.good} | {m.interval} | {m.chance} |" for m in meanings]
    return "\n".join(lines)
