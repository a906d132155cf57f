"""Records in shards: each id once, each shard whole, whatever crashed, whoever copied, whatever comes in twice."""

import functools
import json
import os
import string
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chorus import Answer, Chorus, RecordError
from chorus.engines.scripted import ScriptedEngine
from chorus.record import shards, transcript
from chorus.record.shards import Row, Shards
from chorus.types import Question

FORMS = ["out", pytest.param("out.parquet", marks=pytest.mark.ray)]


@pytest.fixture(scope="module")
def answer() -> Answer:
    with Chorus(ScriptedEngine(lambda request: "Answer: 56"), "skeptic,formalist") as chorus:
        return chorus.ask("What is 7 * 8?")


@pytest.fixture(scope="module")
def rows(answer):
    def made(ids: str, text: str = "What is 7 * 8?", status: str = "done") -> list[Row]:
        return [
            shards.row(
                answer.model_copy(
                    update={"question": answer.question.model_copy(update={"id": name, "text": text}), "status": status}
                )
            )
            for name in ids
        ]

    return made


def held(folder: Path) -> list[str]:
    return [record.question.id for record in transcript.read(folder)]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


@pytest.mark.parametrize("form", FORMS)
def test_what_is_added_is_there_and_known_by_whoever_comes_next(tmp_path, rows, form):
    folder = tmp_path / form
    written = Shards(folder)
    written.add(rows("abc"))
    written.add(rows("d", "What is 6 * 9?", "failed"))
    assert held(folder) == list("abcd")
    again = Shards(folder)
    assert again.known == written.known
    assert again.known.failed == {"d"}
    assert again.known.asked["d"] == shards.hash_of_text("What is 6 * 9?") != again.known.asked["a"]
    again.add(rows("e"))
    suffix = ".parquet" if form.endswith(".parquet") else ".jsonl"
    assert names(folder) == [f"part-00000{number}{suffix}" for number in range(2)], "one for each that wrote"


@pytest.mark.parametrize("form", FORMS)
def test_an_id_is_written_once(tmp_path, rows, form):
    folder = tmp_path / form
    written = Shards(folder)
    assert [row.id for row in written.add([*rows("aba"), *rows("c")])] == ["a", "b", "c"]
    assert written.add(rows("cab")) == []
    assert Shards(folder).add(rows("bcd")) == rows("d")
    assert held(folder) == list("abcd")


@pytest.mark.parametrize("form", FORMS)
def test_of_two_records_the_first_stays(tmp_path, rows, form):
    one, other = tmp_path / form, tmp_path / f"other{Path(form).suffix}"
    Shards(one).add(rows("abc"))
    Shards(other).add(rows("xbcy", status="failed"))
    (shard,) = (other / name for name in names(other))
    shard.rename(one / shard.name.replace("000000", "000007"))
    mended = Shards(one)
    assert held(one) == list("abcxy")
    assert mended.known.failed == {"x", "y"}
    mended.add(rows("d"))
    assert names(one)[-1].startswith("part-000008")
    assert Shards(one).known == mended.known


@pytest.mark.parametrize("form", FORMS)
def test_dropped_records_can_be_written_again(tmp_path, rows, form):
    folder = tmp_path / form
    written = Shards(folder)
    written.add(rows("ab"))
    written.add(rows("c", status="failed"))
    written.drop({"a", "c"})
    assert held(folder) == ["b"]
    assert Shards(folder).known == written.known
    written.add(rows("ac"))
    assert held(folder) == list("bac")


@pytest.mark.parametrize("form", FORMS)
def test_what_comes_in_little_by_little_fills_one_shard_after_another(tmp_path, rows, form, monkeypatch):
    monkeypatch.setattr(shards, "SHARD_RECORDS", 4)
    written = Shards(tmp_path / form)
    for ids in ("a", "bc", "d", "efg", "hijklm", "n"):
        written.add(rows(ids))
        assert held(tmp_path / form) == [*string.ascii_lowercase[: string.ascii_lowercase.index(ids[-1]) + 1]]
    sizes = [sum(1 for _ in shards._lines(path)) for path in shards._shards(tmp_path / form)]
    assert sizes == [4, 3, 6, 1]
    assert Shards(tmp_path / form).known == written.known


@pytest.mark.parametrize("form", FORMS)
def test_what_was_dropped_does_not_come_back_with_what_is_added(tmp_path, rows, form):
    written = Shards(tmp_path / form)
    written.add(rows("ab"))
    written.drop({"a"})
    written.add(rows("c"))
    assert held(tmp_path / form) == ["b", "c"]


