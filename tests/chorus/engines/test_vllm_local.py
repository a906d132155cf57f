"""vLLM in this process: what it reads, what it refuses, how it fails, and that it leaves nothing behind."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import pytest_asyncio

from chorus import checkpoints
from chorus.engines.base import Completion, Request, Sampling
from chorus.engines.registry import open_engine
from chorus.engines.vllm_local import VllmEngine
from chorus.engines.vllm_reading import Reading, spell
from chorus.engines.vllm_setup_local import choose_adapter, start_failure
from chorus.errors import CheckpointError, ConfigError, EngineDied, EngineError, MissingExtra
from chorus.types import Message

MODEL = "smollm2-135m"
QUESTION = (Message(role="system", content="Be brief."), Message(role="user", content="What is 7 * 8?"))


def vllm(test):
    """Mark a test that runs vLLM."""
    return pytest.mark.vllm(pytest.mark.timeout(300)(test))


async def ask(engine: VllmEngine, messages=QUESTION, heard: list[str] | None = None, **sampling) -> Completion:
    return await engine.generate(Request(messages, Sampling(**sampling)), (heard if heard is not None else []).append)


# Reading what vLLM says


def output(text: str, tokens: dict[int, tuple[str, float]], *, finish: str | None = None, cached: int | None = 0):
    """Build one of vLLM's outputs: new text, and new tokens with their strings and log-probabilities."""
    logprobs = [{id: SimpleNamespace(decoded_token=token, logprob=value)} for id, (token, value) in tokens.items()]
    said = SimpleNamespace(text=text, token_ids=list(tokens), logprobs=logprobs, finish_reason=finish)
    return SimpleNamespace(outputs=[said], num_cached_tokens=cached)


def never(tokens) -> str:
    raise AssertionError("the strings fit as they are")


def test_tokens_are_cut_to_the_text():
    reading = Reading()
    assert reading.take(output("Ans", {1: ("Answer", -0.5)}, cached=32)) == "Ans"
    assert (
        reading.take(output("wer: 5", {2: (":", -0.1), 3: (" 56 END", 0.01), 4: ("<|im_end|>", -1)}, finish="stop"))
        == "wer: 5"
    )
    assert (reading.text, reading.finish, reading.cached, reading.tokens) == ("Answer: 5", "stop", 32, [1, 2, 3, 4])
    fitted = reading.logprobs([9], never)
    assert [(token.token, token.logprob) for token in fitted] == [("Answer", -0.5), (":", -0.1), (" 5", 0.0)]


def test_the_likeliest_first_tokens_are_kept():
    reading = Reading()
    first = output("A", {1: ("A", -0.5)})
    first.outputs[0].logprobs[0][2] = SimpleNamespace(decoded_token="B", logprob=-0.2)
    reading.take(first)
    reading.take(output(".", {3: (".", -0.1)}, finish="stop"))
    assert [(one.token, one.logprob) for one in reading.openings] == [("B", -0.2), ("A", -0.5)]


def test_tokens_that_lost_their_spaces_are_spelled_again():
    words = {7: "<s>", 1: "▁Hello", 2: "▁wor", 3: "ld"}

    def decode(tokens) -> str:
        return "".join(words[token] for token in tokens).replace("<s>", "").replace("▁", " ").lstrip(" ")

    reading = Reading()
    reading.take(output("Hello world", {1: ("Hello", -1), 2: ("wor", -2), 3: ("ld", -3)}, finish="stop"))
    assert [token.token for token in reading.logprobs([7], decode)] == ["Hello", " wor", "ld"]


def test_half_a_character_goes_to_the_token_that_completes_it():
    parts = {1: b"a", 2: "🏛".encode()[:2], 3: "🏛".encode()[2:], 4: b"b"}

    def decode(tokens) -> str:
        return b"".join(parts[token] for token in tokens).decode("utf-8", "replace")

    assert spell([1, 2, 3, 4], [], decode) == ["a", "", "🏛", "b"]


@pytest.mark.parametrize("value", [float("nan"), None])
def test_tokens_that_dont_spell_the_text_are_dropped(value):
    reading = Reading()
    said = output("Hello", {1: ("Help", -1.0 if value is None else value)}, finish="stop")
    reading.take(said)
    assert reading.logprobs([], lambda tokens: "Help" * len(tokens)) == ()


