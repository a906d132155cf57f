"""Checkpoints as their safetensors headers tell of them."""

import json
from pathlib import Path

import pytest

from chorus.engines.weights import check_weights, count_parameters
from chorus.errors import CheckpointError


def write(folder: Path, name: str, shapes: dict[str, list[int]], *, missing: int = 0) -> None:
    """Write a file of 16-bit tensors that lacks its last bytes."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    at = 0
    for tensor, shape in shapes.items():
        size = 2
        for side in shape:
            size *= side
        header[tensor] = {"dtype": "BF16", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    encoded = json.dumps(header).encode()
    (folder / name).write_bytes(len(encoded).to_bytes(8, "little") + encoded + bytes(at - missing))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text("{}")
    write(tmp_path, "model-1.safetensors", {"embed": [10, 4], "norm": [4]})
    write(tmp_path, "model-2.safetensors", {"scale": []})
    return tmp_path


def test_weights_are_counted_over_all_files(folder):
    assert count_parameters(folder) == 45
    check_weights(folder)


def test_what_cant_be_counted_is_not_guessed(folder):
    (folder / "config.json").write_text('{"quantization_config": {}}')
    assert count_parameters(folder) is None
    (folder / "config.json").write_text("[")
    assert count_parameters(folder) is None
    for file in folder.glob("*.safetensors"):
        file.unlink()
    (folder / "config.json").write_text("{}")
    assert count_parameters(folder) is None
    check_weights(folder)


def test_a_file_that_is_cut_short_is_named(folder):
    write(folder, "model-2.safetensors", {"scale": [8]}, missing=3)
    with pytest.raises(CheckpointError, match=r"model-2\.safetensors is damaged: it is not as long as its header says"):
        check_weights(folder)


@pytest.mark.parametrize("content", [b"", b"x" * 1000, b"\x02\0\0\0\0\0\0\0[]", b"\x09\0\0\0\0\0\0\0" + b'{"a": {}}'])
def test_a_file_that_is_something_else_is_named(folder, content):
    (folder / "model-2.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"model-2\.safetensors is damaged: it is no safetensors file"):
        check_weights(folder)
    assert count_parameters(folder) is None
