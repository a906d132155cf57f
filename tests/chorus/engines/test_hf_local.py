"""The engine in this process, on the packaged model itself: what it says, counts, streams, stops and lets go of."""

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from chorus import CheckpointError, Chorus, ContextTooLong, EngineError, MissingExtra, checkpoints
from chorus.checkpoints import packaged
from chorus.engines.base import Completion, Request, Sampling
from chorus.engines.hf_local import HfEngine, open_hf
from chorus.types import Message

pytestmark = [
    pytest.mark.timeout(600),  # the first of these tests may have to download the weights
    pytest.mark.filterwarnings("default"),  # torch and transformers have warnings of their own
]

CHARTER = "You answer questions in few words, and you end with the answer on a line of its own. " * 3


@pytest.fixture(scope="module")
def engine() -> Iterator[HfEngine]:
    engine = asyncio.run(open_hf("smollm2-135m"))
    yield engine
    asyncio.run(engine.aclose())


def messages(question: str) -> tuple[Message, ...]:
    return (Message(role="system", content=CHARTER), Message(role="user", content=question))


class Ear:
    """Hears what is emitted."""

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self.heard = asyncio.Event()

    def __call__(self, piece: str) -> None:
        self.pieces.append(piece)
        self.heard.set()

    @property
    def text(self) -> str:
        return "".join(self.pieces)


async def say(engine: HfEngine, question: str, ear: Ear | None = None, **sampling) -> Completion:
    request = Request(messages(question), Sampling(**{"max_tokens": 10, **sampling}))
    return await engine.generate(request, ear or Ear())


@pytest.mark.model
async def test_it_streams_and_counts_what_it_says(engine):
    ear = Ear()
    said = await say(engine, "Name the capital of France and of Italy.", ear)
    assert "Paris" in said.text
    assert len(ear.pieces) > 3
    assert ear.text == said.text
    assert said.usage.prompt_tokens == await engine.count(messages("Name the capital of France and of Italy."))
    assert said.usage.calls == 1
    assert said.usage.wall_s > 0


@pytest.mark.model
async def test_it_tells_what_it_is(engine):
    assert engine.info.spec == "hf:smollm2-135m"
    assert engine.info.context_window == 8192
    assert engine.info.parameters == 134_515_008
    assert engine.info.checkpoint_sha256 == checkpoints.fingerprint(checkpoints.resolve("smollm2-135m"))


@pytest.mark.model
async def test_a_row_says_in_a_batch_what_it_says_alone(engine):
    questions = ["What is 7 * 8?", "Name a colour.", "Is the earth flat? Think of ships, of shadows and of the moon."]
    alone = [await say(engine, question) for question in questions]
    together = await asyncio.gather(*(say(engine, question) for question in questions))
    assert [said.text for said in together] == [said.text for said in alone]
    assert all(said.usage.cached_tokens > 50 for said in together[1:]), "what the prompts share is computed once"


@pytest.mark.model
async def test_a_seed_repeats_a_draw_whoever_else_is_in_the_batch(engine):
    def draw(seed):
        return say(engine, "Tell me a story about a cat.", temperature=0.9, top_p=0.95, seed=seed)

    first = await draw(1)
    again, other, _ = await asyncio.gather(draw(1), draw(2), say(engine, "What is 7 * 8?"))
    assert again.text == first.text
    assert other.text != first.text


@pytest.mark.model
async def test_every_token_has_its_probability_and_they_join_to_the_text(engine):
    said = await say(engine, "Repeat after me: 日本語 🎉", max_tokens=20)
    assert "".join(token.token for token in said.logprobs) == said.text
    assert all(token.logprob <= 0 for token in said.logprobs)


@pytest.mark.model
async def test_the_likeliest_first_tokens_come_to_those_who_ask(engine):
    asked = Request((Message(role="user", content="What is 7 * 8?"),), Sampling(max_tokens=2), openings=5)
    said = await engine.generate(asked, lambda piece: None)
    assert len(said.openings) == 5
    assert said.openings[0].token == said.logprobs[0].token
    assert [one.logprob for one in said.openings] == sorted((one.logprob for one in said.openings), reverse=True)


