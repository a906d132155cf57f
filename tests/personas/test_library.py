"""Finding cards: packs, folders, selections, and what is said when there is nothing to be found."""

import pytest

from personas import Library, PersonaError, library, validate
from personas.cardfile import dump_card


@pytest.fixture(scope="module")
def builtin():
    return Library.builtin()


@pytest.fixture
def folder(tmp_path, builtin):
    """Returns a function that writes cards: `folder({"mine/a.yaml": "surveyor"})` makes that file with that id."""

    def make(files):
        for name, persona_id in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            persona = builtin.get("skeptic").model_copy(update={"id": persona_id, "name": f"Mine {persona_id}"})
            path.write_text(dump_card(persona), encoding="utf-8")
        return tmp_path

    return make


def ids(personas):
    return [persona.id for persona in personas]


def messages(call, *arguments):
    with pytest.raises(PersonaError) as error:
        call(*arguments)
    return str(error.value).splitlines()


def test_the_builtin_packs(builtin):
    assert list(builtin.packs) == ["baseline", "judgement", "reasoning", "socratic"]
    assert ids(builtin.packs["reasoning"]) == [
        "analogist", "backtracker", "contrarian", "decomposer", "estimator", "formalist", "skeptic", "tester",
    ]  # fmt: skip
    assert builtin.personas == tuple(persona for pack in builtin.packs.values() for persona in pack)


def test_get_knows_an_id_and_suggests_near_ones(builtin):
    assert builtin.get("skeptic").name == "The Skeptic"
    assert messages(builtin.get, "skeptc") == [
        "library: skeptc: no such name; did you mean skeptic? packs: baseline, judgement, reasoning, socratic"
    ]
    assert messages(builtin.get, "zzz") == [
        "library: zzz: no such name; packs: baseline, judgement, reasoning, socratic"
    ]


def test_select_takes_ids_and_packs_in_order(builtin):
    assert ids(builtin.select("skeptic, decomposer")) == ["skeptic", "decomposer"]
    assert builtin.select("reasoning") == builtin.packs["reasoning"]
    assert ids(builtin.select("tester,socratic"))[:2] == ["tester", "definer"]


def test_a_persona_named_twice_holds_two_seats(builtin):
    assert ids(builtin.select("skeptic,skeptic")) == ["skeptic", "skeptic"]
    assert ids(builtin.select("reasoning,skeptic")).count("skeptic") == 2


def test_an_item_may_be_named_many_times_at_once(builtin, folder):
    assert ids(builtin.select("plain*3, skeptic,tester * 2")) == ["plain"] * 3 + ["skeptic"] + ["tester"] * 2
    assert builtin.select("socratic*2") == builtin.packs["socratic"] * 2
    mine = folder({"mine/a.yaml": "surveyor"}) / "mine"
    assert ids(builtin.select(f"{mine}*2")) == ["surveyor"] * 2


@pytest.mark.parametrize("times", ["0", "-1", "65", "9" * 5000])
def test_an_item_can_not_be_named_so_often(builtin, times):
    (message,) = messages(builtin.select, f"plain*{times}")
    assert message == f"library: plain*{times}"[:89] + ": can be named from 1 to 64 times"


@pytest.mark.parametrize("spec", ["plain*", "*3", "plain*x", "plain*2*2"])
def test_what_only_looks_like_a_number_of_times(builtin, spec):
    with pytest.raises(PersonaError):
        builtin.select(spec)


def test_select_takes_folders_and_files(builtin, folder, monkeypatch):
    monkeypatch.chdir(folder({"mine/a.yaml": "surveyor", "mine/b.yml": "pilot"}))
    assert ids(builtin.select("./mine")) == ["surveyor", "pilot"]
    assert ids(builtin.select("mine")) == ["surveyor", "pilot"]
    assert ids(builtin.select("mine/b.yml,skeptic,./mine/a.yaml")) == ["pilot", "skeptic", "surveyor"]


def test_a_home_folder_is_understood_inside_a_list(builtin, folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder({"mine/a.yaml": "surveyor"})))
    assert ids(builtin.select("skeptic,~/mine")) == ["skeptic", "surveyor"]


def test_a_folder_stands_alone_so_its_ids_may_be_builtin_ones(builtin, folder):
    mine = folder({"mine/a.yaml": "skeptic"}) / "mine"
    assert [persona.name for persona in builtin.select(f"{mine},tester")] == ["Mine skeptic", "The Tester"]


def test_different_cards_with_one_id_can_not_sit_in_one_cast(builtin, folder):
    mine = folder({"mine/a.yaml": "skeptic"}) / "mine"
    assert len(builtin.select(f"{mine},{mine}")) == 2
    assert messages(builtin.select, f"skeptic,{mine}") == [
        "library: skeptic: is the id of two different cards in this selection"
    ]


