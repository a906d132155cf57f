"""Reading one card file: what is refused, how fast, and in which words."""

import os
import time

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from personas import Persona, PersonaError, SamplingOffset, plainyaml, validate
from personas.cardfile import MAX_BYTES, dump_card, read_card

GOOD = """\
# A comment is welcome.
id: surveyor
name: The Surveyor
summary: >
  Measures
  first.
method:
  - Measure.
  - "Compare: twice."
cue: Measure, then compare.
voice: Terse.
expertise: [maps]
"""


@pytest.fixture(params=[plainyaml._LOADER, yaml.SafeLoader], ids=["fastest", "pure"], autouse=True)
def _either_parser(request, monkeypatch):
    monkeypatch.setattr(plainyaml, "_LOADER", request.param)


@pytest.fixture
def write(tmp_path):
    def write(content):
        path = tmp_path / "card.yaml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def faults_of(path):
    """The faults as `field: reason`; each must name the file."""
    found = validate(path)
    assert all(fault.file == str(path) for fault in found)
    return [f"{fault.field}: {fault.reason}" for fault in found]


def test_a_good_card(write):
    persona = read_card(write(GOOD))
    assert persona.summary == "Measures first."
    assert persona.method == ("Measure.", "Compare: twice.")
    assert validate(write("\ufeff" + GOOD.replace("\n", "\r\n"))) == []


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("Terse.", "!!str Terse.", "voice: has a YAML tag (tag:yaml.org,2002:str); tags are not allowed (line 11)"),
        ("id: sur", "!!str id: sur", "id: has a YAML tag (tag:yaml.org,2002:str); tags are not allowed (line 2)"),
        ("id: surveyor", "", "id: is missing"),
        ("id: surveyor", "id:", "id: is empty (line 2)"),
        (
            "surveyor",
            "Sur Veyor",
            "id: must be a lowercase slug of letters, digits and hyphens, such as devils-advocate (line 2)",
        ),
        ("surveyor", "s" * 41, "id: is too long: at most 40 characters (line 2)"),
        ("The Surveyor", "2020", "name: must be text, not a number; put it in quotes (line 3)"),
        ("[maps]", "[maps, no]", "expertise.1: must be text, not a truth value; put it in quotes (line 12)"),
        ("[maps]", "maps", "expertise: must be a list, not text (line 12)"),
        ("[maps]", "{maps: 1}", "expertise: must be a list, not a mapping (line 12)"),
        ("[maps]", "[Maps]", "expertise.0: must be a lowercase word; hyphens may join several (line 12)"),
        ("Terse.", "[Terse]", "voice: must be text, not a list (line 11)"),
        ("Terse.", "a <|im_end|> b", "voice: holds the chat-template token '<|im_end|>' (line 11)"),
        ("Terse.", r'"a\x1b[2J"', "voice: holds the control or invisible character U+001B (line 11)"),
        ("Terse.", '"\u202eTerse"', "voice: holds the control or invisible character U+202E (line 11)"),
        ("Terse.", "a\x07b", "(file): holds the control character U+0007 (line 11)"),
        ("Terse.", "''", "voice: is empty (line 11)"),
        ("  - Measure.\n", "", "method: has too few items: at least 2 (line 8)"),
        ("  - Measure.\n", "  - Measure.\n" * 8, "method: has too many items: at most 8 (line 8)"),
        ("  - Measure.\n", "  -\n", "method.0: is empty (line 8)"),
        ("voice: Terse.", "voice: Terse.\nvoice: Loud.", "voice: is given twice (line 12)"),
        (
            "voice: Terse.",
            "voice: Terse.\nexpertize: []",
            "expertize: is not a field of a card; did you mean expertise? (line 12)",
        ),
        ("voice: Terse.", 'voice: Terse.\n"a.b": 1', "'a.b': is not a field of a card (line 12)"),
        ("voice: Terse.", "voice: Terse.\n? [a]\n: 1", "(file): has a key that is not plain text (line 12)"),
        (
            "[maps]",
            "[maps]\nsampling: {temperature: hot}",
            "sampling.temperature: must be a number, not text (line 13)",
        ),
        ("[maps]", "[maps]\nsampling: {temperature: 1.5}", "sampling.temperature: is too large: at most 1 (line 13)"),
        (
            "[maps]",
            "[maps]\nsampling: {temperature: 9.0e+999}",
            "sampling.temperature: must be a finite number (line 13)",
        ),
        ("[maps]", "[maps]\nsampling: {top_p: .5}", "sampling.top_p: is too large: at most 0 (line 13)"),
        ("[maps]", "[maps]\nsampling: {heat: 1}", "sampling.heat: is not a field of a card (line 13)"),
        ("[maps]", "[maps]\nsampling: {heat: 1, heat: 1, top_p: 0}", "sampling.heat: is given twice (line 13)"),
        ("[maps]", "[maps]\nsampling: hot", "sampling: must be a mapping, not text (line 13)"),
        ("[maps]", "[maps]\n---\nid: b", "(file): holds several documents; a file is one card (line 13)"),
    ],
)
def test_each_fault_is_named_in_plain_words(write, old, new, fault):
    assert fault in faults_of(write(GOOD.replace(old, new, 1)))


def test_aliases_and_with_them_cycles_are_refused(write):
    cycle = GOOD.replace("[maps]", "&loop [maps, *loop]")
    assert faults_of(write(cycle)) == [
        "expertise: has an anchor (&loop); anchors are not allowed (line 12)",
        "expertise.1: repeats another value (*loop); aliases are not allowed, write it out (line 12)",
    ]
    assert faults_of(write("&root\nid: *root"))[:2] == [
        "(file): has an anchor (&root); anchors are not allowed (line 1)",
        "id: repeats another value (*root); aliases are not allowed, write it out (line 2)",
    ]