def test_half_a_shard_was_never_there(tmp_path, rows, monkeypatch):
    written = Shards(tmp_path / "out")
    written.add(rows("a"))

    def crash(path, to):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", crash)
        with pytest.raises(KeyboardInterrupt):
            written.add(rows("bc"))
    (tmp_path / "out" / ".part-000001.jsonl.partial").write_text('{"schema": 1, "id": "half')
    again = Shards(tmp_path / "out")
    assert held(tmp_path / "out") == ["a"]
    assert list((tmp_path / "out").glob(".*.partial")) == []
    again.add(rows("bc"))
    assert held(tmp_path / "out") == list("abc")


def test_a_shard_that_was_cut_off_keeps_its_whole_records(tmp_path, rows):
    folder = tmp_path / "out"
    Shards(folder).add(rows("abc"))
    shard = folder / "part-000000.jsonl"
    shard.write_bytes(shard.read_bytes()[:-100])
    mended = Shards(folder)
    assert set(mended.known.asked) == {"a", "b"}
    mended.add(rows("c"))
    assert held(folder) == list("abc")


@pytest.mark.parametrize("index", [None, b"", b"[]", b'{"bytes": 1}', b'{"bytes": "x", "ids": []}'])
def test_an_index_that_is_no_use_is_made_again(tmp_path, rows, index):
    folder = tmp_path / "out"
    before = Shards(folder)
    before.add(rows("ab", status="failed"))
    path = folder / ".part-000000.index"
    whole = path.read_bytes()
    path.unlink() if index is None else path.write_bytes(index)
    assert Shards(folder).known == before.known
    assert path.read_bytes() == whole


def test_a_scan_reads_no_shard(tmp_path, rows):
    folder = tmp_path / "out"
    Shards(folder).add(rows("ab"))
    shard = folder / "part-000000.jsonl"
    shard.write_bytes(b"x" * shard.stat().st_size)
    assert set(Shards(folder).known.asked) == {"a", "b"}


@pytest.mark.parametrize(
    ("more", "text_alone"), [({}, True), ({"choices": ("1", "2")}, False), ({"answer": "1"}, True)]
)
def test_a_question_is_known_by_all_that_it_says_but_its_id_and_answer(more, text_alone):
    asked = [shards.hash_of(Question(id=name, question="What?", **more)) for name in "ab"]
    assert (asked[0] == shards.hash_of_text("What?")) is text_alone
    assert asked[0] == asked[1]


@pytest.mark.parametrize("form", FORMS)
def test_a_folder_of_the_first_version_knew_texts_alone_so_its_records_are_read(tmp_path, rows, form):
    folder = tmp_path / form
    written = Shards(folder)
    chosen = [row._replace(record=row.record.replace('"choices":[]', '"choices":["1","2"]')) for row in rows("ab")]
    written.add([shards.row(shards.jsonl.loads(row.record)) for row in chosen])
    whole = dict(written.known.asked)
    text = shards.hash_of_text("What is 7 * 8?")
    assert set(whole.values()) != {text}
    if form == "out":
        index = folder / ".part-000000.index"
        told = json.loads(index.read_bytes())
        del told["version"]
        index.write_text(json.dumps(told | {"asked": [text, text]}))
    else:
        from pyarrow import parquet

        shard = folder / "part-000000.parquet"
        table = parquet.read_table(shard)
        parquet.write_table(
            table.rename_columns(["asked" if n == "question_hash" else n for n in table.schema.names]), shard
        )
    assert Shards(folder).known.asked == whole


def test_what_another_program_is_writing_is_left_alone(tmp_path, rows):
    folder = tmp_path / "out"
    Shards(folder).add(rows("a"))
    theirs = [".download.partial", ".part-000000.crc.partial"]
    for name in [*theirs, ".part-000007.jsonl.partial", ".part-000000.index.partial"]:
        (folder / name).write_text("half")
    Shards(folder)
    assert sorted(path.name for path in folder.glob(".*.partial")) == theirs


def test_a_folder_that_is_not_ours_is_left_as_it_is(tmp_path):
    (tmp_path / "part-000000.jsonl").write_text('{"id": "a"}\n')
    (tmp_path / ".part-000000.jsonl.partial").write_text("half")
    before = names(tmp_path)
    with pytest.raises(RecordError, match="not a debate's record"):
        Shards(tmp_path)
    assert (names(tmp_path), (tmp_path / ".part-000000.jsonl.partial").exists()) == (before, True)


@pytest.mark.ray
def test_parquet_of_another_program_is_refused(tmp_path):
    import pyarrow
    from pyarrow import parquet

    folder = tmp_path / "out.parquet"
    folder.mkdir()
    spark = folder / "part-00000-5a1f-c000.snappy.parquet"
    parquet.write_table(pyarrow.table({"id": [1, 2], "text": ["a", "b"]}), spark)
    with pytest.raises(RecordError, match=r"part-00000-.*\.parquet holds no records of debates"):
        Shards(folder)
    with pytest.raises(RecordError, match="holds no records"):
        list(transcript.read(folder))


