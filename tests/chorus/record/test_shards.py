"""Records in shards: each id once, each shard whole, whatever crashed, whoever copied, whatever comes in twice."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chorus import Answer, Chorus, RecordError
from chorus.engines.scripted import ScriptedEngine
from chorus.record import shards, transcript
from chorus.record.shards import Row, Shards

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
    assert again.known.asked["d"] == shards.hash_of("What is 6 * 9?") != again.known.asked["a"]
    again.add(rows("e"))
    suffix = ".parquet" if form.endswith(".parquet") else ".jsonl"
    assert names(folder) == [f"part-00000{number}{suffix}" for number in range(3)]


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
