"""The card of a baked model: it stands for its own weights, as it was written, or not at all."""

import json

import pytest
from cards import a_card

pytest.importorskip("fastapi")

from chorus import CheckpointError, ConfigError
from chorus.checkpoints import manifest
from chorus.checkpoints.beside import digest
from chorus.checkpoints.legibility import CARD, Card, check, weakest
from chorus.config import Settings
from chorus.server.grants import PER_MINUTE, Pace, Standing, standing
from chorus.server.models import ways
from chorus.server.problems import Refusal


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    return tmp_path


def put(folder, grant="full", key=None):
    (folder / CARD).write_text(a_card(folder, grant, key).text())


def test_a_card_that_stands(folder):
    put(folder, "limited")
    card = check(folder)
    assert card.grant == "limited"
    assert standing(folder, allow_unaudited=False).capped


def test_the_card_of_an_adapter_lies_beside_it_and_is_for_the_weights_that_it_makes(folder, tmp_path_factory):
    put(folder, "limited")
    beside = tmp_path_factory.mktemp("adapter")
    (beside / "adapter_model.safetensors").write_bytes(b"a change")
    (folder / CARD).rename(beside / CARD)
    assert standing(beside, folder, allow_unaudited=False).capped
    with pytest.raises(ConfigError, match="is for other weights"):
        standing(beside, allow_unaudited=False)


def test_a_baked_checkpoint_is_held_to_its_card_however_its_folder_is_named(folder, monkeypatch):
    run = {"prompts": {"answer": "Answer."}, "cast": [], "rounds": 1, "detail": "brief"}
    (folder / "run.json").write_text(json.dumps(run))
    (folder / "config.json").write_text("{}")
    monkeypatch.setenv("HOME", str(folder.parent))
    for spec in (f"hf:{folder}", f"hf:~/{folder.name}", f"vllm:~/{folder.name}"):
        with pytest.raises(ConfigError, match="--allow-unaudited"):
            ways(Settings(engine=spec))


def test_the_weakest_persona_decides():
    assert weakest(["full", "supervised", "limited"]) == "supervised"
    assert weakest(["full"]) == "full"


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda data: data["personas"]["skeptic"]["figures"]["effect"].update(value=2.0), "changed after"),
        (lambda data: data.update(grant="full"), "weakest persona"),
        (lambda data: data["config"].update(seed=8), "whose hash was fixed"),
        (lambda data: data.update(test_opened="2020-01-01T00:00:00+00:00"), "before the config"),
        (lambda data: data.pop("weights"), "no whole card"),
        (lambda data: data.update(schema=4), "no whole card"),
    ],
)
def test_a_card_edited_by_hand_is_refused(folder, harm, said):
    put(folder, "limited")
    data = json.loads((folder / CARD).read_text())
    harm(data)
    (folder / CARD).write_text(json.dumps(data))
    with pytest.raises(CheckpointError, match=said):
        check(folder)


@pytest.mark.parametrize("schema", [1, 2, 3])
def test_a_card_that_says_nothing_of_what_is_beside_the_weights_stands_no_more(folder, schema):
    data = json.loads(a_card(folder, "limited").text())
    for name in ("beside", "capped", "sha256", "signature"):
        del data[name]
    data["schema"] = schema
    (folder / CARD).write_text(json.dumps({**data, "sha256": digest(data), "signature": None}))
    with pytest.raises(CheckpointError, match="an earlier version's, which said nothing of the tokenizer"):
        check(folder)


def test_a_card_that_is_held_back_grants_no_more_than_supervised(folder):
    whole = a_card(folder, "full").model_dump(mode="json", by_alias=True)
    held = {**whole, "capped": ["`--depth quick`: a look"]}
    with pytest.raises(ValueError, match="more than it was held back to"):
        Card.model_validate(held)
    card = Card.model_validate({**held, "grant": "supervised"}).sealed()
    (folder / CARD).write_text(card.text())
    assert standing(folder, allow_unaudited=False).name == "supervised"
    (folder / CARD).write_text(card.model_copy(update={"capped": (), "grant": "full"}).text())
    with pytest.raises(CheckpointError, match="changed after"):
        check(folder)


def test_a_missing_or_broken_card_is_refused(folder):
    with pytest.raises(CheckpointError, match=r"no legibility\.json"):
        check(folder)
    put(folder)
    whole = (folder / CARD).read_text()
    (folder / CARD).write_text(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match="no whole card"):
        check(folder)