@pytest.mark.model
async def test_the_length_is_bounded(engine):
    said = await say(engine, "Tell me a story about a cat.", max_tokens=5)
    assert (said.finish, said.usage.completion_tokens, len(said.logprobs)) == ("length", 5, 5)


@pytest.mark.model
async def test_it_stops_before_a_stop_string_and_shows_none_of_it(engine):
    whole = (await say(engine, "Tell me a story about a cat.")).text
    stop = whole[14:23]  # begins and ends amid tokens
    ear = Ear()
    said = await say(engine, "Tell me a story about a cat.", ear, stop=("never said", stop))
    assert said.text == whole[: whole.index(stop)] == ear.text
    assert said.finish == "stop"
    assert "".join(token.token for token in said.logprobs) == said.text


@pytest.mark.model
async def test_a_call_that_is_cancelled_frees_the_worker(engine):
    ear = Ear()
    long = asyncio.create_task(say(engine, "Tell me a story about a cat.", ear, max_tokens=2000))
    await ear.heard.wait()
    long.cancel()
    with pytest.raises(asyncio.CancelledError):
        await long
    said = ear.text
    async with asyncio.timeout(30):  # the story would have taken minutes
        await say(engine, "What is 7 * 8?", max_tokens=2)
    assert ear.text == said


@pytest.mark.model
async def test_what_does_not_fit_is_refused(engine):
    with pytest.raises(ContextTooLong, match="the context window holds 8192"):
        await say(engine, "word " * 9000)


@pytest.mark.model
async def test_a_closed_engine_ends_its_calls_and_takes_no_more(engine):
    other = HfEngine(engine._model, engine._tokenizer, engine.info, 2)
    ear = Ear()
    calls = [asyncio.create_task(say(other, "Tell me a story.", ear, max_tokens=2000)) for _ in range(3)]
    await ear.heard.wait()
    await other.aclose()
    async with asyncio.timeout(10):
        ended = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(end) for end in ended] == [EngineError] * 3
    with pytest.raises(EngineError, match="the engine is closed"):
        await say(other, "What is 7 * 8?")


@pytest.mark.model
async def test_the_second_round_of_a_debate_reads_less_anew(engine):
    chorus = Chorus(engine, "skeptic,formalist,decomposer", rounds=2, max_tokens=16)
    answer = await chorus.aask("What is 7 * 8?")
    first, second = (sum(t.usage.cached_tokens for t in answer.turns if t.round == number) for number in (1, 2))
    assert second > first
    assert 0 < answer.usage.completion_tokens <= 6 * 16


@pytest.mark.model
async def test_a_checkpoint_that_is_cut_short_is_named(tmp_path):
    for file in checkpoints.resolve("smollm2-135m").iterdir():
        if file.suffix == ".safetensors":
            with file.open("rb") as weights:
                (tmp_path / file.name).write_bytes(weights.read(1 << 20))
        else:
            (tmp_path / file.name).symlink_to(file)
    with pytest.raises(CheckpointError, match=r"damaged \(model\.safetensors is missing or cut short\)"):
        await open_hf(str(tmp_path))
    (tmp_path / checkpoints.manifest.MANIFEST).unlink()
    with pytest.raises(CheckpointError, match=r"can't load the checkpoint in .*: SafetensorError"):
        await open_hf(str(tmp_path))


@pytest.mark.model
def test_weights_that_can_not_be_converted_are_named(tmp_path):
    (tmp_path / "odd.gguf").write_bytes(b"GGUF, but not really")
    with pytest.raises(CheckpointError, match=r"can't convert odd\.gguf: "):
        packaged._convert(tmp_path / "odd.gguf", tmp_path / "checkpoint")


@pytest.mark.parametrize("missing", ["torch", "transformers"])
async def test_without_its_extra_the_engine_names_the_line_that_installs_it(monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(MissingExtra, match=r"pip install 'greek-chorus\[local\]'"):
        await open_hf("smollm2-135m")


async def test_a_folder_that_is_no_checkpoint_is_refused_without_loading_anything(tmp_path, monkeypatch):
    pytest.importorskip("transformers")
    (Path(tmp_path) / "notes.txt").write_text("")
    with pytest.raises(Exception, match=r"is a folder without a config\.json"):
        await open_hf(str(tmp_path))
