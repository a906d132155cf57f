"""Find, load and check cards: the built-in packs, and folders of a user's own.

A pack is a folder of cards; its sub-folders are packs of their own. Within one library every id is unique, so a name
in a record always means one card. A folder named in a selection stands alone: its cards may bear the ids of built-in
ones, as long as the two are not mixed in one cast. Names that begin with a dot, and links to folders, are passed over.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from personas.cardfile import examine, read_card
from personas.persona import Fault, Persona, PersonaError

MAX_CARDS = 10_000
"""A folder with more is not a cast but a mistake, such as naming the home folder."""

MAX_TIMES = 64
"""How often a selection may repeat an item: no debate has more seats."""

BASELINE = "baseline"
"""The pack that others are measured against. It is meant only where it is named."""

PLAIN = "plain"
"""The card of that pack: a voice that is told nothing of itself."""

_SUFFIXES = (".yaml", ".yml")
_REPEATED = re.compile(r"([^*]*?)\s*\*\s*(-?\d+)")
_BUILTIN = Path(__file__).with_name("cards")


@dataclass(frozen=True, slots=True)
class Card:
    """A persona with the place it came from."""

    pack: str
    """The pack it belongs to: its folder's path below the library's folder, or that folder's own name."""
    file: str
    """The file that it was read from."""
    persona: Persona


@dataclass(frozen=True, slots=True)
class Library:
    """Cards that can be named: by id, by pack, or by a path. Raises PersonaError when two share an id."""

    cards: tuple[Card, ...]
    """In the order of packs, then of files."""

    def __post_init__(self) -> None:
        if faults := _shared_ids((card.file, card.persona.id) for card in self.cards):
            raise PersonaError(faults)

    @classmethod
    def builtin(cls) -> Library:
        """Return the packs that come with the package."""
        return cls.from_folder(_BUILTIN)

    @classmethod
    def from_folder(cls, path: str | Path) -> Library:
        """Return the cards of one folder. Raises PersonaError with every fault in it."""
        cards, faults = _examine_folder(Path(path))
        if faults:
            raise PersonaError(faults)
        return cls(tuple(cards))

    def with_folder(self, path: str | Path | None) -> Library:
        """Return a library with a folder's cards before its own; one of the folder's stands for that of the same id.

        No path adds nothing. Raises PersonaError with every fault in the folder.
        """
        if not path:
            return self
        own = Library.from_folder(path)
        taken = {persona.id for persona in own.personas}
        return Library((*own.cards, *(card for card in self.cards if card.persona.id not in taken)))

    @property
    def personas(self) -> tuple[Persona, ...]:
        """Every persona, pack by pack."""
        return tuple(card.persona for card in self.cards)

    @property
    def packs(self) -> Mapping[str, tuple[Persona, ...]]:
        """The personas of each pack."""
        packs: dict[str, list[Persona]] = {}
        for card in self.cards:
            packs.setdefault(card.pack, []).append(card.persona)
        return {name: tuple(members) for name, members in packs.items()}

    def get(self, persona_id: str) -> Persona:
        """Return the persona with this id. Raises PersonaError that names the closest ids and the packs."""
        for persona in self.personas:
            if persona.id == persona_id:
                return persona
        raise self._unknown(persona_id, [persona.id for persona in self.personas])

    def select(self, spec: str) -> tuple[Persona, ...]:
        """Return the cast that a spec such as `skeptic,plain*8,socratic,./mine` names, in its order.

        Each comma-separated item is an id, a pack, or the path of a card or folder. An id or pack of this library is
        meant before a path of the same name, so a stray folder can't change a cast; write `./NAME` for the path.
        A persona named twice is returned twice: it holds two seats. `ITEM*N` names an item N times. Two different cards
        with one id are refused, since a record of their debate couldn't tell them apart. Raises PersonaError with the
        faults of all items.
        """
        cast: list[Persona] = []
        faults: list[Fault] = []
        for item in filter(None, (part.strip() for part in spec.split(","))):
            try:
                cast += self._named(item)
            except PersonaError as error:
                faults += error.faults
        if not cast and not faults:
            faults.append(Fault("library", "(selection)", "is empty; name an id, a pack or a folder"))
        if faults := faults + _namesakes(cast):
            raise PersonaError(faults)
        return tuple(cast)

    def _named(self, item: str) -> tuple[Persona, ...]:
        if repeated := _REPEATED.fullmatch(item):
            times = int(repeated[2][:4])  # Enough digits to tell that it is too many.
            if not 1 <= times <= MAX_TIMES:
                raise PersonaError([Fault("library", item[:80], f"can be named from 1 to {MAX_TIMES} times")])
            return self._named(repeated[1]) * times
        by_id = {persona.id: persona for persona in self.personas}
        if item in by_id:
            return (by_id[item],)
        if item in self.packs:
            return self.packs[item]
        path = os.path.expanduser(item)
        if os.path.isdir(path):
            return Library.from_folder(path).personas
        if os.path.exists(path) or "/" in item or os.sep in item:
            return (read_card(path),)
        raise self._unknown(item, [*by_id, *self.packs])

    def _unknown(self, name: str, known: list[str]) -> PersonaError:
        close = difflib.get_close_matches(name.lower()[:80], known)
        hint = f"did you mean {' or '.join(close)}? " if close else ""
        reason = f"no such name; {hint}packs: {', '.join(self.packs) or 'none'}"
        return PersonaError([Fault("library", name if len(name) <= 80 else name[:79] + "…", reason)])


