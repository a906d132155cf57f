"""`legibility.json`: how much of a baked model's persona behaviour is explained, and what it is therefore granted.

`chorus audit` writes the card beside the weights; `chorus serve` reads it. A card stands for the weights, the tokenizer and
the prompts whose sha256 it bears and no others, and its grant is that of its weakest persona. It bears a digest of its own
contents, so that a card edited by hand is known as such, and a keyed signature (HMAC-SHA256) where a key was given: a digest
can be made anew by whoever edits, a signature only by whoever has the key.
"""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from chorus.checkpoints.beside import digest, digests
from chorus.checkpoints.manifest import fingerprint
from chorus.errors import CheckpointError

CARD = "legibility.json"
KEY = "CHORUS_AUDIT_KEY"
"""Environment variable with the key that cards are signed and checked with."""

Grant = Literal["full", "limited", "supervised", "none"]
"""What a model may do: everything; no tools, at a capped rate and length; that, and every answer is marked for review;
nothing."""
GRANTS: tuple[Grant, ...] = ("full", "limited", "supervised", "none")
Verdict = Literal["explained", "partly", "unexplained"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Measured(_Part):
    """One figure, with what tells whether it means anything."""

    value: float
    interval: tuple[float, float] | None = None
    """95 %."""
    null: tuple[float, float] | None = None
    """2.5th and 97.5th percentile of the same where nothing is to be found: placebo prompts, random circuits, …"""
    p: float | None = None
    """Share of the null at least as extreme, counting the figure itself."""


class Persona(_Part):
    """What was found of one persona."""

    verdict: Verdict
    grant: Grant
    """What the model would be granted if this were its only persona."""
    reasons: tuple[str, ...]
    figures: dict[str, Measured]


class Place(_Part):
    """One layer of a sweep, or one size of a circuit."""

    at: int
    """The layer, counted from 0; or how many edges."""
    chosen: bool = False
    """Whether it is the layer of the vector, or the size of the circuit, that is judged."""
    figures: dict[str, Measured]


class Card(_Part):
    """A whole card. There is none of half an audit."""

    schema_version: Literal[3] = Field(default=3, alias="schema")
    """1 and 2 had no `beside`: such cards could be put beside another tokenizer or prompt, and stand no more."""
    model: str
    """Name of the checkpoint."""
    weights: str
    """Its `fingerprint`."""
    beside: dict[str, str]
    """Digests of what else decides its answers: configuration, tokenizer, chat template, how it is asked."""
    base: str | None = None
    """Fingerprint of the model that it was held against."""
    depth: str
    config: dict[str, Any]
    """All that could have been chosen otherwise."""
    config_sha256: str
    config_fixed: str
    """When, UTC: before the test split was opened."""
    test_opened: str
    personas: dict[str, Persona] = Field(min_length=1)
    layers: dict[str, tuple[Place, ...]] = Field(default_factory=dict)
    """By persona, the sweep: what was found at each layer."""
    sizes: dict[str, tuple[Place, ...]] = Field(default_factory=dict)
    """By persona, faithfulness as the strongest edges are added; empty where the audit had no time for it."""
    drift: dict[str, Measured] = Field(default_factory=dict)
    """Against the base."""
    rules: dict[str, Measured] = Field(default_factory=dict)
    """How well the model's dialogues can be foretold."""
    capped: tuple[str, ...] = ()
    """Why the grant is no more than `supervised`, whatever the personas' are; empty where nothing held it back."""
    grant: Grant
    made: str
    """UTC."""
    versions: dict[str, str]
    hardware: str
    sha256: str = ""
    """Of all fields but this and the next."""
    signature: str | None = None

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        held: tuple[Grant, ...] = ("supervised",) if self.capped else ()
        if self.grant != weakest([*(each.grant for each in self.personas.values()), *held]):
            raise ValueError("its grant is not that of its weakest persona, or is more than it was held back to")
        if self.config_sha256 != digest(self.config):
            raise ValueError("its config is not the one whose hash was fixed")
        if self.test_opened < self.config_fixed:
            raise ValueError("the test split was opened before the config was fixed")
        return self

    def sealed(self, key: str | None = None) -> Card:
        """Return the card with its digest, and signed when there is a key."""
        sha256 = self.digest()
        return self.model_copy(update={"sha256": sha256, "signature": _signature(sha256, key) if key else None})

    def digest(self) -> str:
        """Return the sha256 of the contents."""
        return digest(self.model_dump(mode="json", by_alias=True, exclude={"sha256", "signature"}))

    def text(self) -> str:
        """Return the card as the file holds it."""
        return self.model_dump_json(by_alias=True, indent=1) + "\n"


def weakest(grants: Any) -> Grant:
    """Return the least of some grants."""
    return GRANTS[max(map(GRANTS.index, grants))]


def check(folder: Path, key: str | None = None, *, weights: Path | None = None) -> Card:
    """Read and check the card of a checkpoint.

    Args:
        folder: of the checkpoint.
        key: where given, the card must be signed with it.
        weights: folder of the checkpoint that is meant, where the card lies beside the adapter that makes it.

    Raises:
        CheckpointError: there is no card, it is damaged or edited or of an earlier schema, its signature is wrong or
            missing, or it is for other weights or for another way of asking; says which, and what to do.
    """
    path = folder / CARD
    audit = f"run `chorus audit {folder}`"
    try:
        card = Card.model_validate_json(path.read_text("utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{folder} has no {CARD}: {audit}") from None
    except ValidationError as error:
        first = error.errors()[0]
        if first["loc"] == ("beside",) or (first["loc"] == ("schema",) and first["input"] in (1, 2)):
            why = "is an earlier version's, which said nothing of the tokenizer and the prompts"
            raise CheckpointError(f"{path} {why}: {audit} again") from None
        raise CheckpointError(f"{path} is no whole card: {first['msg']}; {audit}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"can't read {path}: {getattr(error, 'strerror', None) or error}") from error
    if card.sha256 != card.digest():
        raise CheckpointError(f"{path} was changed after it was written: {audit} again")
    if key and not (card.signature and hmac.compare_digest(card.signature, _signature(card.sha256, key))):
        how = "is signed with another key" if card.signature else "is not signed"
        raise CheckpointError(f"{path} {how}: {audit} with {KEY} set")
    meant = weights or folder
    if card.weights != fingerprint(meant, afresh=True):
        raise CheckpointError(f"{path} is for other weights than those beside it: {audit} again")
    here = digests(meant)
    if others := [name for name in sorted({*card.beside, *here}) if card.beside.get(name) != here.get(name)]:
        raise CheckpointError(f"{path} was written when {', '.join(others)} said something else: {audit} again")
    return card


def _signature(sha256: str, key: str) -> str:
    return hmac.new(key.encode(), sha256.encode(), hashlib.sha256).hexdigest()
