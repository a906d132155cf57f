"""Survey rows become personas: somebody with these traits, in the words of the survey's codebook.

A chorus of such voices can be asked what the people of a survey would say (silicon sampling; Argyle et al., Political
Analysis 2023). The traits stand in the card's method, in the second person, so a voice reads them in either detail:
all sentences where it reads methods, and their short forms in the one-line cue of small models.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import ValidationError

from personas.persona import Fault, Persona, PersonaError

TASK = "Answer as this person would, not as you would yourself."
_STEP_CHARS = 400
_STEPS = 7


def persona(id_: str, traits: Sequence[str], short: Sequence[str] = ()) -> Persona:
    """Return the persona of one respondent.

    Args:
        id_: names the card, a lowercase slug.
        traits: one sentence each, in the second person (`You are 54 years old.`).
        short: the same as a few words each, for small models; none leaves their cue without traits.

    Raises:
        PersonaError: there is no trait, or they don't fit on a card; nothing is left out silently.
    """
    try:
        return Persona(
            id=id_,
            name=f"Respondent {id_}",
            summary=f"Somebody who took part in a survey, known by {len(traits)} traits.",
            method=(*_steps(id_, traits), TASK),
            cue=f"You are: {', '.join(short)}. Answer as this person." if short else TASK,
            voice="Plain; says what this person would say.",
        )
    except ValidationError as error:
        faults = [Fault(id_, ".".join(map(str, one["loc"])), one["msg"]) for one in error.errors()]
        raise PersonaError(faults) from None


def told(card: Persona) -> str:
    """Return the traits of a respondent's card as one paragraph."""
    return " ".join(step for step in card.method if step != TASK)


def _steps(id_: str, traits: Sequence[str]) -> list[str]:
    """Pack the sentences into as few steps as hold them."""
    if not traits:
        raise PersonaError([Fault(id_, "method", "a respondent needs at least one trait that is known")])
    steps: list[str] = []
    for trait in traits:
        if steps and len(steps[-1]) + len(trait) < _STEP_CHARS:
            steps[-1] += f" {trait}"
        else:
            steps.append(trait)
    if len(steps) > _STEPS:
        raise PersonaError([Fault(id_, "method", f"{len(traits)} traits don't fit into {_STEPS} steps")])
    return steps