def test_a_shard_that_can_not_be_read_is_told(tmp_path, rows, monkeypatch):
    Shards(tmp_path / "out").add(rows("ab"))
    there = shards._shards(tmp_path / "out")
    (tmp_path / "out" / "part-000000.jsonl").unlink()
    monkeypatch.setattr(shards, "_shards", lambda folder: there)
    with pytest.raises(RecordError, match=r"can't read .*out: No such file or directory"):
        list(transcript.read(tmp_path / "out"))


def test_a_damaged_line_is_named(tmp_path, rows):
    folder = tmp_path / "out"
    Shards(folder).add(rows("ab"))
    shard = folder / "part-000000.jsonl"
    shard.write_bytes(b"my notes\n" + shard.read_bytes())
    with pytest.raises(RecordError, match=r"part-000000\.jsonl, line 1: not JSON"):
        Shards(folder)


def test_shards_of_the_other_form_are_refused(tmp_path, rows):
    Shards(tmp_path / "out").add(rows("a"))
    (tmp_path / "out" / "part-000001.parquet").write_bytes(b"PAR1")
    with pytest.raises(RecordError, match=r"holds part-000001\.parquet, and shards of jsonl were to go there"):
        Shards(tmp_path / "out")


@pytest.mark.ray
def test_half_a_parquet_file_is_named(tmp_path, rows):
    folder = tmp_path / "out.parquet"
    Shards(folder).add(rows("ab"))
    shard = folder / "part-000000.parquet"
    shard.write_bytes(shard.read_bytes()[:-100])
    with pytest.raises(RecordError, match=r"part-000000\.parquet is no whole Parquet file: remove it"):
        Shards(folder)


@pytest.mark.ray
def test_parquet_shows_what_is_asked_for_most_in_columns(tmp_path, rows, answer):
    from pyarrow import dataset

    Shards(tmp_path / "out.parquet").add(rows("ab"))
    table = dataset.dataset(tmp_path / "out.parquet").to_table().to_pylist()
    assert [(row["id"], row["status"], row["answer"]) for row in table] == [("a", "done", "56"), ("b", "done", "56")]
    assert json.loads(table[0]["record"])["id"] == answer.id


@pytest.mark.parametrize("name", ["no/out", "file/out"])
def test_a_place_that_cant_be_written_is_refused(tmp_path, name):
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordError, match=r"can't write .*out: "):
        Shards(tmp_path / name)


@settings(max_examples=30)
@given(st.lists(st.tuples(st.text("abcdef", max_size=6), st.booleans()), max_size=6))
def test_whatever_comes_in_each_id_is_there_once(rows, tmp_path_factory, comings):
    folder = tmp_path_factory.mktemp("shards") / "out"
    written, seen = Shards(folder), []
    for ids, reopened in comings:
        written.add(rows(ids))
        seen += [name for name in dict.fromkeys(ids) if name not in seen]
        written = Shards(folder) if reopened else written
    assert held(folder) == seen
    assert list(Shards(folder).known.asked) == seen


class Killed(BaseException):
    """The process is gone."""


@contextmanager
def killed_at(step: int) -> Iterator[None]:
    """Let a writer take so many steps on disk, half of the last one where it has halves, and none afterwards."""
    left = step

    def only_alive(do, half=None):
        def call(*arguments, **options):
            nonlocal left
            left -= 1
            if left == 0 and half:
                half(*arguments)
            if left <= 0:
                raise Killed
            return do(*arguments, **options)

        return call

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "SHARD_RECORDS", 4)
        patch.setattr(os, "fsync", only_alive(os.fsync))
        patch.setattr(Path, "replace", only_alive(Path.replace))
        patch.setattr(Path, "unlink", only_alive(Path.unlink))
        for name in ("write_bytes", "write_text"):
            write = getattr(Path, name)
            half = functools.partial(lambda write, to, text, *_: write(to, text[: len(text) // 2]), write)
            patch.setattr(Path, name, only_alive(write, half))
        yield


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.lists(st.text("abcdefghij", max_size=4), max_size=6), st.integers(1, 30)), max_size=4))
def test_whenever_a_writer_is_killed_each_id_is_there_once(rows, tmp_path_factory, lives):
    folder = tmp_path_factory.mktemp("shards") / "out"
    promised: set[str] = set()
    tried: set[str] = set()
    for comings, step in lives:
        with killed_at(step):
            try:
                written = Shards(folder)
                for ids in comings:
                    tried |= set(ids)
                    written.add(rows(ids))
                    promised |= set(ids)
            except Killed:
                pass
        there = Counter(held(folder)) if folder.exists() else Counter()
        assert set(there.values()) <= {1}, "read by somebody else, before the next writer comes"
        assert promised <= set(there) <= tried
        promised = set(there)
    assert set(Shards(folder).known.asked) == promised