# What it takes


async def test_without_vllm_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(MissingExtra, match=r"the engine 'vllm' needs .* pip install 'greek-chorus\[vllm\]'"):
        await open_engine(f"vllm:{MODEL}")


@pytest.fixture
def skeptic(tmp_path: Path) -> Path:
    folder = tmp_path / "skeptic"
    folder.mkdir()
    (folder / "adapter_config.json").write_text('{"r": 12}')
    return folder


def test_an_adapter_is_chosen_by_its_name(skeptic):
    assert choose_adapter({"skeptic": skeptic}, None) is None
    chosen = choose_adapter({"skeptic": str(skeptic)}, "skeptic")
    assert (chosen.name, chosen.path, chosen.rank) == ("skeptic", skeptic.resolve(), 12)


@pytest.mark.parametrize(
    ("lora", "adapter", "config", "wrong"),
    [
        ({"skeptic": "."}, "skeptik", None, "no LoRA adapter 'skeptik': did you mean 'skeptic'. lora names skeptic"),
        ({}, "skeptic", None, "no LoRA adapter 'skeptic': name its folder in the option lora"),
        ("skeptic", "skeptic", None, "lora is a table of names and folders"),
        ({"skeptic": "/nowhere"}, "skeptic", None, "'skeptic': /nowhere holds no adapter_config.json"),
        (None, "skeptic", "{}", "gives no rank r"),
        (None, "skeptic", "[", "gives no rank r"),
        (None, "skeptic", '{"r": 4096}', "has the rank 4096: vLLM takes 1 to 512"),
    ],
)
def test_an_adapter_that_cant_be_used_is_refused(skeptic, lora, adapter, config, wrong):
    if config is not None:
        (skeptic / "adapter_config.json").write_text(config)
    with pytest.raises(ConfigError, match=wrong):
        choose_adapter({"skeptic": skeptic} if lora is None else lora, adapter)


@pytest.mark.parametrize(
    ("reason", "kind", "remedy"),
    [
        (
            "ValueError: No available memory for the cache blocks.",
            EngineError,
            "Raise the engine option gpu_memory_util",
        ),
        ("OutOfMemoryError: CUDA out of memory.", EngineError, "or take a smaller model"),
        ("RuntimeError: Engine core initialization failed. {'EngineCore': -9}", EngineError, "ran out of memory"),
        ("RuntimeError: operator torchvision::nms does not exist", CheckpointError, "uninstall torchvision"),
        ("KeyError: 'model.embed'", CheckpointError, "can't load the checkpoint in /models/x: KeyError"),
    ],
)
def test_a_failed_start_says_what_to_do(reason, kind, remedy):
    error = start_failure(Path("/models/x"), reason, Path("/tmp/vllm.log"))
    assert type(error) is kind
    assert remedy in str(error)
    assert "(vLLM's log: /tmp/vllm.log)" in str(error)


def checkpoint(folder: Path, **replaced: str | None) -> Path:
    """Make a checkpoint of the packaged model's files, some of them replaced or left out."""
    folder.mkdir()
    for file in checkpoints.resolve(MODEL).iterdir():
        if file.name not in {name.replace("__", ".") for name in replaced} | {checkpoints.manifest.MANIFEST}:
            (folder / file.name).symlink_to(file)
    for name, content in replaced.items():
        if content is not None:
            (folder / name.replace("__", ".")).write_text(content)
    return folder


@vllm
@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        ({"maxmodel_len": 99}, "the engine 'vllm' has no option 'maxmodel_len': did you mean 'max_model_len'"),
        ({"adaptor": "x"}, "did you mean 'adapter'"),
        ({"model": "x"}, "the model is named in the SPEC"),
        ({"dtype": "float99"}, "vLLM refuses the engine option dtype: .*'bfloat16'"),
        ({"max_model_len": 1_000_000}, "vLLM refuses the engine option max_model_len: .*is greater than"),
        ({"tensor_parallel_size": 7}, "vLLM refuses the engine option tensor_parallel_size: .*divisible"),
    ],
)
async def test_options_are_judged_by_vllm(options, wrong):
    with pytest.raises(ConfigError, match=wrong):
        await open_engine(f"vllm:{MODEL}", **options)


