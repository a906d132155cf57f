"""The cast: persona cards, the packs they come in, and what makes a good group of them.

A persona is data, not code: a YAML card that says who speaks, by which method, and in what voice.
"""

from personas.library import Card, Library, validate
from personas.persona import Fault, Persona, PersonaError, SamplingOffset

__all__ = ["Card", "Fault", "Library", "Persona", "PersonaError", "SamplingOffset", "validate"]
