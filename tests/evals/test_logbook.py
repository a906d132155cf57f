"""A study that was interrupted goes on where it ended."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

import pytest

from chorus.errors import ConfigError, RecordError
from chorus.types import Frozen
from evals.logbook import Logbook, opened


class Row(Frozen):
    """What is found."""

    number: int


MADE_WITH = {"engine": "scripted", "sizes": (1, 2)}


class Work:
    """Finds a row, and counts how often it was asked to."""

    def __init__(self, number: int, *, well: bool = True) -> None:
        self.row = Row(number=number)
        self.well = well
        self.times = 0

    async def __call__(self) -> tuple[Sequence[Row], bool]:
        self.times += 1
        return [self.row], self.well


def hold(path, works, *, dies_after=None):
    """Do some pieces of work, or die amid them."""

    async def all_of_it(log: Logbook[Row]) -> list[Row]:
        rows: list[Row] = []
        for number, (name, work) in enumerate(works.items()):
            if number == dies_after:
                raise KeyboardInterrupt
            rows += await log.once(name, work)
        return rows

    with opened(path, Row, MADE_WITH) as log:
        return asyncio.run(all_of_it(log))


def test_what_was_found_before_is_not_looked_for_again(tmp_path):
    path, works = tmp_path / "study" / "rows.part", {name: Work(number=at) for at, name in enumerate("abc")}
    with pytest.raises(KeyboardInterrupt):
        hold(path, works, dies_after=2)
    assert [row.number for row in hold(path, works)] == [0, 1, 2]
    assert [work.times for work in works.values()] == [1, 1, 1]
    assert list(path.parent.iterdir()) == [], "a study that is done leaves nothing"


def test_what_failed_is_tried_again(tmp_path):
    path, works = tmp_path / "rows.part", {"a": Work(number=1, well=False), "b": Work(number=2)}
    with pytest.raises(KeyboardInterrupt):
        hold(path, {**works, "c": Work(number=3)}, dies_after=2)
    hold(path, works)
    assert [work.times for work in works.values()] == [2, 1]


def test_half_a_line_is_dropped(tmp_path):
    path, works = tmp_path / "rows.part", {"a": Work(number=1), "b": Work(number=2)}
    with pytest.raises(KeyboardInterrupt):
        hold(path, works, dies_after=1)
    path.write_bytes(path.read_bytes() + b'{"name": "b", "ro')
    assert [row.number for row in hold(path, works)] == [1, 2]
    assert [work.times for work in works.values()] == [1, 1]


def test_another_study_is_refused(tmp_path):
    path = tmp_path / "rows.part"
    path.write_text(json.dumps({"study": {**MADE_WITH, "engine": "another"}}) + "\n")
    with pytest.raises(ConfigError, match="other settings"):
        hold(path, {})
    assert path.exists()


@pytest.mark.parametrize("line", ["{", "[]", '{"name": "a"}', '{"name": "a", "rows": [{"number": "many"}]}'])
def test_a_damaged_line_is_named(tmp_path, line):
    path = tmp_path / "rows.part"
    path.write_text(json.dumps({"study": MADE_WITH}) + f"\n{line}\n")
    with pytest.raises(RecordError, match="line 2, is damaged"):
        hold(path, {})


def test_one_process_at_a_time(tmp_path):
    path = tmp_path / "rows.part"
    with opened(path, Row, MADE_WITH), pytest.raises(ConfigError, match="another process"):
        hold(path, {})


def test_without_a_file_it_keeps_in_memory():
    log, work = Logbook[Row](), Work(number=1)

    async def twice() -> None:
        assert await log.once("a", work) == await log.once("a", work) == [work.row]

    asyncio.run(twice())
    assert work.times == 1