@vllm
@pytest.mark.parametrize(
    ("replaced", "wrong"),
    [
        ({"config__json": "{"}, "is not a valid JSON file"),
        ({"config__json": '{"model_type": "nonsense"}'}, "model type `nonsense`"),
        ({"model__safetensors": "x" * 1000}, r"model\.safetensors is damaged"),
    ],
)
async def test_a_checkpoint_that_cant_be_used_is_named(tmp_path, replaced, wrong):
    folder = checkpoint(tmp_path / "broken", **replaced)
    with pytest.raises(CheckpointError, match=wrong) as refused:
        await open_engine(f"vllm:{folder}")
    assert str(folder) in str(refused.value)


@vllm
async def test_too_little_memory_is_told_with_a_remedy(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))  # where the log is kept
    with pytest.raises(EngineError, match=r"too little memory for its KV cache: .*Raise the engine option") as refused:
        await open_engine(f"vllm:{MODEL}", kv_cache_memory_bytes=1 << 20)
    log = Path(str(refused.value).partition("vLLM's log: ")[2].partition(")")[0])
    assert "No available memory" in log.read_text()


# A model without a chat template, with an adapter, where prompts are cut in chunks


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def adapted(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[VllmEngine, Path, list[str]]]:
    """An engine with the folder of its checkpoint and what it reported."""
    root = tmp_path_factory.mktemp("adapted")
    folder, adapter = checkpoint(root / "plain", chat_template__jinja=None), make_adapter(root / "adapter")
    told: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(root))  # where the log of its death is kept
        engine = await open_engine(
            f"vllm:{folder}",
            report=told.append,
            lora={"noise": adapter},
            adapter="noise",
            max_model_len=1024,
            max_num_batched_tokens=64,
            kv_cache_memory_bytes=1 << 30,
        )
    yield engine, folder, told
    await engine.aclose()


def make_adapter(folder: Path) -> Path:
    """Make an adapter that turns the model's attention elsewhere."""
    import torch
    from safetensors.torch import save_file

    folder.mkdir()
    settings = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 4, "lora_alpha": 64, "target_modules": ["q_proj"]}
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    random = torch.Generator().manual_seed(0)
    weights = {}
    for layer in range(30):
        name = f"base_model.model.model.layers.{layer}.self_attn.q_proj"
        weights[f"{name}.lora_A.weight"] = torch.randn(4, 576, generator=random) / 10
        weights[f"{name}.lora_B.weight"] = torch.randn(576, 4, generator=random) / 10
    save_file(weights, folder / "adapter_model.safetensors")
    return folder


@vllm
@pytest.mark.asyncio(loop_scope="module")
async def test_without_a_chat_template_the_prompt_is_that_of_the_hf_engine(adapted):
    engine, folder, _ = adapted
    plain = await open_engine(f"hf:{folder}")
    try:
        assert engine._template.encode(QUESTION) == plain._template.encode(QUESTION)
        assert await engine.count(QUESTION) == await plain.count(QUESTION)
        bare = await plain.generate(Request(QUESTION, Sampling(max_tokens=12)), lambda piece: None)
    finally:
        await plain.aclose()
    spoken = await ask(engine, max_tokens=12)
    assert spoken.text != bare.text, "the adapter speaks"
    assert engine.info.parameters == plain.info.parameters
    assert engine.info.checkpoint_sha256 != plain.info.checkpoint_sha256


@vllm
@pytest.mark.asyncio(loop_scope="module")
async def test_seeds_are_left_out_where_they_would_kill_the_engine(adapted):
    engine, _, told = adapted
    assert any("draws without them" in step for step in told)
    prompts = [(Message(role="user", content=f"{n} " + "A chorus has many voices. " * 30),) for n in range(4)]
    said = await asyncio.gather(*(ask(engine, p, max_tokens=4, temperature=0.8, seed=1) for p in prompts))
    assert all(completion.text for completion in said)