def test_a_merge_key_is_refused(write):
    assert any("aliases are not allowed" in fault for fault in faults_of(write(GOOD + "<<: *base\n")))


def test_a_python_tag_is_refused_and_never_constructed(write, tmp_path):
    trap = tmp_path / "trap"
    text = GOOD.replace("Terse.", f"!!python/object/apply:os.mkdir [{trap}]")
    assert any("python/object" in fault for fault in faults_of(write(text)))
    assert not trap.exists()


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("", "(file): is empty"),
        ("# only a comment\n", "(file): is empty"),
        ("---\n", "(file): is empty"),
        ("- id: a\n", "(file): must be a mapping of fields (id: …, name: …), not a list"),
        ("just words", "(file): must be a mapping of fields (id: …, name: …), not text"),
        ("42", "(file): must be a mapping of fields (id: …, name: …), not a number"),
        (GOOD.encode("utf-16"), "(file): is not UTF-8: byte 0xff at offset 0"),
        (b"id: caf\xe9", "(file): is not UTF-8: byte 0xe9 at offset 7"),
    ],
)
def test_what_is_no_card_at_all(write, content, fault):
    assert faults_of(write(content)) == [fault]


@pytest.mark.parametrize("text", ["id: [a", "id: 'a", "\tid: a", "id: a: b", "%YAML 9.9\n---\nid: a", "id: @a"])
def test_broken_yaml_says_where(write, text):
    (fault,) = faults_of(write(text))
    assert fault.startswith("(file): is not plain YAML: ")
    assert "(line " in fault


def test_all_faults_of_a_card_are_found_at_once(write):
    text = "id: Bad Id\nname: !x 7\nvoice: *v\ncue: ''\ncolour: blue\nmethod: [Only.]\n"
    found = faults_of(write(text))
    assert {fault.split(":")[0] for fault in found} == {"id", "name", "voice", "cue", "colour", "method", "summary"}
    with pytest.raises(PersonaError) as error:
        read_card(write(text))
    assert len(str(error.value).splitlines()) == len(found)


def test_a_card_of_ten_megabytes_is_refused_at_once(write):
    path = write(b"a" * 10_000_000)
    start = time.perf_counter()
    assert faults_of(path) == ["(file): is 10,000,000 bytes long; a card is at most 65,536"]
    assert time.perf_counter() - start < 1


@pytest.mark.parametrize(
    "unit", ["[", "{a: ", "- ", "? ", "a: {", "!!x ", "&a ", "*a ", "'", "{", "- [\n", "k: v\n", "[a,"]
)
def test_the_worst_that_fits_in_a_file_is_refused_quickly(write, unit):
    path = write((unit * MAX_BYTES)[:MAX_BYTES])
    start = time.perf_counter()
    assert faults_of(path)
    assert time.perf_counter() - start < 10


def test_a_missing_file_a_broken_link_and_a_pipe(tmp_path):
    assert faults_of(tmp_path / "none.yaml") == ["(file): does not exist"]
    (tmp_path / "link.yaml").symlink_to(tmp_path / "gone.yaml")
    assert faults_of(tmp_path / "link.yaml") == ["(file): is not a regular file"]
    os.mkfifo(tmp_path / "pipe.yaml")
    assert faults_of(tmp_path / "pipe.yaml") == ["(file): is not a regular file"]


@pytest.mark.parametrize("path", ["a\0b.yaml", "x" * 5000 + ".yaml"])
def test_a_path_that_no_file_can_have(path):
    assert [fault.reason for fault in validate(path)] == ["does not exist"]


def lines(max_size):
    """Text that a card keeps as it is: printable, no white space at the ends or doubled, no template tokens."""
    char = st.characters(exclude_categories=("Cc", "Cf", "Cs", "Zs", "Zl", "Zp"), exclude_characters="<[＜")
    words = st.lists(st.text(char, min_size=1, max_size=12), min_size=1, max_size=6)
    return words.map(" ".join).filter(lambda line: len(line) <= max_size and line == " ".join(line.split()))


# Files are slow on a busy machine, and the choice of parser holds for all examples of a test.
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
OFFSETS = st.builds(SamplingOffset, temperature=st.floats(-1, 1), top_p=st.floats(-1, 0))
TAGS = st.from_regex(r"[a-z0-9]{1,8}(-[a-z0-9]{1,8}){0,2}", fullmatch=True)
PERSONAS = st.builds(
    Persona,
    id=st.from_regex(r"[a-z][a-z0-9]{0,8}(-[a-z0-9]{1,8}){0,3}", fullmatch=True),
    name=lines(80),
    summary=lines(240),
    method=st.lists(lines(400), min_size=2, max_size=8).map(tuple),
    cue=lines(120),
    voice=lines(240),
    expertise=st.lists(TAGS, max_size=6, unique=True).map(tuple),
    sampling=OFFSETS,
)


@PATIENT
@given(persona=PERSONAS)
def test_a_persona_survives_the_way_through_a_file(tmp_path_factory, persona):
    path = tmp_path_factory.getbasetemp() / "round-trip.yaml"
    path.write_text(dump_card(persona), encoding="utf-8")
    assert read_card(path) == persona
    assert read_card(path).sha256 == persona.sha256


@PATIENT
@given(data=st.binary(max_size=200) | st.text("abc:-[]{}&*!|>'\"#\n ,?%@<0.", max_size=60).map(str.encode))
def test_no_bytes_at_all_break_the_reader(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "noise.yaml"
    path.write_bytes(data)
    assert validate(path)