def test_a_card_is_for_its_weights_alone(folder):
    put(folder)
    (folder / "model.safetensors").write_bytes(b"others")
    with pytest.raises(CheckpointError, match="other weights"):
        check(folder)


def test_a_manifest_beside_them_is_not_believed(folder):
    """Whoever swaps the weights can write into it what the old ones were."""
    manifest.write(folder, {"name": "mine"})
    put(folder)
    weights, described = folder / "model.safetensors", folder / manifest.MANIFEST
    weights.write_bytes(b"OTHERS!")
    forged = json.loads(described.read_text())
    forged["files"][weights.name]["mtime_ns"] = weights.stat().st_mtime_ns
    described.write_text(json.dumps(forged))
    assert manifest.fingerprint(folder) == Card.model_validate_json((folder / CARD).read_text()).weights
    with pytest.raises(CheckpointError, match="other weights"):
        check(folder)


RUN = {"prompts": {"answer": "Answer.", "chorus": "Debate."}, "cast": [], "rounds": 1, "detail": "brief"}


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("config.json", '{"rope_theta": 10000}', '{"rope_theta": 20000}'),
        ("tokenizer.json", "{}", '{"model": {}}'),
        ("chat_template.jinja", "{{ messages }}", "Obey. {{ messages }}"),
        ("chat_template.jinja", None, "Obey. {{ messages }}"),
        ("tokenizer_config.json", "{}", None),
        ("run.json", json.dumps(RUN), json.dumps({**RUN, "prompts": {**RUN["prompts"], "answer": "Obey."}})),
    ],
)
def test_a_card_is_for_its_tokenizer_and_its_prompts_too(folder, name, before, after):
    file = folder / name

    def say(words):
        file.unlink(missing_ok=True)
        if words is not None:
            file.write_text(words)

    say(before)
    put(folder)
    assert check(folder)
    say(after)
    with pytest.raises(CheckpointError, match=f"was written when {name} said something else"):
        check(folder)


def test_what_changes_no_answer_changes_no_card(folder):
    (folder / "config.json").write_text('{"rope_theta": 10000, "transformers_version": "5.17.0"}')
    (folder / "run.json").write_text(json.dumps({**RUN, "date": "2026-11-25"}))
    put(folder)
    (folder / "config.json").write_text('{"transformers_version": "5.19.0", "rope_theta": 10000}')
    (folder / "run.json").write_text(json.dumps({**RUN, "date": "2026-11-26"}))
    (folder / "README.md").write_text("Baked yesterday.")
    assert check(folder)


def test_a_key_asks_for_its_signature(folder, monkeypatch):
    put(folder, key="secret")
    assert check(folder, "secret").signature
    with pytest.raises(CheckpointError, match="another key"):
        check(folder, "other")
    put(folder)
    with pytest.raises(CheckpointError, match="not signed"):
        check(folder, "secret")
    monkeypatch.setenv("CHORUS_AUDIT_KEY", "secret")
    with pytest.raises(ConfigError, match="not signed"):
        standing(folder, allow_unaudited=False)


def test_a_model_that_was_granted_nothing_is_not_served_unless_told_to(folder):
    put(folder, "none")
    with pytest.raises(ConfigError, match="granted it nothing"):
        standing(folder, allow_unaudited=False)
    assert standing(folder, allow_unaudited=True).name == "unaudited"


def test_each_grant_holds_what_the_next_one_loses():
    full, limited, supervised = (Standing(grant, baked=True) for grant in ("full", "limited", "supervised"))
    assert (full.length(4000), limited.length(4000), limited.length(10)) == (4000, 256, 10)
    assert (full.review, limited.review, bool(supervised.review)) == ([], [], True)
    full.check_tools()
    for one in (limited, supervised):
        with pytest.raises(Refusal, match="no tools"):
            one.check_tools()


def test_the_rate_is_one_of_the_last_minute():
    clock = [0.0]
    one = Standing("limited", baked=True, pace=Pace(lambda: clock[0]))
    for _ in range(PER_MINUTE):
        one.admit()
    with pytest.raises(Refusal, match="requests a minute"):
        one.admit()
    clock[0] = 60.1
    one.admit()


def test_a_card_is_read_back_as_it_was_written(folder):
    card = a_card(folder, "supervised", "key")
    assert Card.model_validate_json(card.text()) == card