@vllm
@pytest.mark.asyncio(loop_scope="module")
async def test_an_engine_of_another_loop_is_refused(adapted):
    engine = adapted[0]
    with pytest.raises(EngineError, match="another event loop"):
        await asyncio.to_thread(lambda: asyncio.run(ask(engine)))


@vllm
@pytest.mark.asyncio(loop_scope="module")
async def test_an_engine_that_dies_says_so_at_once(adapted):
    import psutil

    engine, _, _ = adapted
    began = asyncio.Event()
    request = Request(QUESTION, Sampling(max_tokens=800))
    call = asyncio.create_task(engine.generate(request, lambda piece: began.set()))
    await began.wait()
    workers = [p for p in psutil.Process().children(recursive=True) if "Worker" in p.name() + " ".join(p.cmdline())]
    assert workers
    for worker in workers:
        worker.kill()
    with pytest.raises(EngineDied, match=r"vLLM's engine died: .*died unexpectedly.* Open it again") as died:
        await asyncio.wait_for(call, 30)
    assert not died.value.retryable
    with pytest.raises(EngineDied, match="vLLM's engine died"):
        await asyncio.wait_for(ask(engine), 10)


# From a shell


@contextlib.contextmanager
def running(arguments: list[str], folder: Path) -> Iterator[subprocess.Popen]:
    """Run Python in a session of its own, and see to it that nothing of it stays."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("CHORUS_E", "VLLM_"))}
    with subprocess.Popen(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def members(session: int) -> list[str]:
    """Return the names of the processes in a session but for its leader."""
    import psutil

    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if os.getsid(process.pid) == session != process.pid and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.name())
    return found


def wait_for(what, within_s: float = 120.0) -> bool:
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        if what():
            return True
        time.sleep(0.1)
    return False


ASK = ["-m", "chorus", "ask", "What is 7 * 8?", "--engine", f"vllm:{MODEL}", "--voices", "2"]


@vllm
def test_the_command_line_answers_and_leaves_nothing(tmp_path):
    (tmp_path / "chorus.toml").write_text("[engine_options]\nmax_model_len = 1024\n")
    with running([*ASK, "--json", "--rounds", "2", "--max-tokens", "24"], tmp_path) as process:
        out, err = process.communicate(timeout=200)
        assert (process.returncode, err) == (0, "")
        record = json.loads(out)
        assert record["status"] == "done"
        assert record["plan"]["detail"] == "brief", "it knows that the model is small"
        assert record["usage"]["cached_tokens"] > 0
        assert wait_for(lambda: not members(process.pid), 5)


@vllm
def test_ctrl_c_in_a_debate_keeps_what_was_said(tmp_path):
    (tmp_path / "chorus.toml").write_text("early_stop = false\n")
    # So many rounds that it can't be over by the time that its first words have been read.
    with running([*ASK, "--max-tokens", "200", "--rounds", "30"], tmp_path) as process:
        heard = ""
        while "7" not in heard.partition("\n")[2]:
            piece = process.stdout.read(1)
            assert piece, process.stderr.read()
            heard += piece
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=60)
        assert (process.returncode, err.strip()) == (130, "interrupted")
        assert wait_for(lambda: not members(process.pid), 5)


@vllm
def test_ctrl_c_while_vllm_starts_ends_it(tmp_path):
    with running(ASK, tmp_path) as process:
        assert wait_for(lambda: any("EngineCore" in name for name in members(process.pid)))
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=30)
        assert (process.returncode, err.strip()) == (130, "interrupted")
        assert wait_for(lambda: not members(process.pid), 5)


@vllm
def test_a_plain_script_works_and_needs_no_closing(tmp_path):
    (tmp_path / "script.py").write_text(
        "from chorus import Chorus\n"
        f"chorus = Chorus('vllm:{MODEL}', voices=1, rounds=1, max_tokens=8)\n"
        "print('said', chorus.ask('What is 7 * 8?').status)\n"
    )
    with running(["script.py"], tmp_path) as process:
        out, err = process.communicate(timeout=200)
        assert (process.returncode, out, err) == (0, "said done\n", "")
        assert wait_for(lambda: not members(process.pid), 5)