def validate(path: str | Path) -> list[Fault]:
    """Return every fault in a card file or in a folder of cards; none means that it can be used."""
    path = Path(path)
    return _examine_folder(path)[1] if os.path.isdir(path) else list(examine(path).faults)


def _namesakes(cast: Iterable[Persona]) -> list[Fault]:
    """Find ids that stand for different cards in one cast."""
    by_id: dict[str, Persona] = {}
    clashing = dict.fromkeys(persona.id for persona in cast if by_id.setdefault(persona.id, persona) != persona)
    return [Fault("library", name, "is the id of two different cards in this selection") for name in clashing]


def _examine_folder(folder: Path) -> tuple[list[Card], list[Fault]]:
    """Read every card below a folder, and find every fault in them and between them."""
    if not os.path.isdir(folder):
        return [], [Fault(str(folder), "(folder)", "is not a folder" if os.path.exists(folder) else "does not exist")]
    cards: list[Card] = []
    faults: list[Fault] = []
    claims: list[tuple[str, object]] = []
    for file in _card_files(folder, faults):
        if len(claims) == MAX_CARDS:
            faults.append(Fault(str(folder), "(folder)", f"holds more than {MAX_CARDS:,} cards"))
            break
        reading = examine(file)
        faults += reading.faults
        claims.append((str(file), reading.claimed_id))
        if reading.persona:
            cards.append(Card(_pack(file, folder), str(file), reading.persona))
    if not claims:
        faults.append(Fault(str(folder), "(folder)", "holds no cards: no file in it ends in .yaml or .yml"))
    return cards, faults + _shared_ids(claims)


def _card_files(folder: Path, faults: list[Fault]) -> Iterator[Path]:
    """Walk a folder: its own files first, then its sub-folders, each in the order of names."""

    def unreadable(error: OSError) -> None:
        faults.append(Fault(str(error.filename), "(folder)", f"can't be read: {error.strerror}"))

    for place, folders, files in os.walk(folder, onerror=unreadable):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if name.lower().endswith(_SUFFIXES) and not name.startswith("."):
                yield Path(place, name)


def _pack(file: Path, folder: Path) -> str:
    inside = file.parent.relative_to(folder)
    return inside.as_posix() if inside.parts else folder.resolve().name


def _shared_ids(claims: Iterable[tuple[str, object]]) -> list[Fault]:
    """Find ids that several files claim, in `(file, id)` pairs."""
    owner: dict[str, str] = {}
    faults = []
    for file, claimed in claims:
        if not isinstance(claimed, str):
            continue
        if claimed in owner:
            faults.append(Fault(file, "id", f"{claimed!r} is also the id in {owner[claimed]}"))
        owner.setdefault(claimed, file)
    return faults