def test_a_stray_folder_can_not_shadow_a_name(builtin, folder, monkeypatch):
    monkeypatch.chdir(folder({"skeptic/a.yaml": "surveyor", "socratic/b.yaml": "pilot"}))
    assert builtin.select("skeptic,socratic") == (builtin.get("skeptic"), *builtin.packs["socratic"])
    assert ids(builtin.select("./skeptic,./socratic")) == ["surveyor", "pilot"]


def test_select_reports_every_item_that_fails(builtin):
    first, second, third = messages(builtin.select, "Socratics,skeptic,./no/such,formalst")
    assert "did you mean socratic?" in first
    assert second == "no/such: (file): does not exist"
    assert "did you mean formalist" in third


@pytest.mark.parametrize("spec", ["", " , ,"])
def test_an_empty_selection_is_refused(builtin, spec):
    assert messages(builtin.select, spec) == ["library: (selection): is empty; name an id, a pack or a folder"]


@pytest.mark.parametrize("name", ["x" * 5000, "a\0b", "\x1b[2J", "{}", "%s"])
def test_no_name_breaks_the_search_or_the_message(builtin, name):
    (message,) = messages(builtin.select, name)
    assert "no such name" in message
    assert message.isprintable()
    assert len(message) < 250


def test_sub_folders_are_packs_and_hidden_ones_are_passed_over(folder):
    root = folder({"top.yaml": "a", "deep/b.yaml": "b", "deep/er/c.YAML": "c", ".git/x.yaml": "x", ".y.yaml": "y"})
    (root / "notes.txt").write_text("not a card")
    (root / "loop").symlink_to(root)
    packs = Library.from_folder(root).packs
    assert {name: ids(members) for name, members in packs.items()} == {
        root.name: ["a"],
        "deep": ["b"],
        "deep/er": ["c"],
    }


def test_with_folder_adds_packs(builtin, folder):
    both = builtin.with_folder(folder({"mine/a.yaml": "surveyor"}) / "mine")
    assert ids(both.select("mine,skeptic")) == ["surveyor", "skeptic"]
    assert "mine" not in builtin.packs
    assert builtin.with_folder(None) == builtin


def test_a_card_of_the_folder_stands_for_that_of_the_same_id(builtin, folder):
    root = folder({"mine/a.yaml": "skeptic", "socratic/b.yaml": "pilot"})
    both = builtin.with_folder(root / "mine")
    assert both.get("skeptic") == Library.from_folder(root / "mine").get("skeptic") != builtin.get("skeptic")
    assert len(both.cards) == len(builtin.cards)
    assert messages(builtin.with_folder, root / "none") == [f"{root}/none: (folder): does not exist"]


def test_two_cards_with_one_id_are_refused_naming_both_files(folder):
    root = folder({"a.yaml": "pilot", "sub/b.yaml": "pilot"})
    expected = f"{root}/sub/b.yaml: id: 'pilot' is also the id in {root}/a.yaml"
    assert [str(fault) for fault in validate(root)] == [expected]
    assert messages(Library.from_folder, root) == [expected]


def test_a_shared_id_is_found_even_when_the_card_has_other_faults(folder):
    root = folder({"a.yaml": "pilot", "b.yaml": "pilot"})
    (root / "b.yaml").write_text("id: pilot\n")
    fields = [fault.field for fault in validate(root)]
    assert "id" in fields
    assert "method" in fields


def test_a_library_can_not_hold_one_card_twice(builtin):
    assert "is also the id in" in messages(Library, builtin.cards[:1] * 2)[0]


def test_validate_finds_the_faults_of_every_file(folder):
    root = folder({"good.yaml": "pilot"})
    (root / "list.yaml").write_text("- a\n")
    (root / "sub").mkdir()
    (root / "sub" / "latin.yml").write_bytes(b"\xff")
    found = validate(root)
    assert [(fault.file, fault.field) for fault in found] == [
        (f"{root}/list.yaml", "(file)"),
        (f"{root}/sub/latin.yml", "(file)"),
    ]
    assert len(messages(Library.from_folder, root)) == 2


def test_a_folder_without_cards_and_a_path_that_does_not_exist(tmp_path, folder):
    empty = "holds no cards: no file in it ends in .yaml or .yml"
    assert [str(fault) for fault in validate(tmp_path)] == [f"{tmp_path}: (folder): {empty}"]
    assert [str(fault) for fault in validate(tmp_path / "no")] == [f"{tmp_path}/no: (file): does not exist"]
    assert messages(Library.from_folder, tmp_path / "no") == [f"{tmp_path}/no: (folder): does not exist"]
    file = folder({"a.yaml": "pilot"}) / "a.yaml"
    assert messages(Library.from_folder, file) == [f"{file}: (folder): is not a folder"]


def test_a_folder_with_far_too_many_cards_is_refused(folder, monkeypatch):
    monkeypatch.setattr(library, "MAX_CARDS", 2)
    root = folder({f"{name}.yaml": name for name in "abc"})
    assert [str(fault) for fault in validate(root)] == [f"{root}: (folder): holds more than 2 cards"]
