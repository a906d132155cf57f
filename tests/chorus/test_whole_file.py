"""A file is whole, old or new, whatever happens to its writer."""

import os
from pathlib import Path

import pytest

from chorus import whole_file

FULL = Path("/dev/full")


@pytest.mark.parametrize("sync", [False, True])
@pytest.mark.parametrize("content", ["größer als\n", b"\x00\xff"])
def test_a_file_is_written_and_written_anew(tmp_path, content, sync):
    for _ in range(2):
        whole_file.put(tmp_path / "a", content, sync=sync)
        assert (tmp_path / "a").read_bytes() == (content.encode() if isinstance(content, str) else content)
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.skipif(not FULL.exists(), reason="no full disk")
def test_on_a_full_disk_the_old_one_stays_and_nothing_else(tmp_path):
    whole_file.put(tmp_path / "a", "old")
    (tmp_path / ".a.partial").symlink_to(FULL)
    with pytest.raises(OSError, match="No space left"):
        whole_file.put(tmp_path / "a", "new")
    assert (tmp_path / "a").read_text() == "old"
    assert os.listdir(tmp_path) == ["a"]


def test_text_that_no_encoding_can_hold_destroys_nothing(tmp_path):
    whole_file.put(tmp_path / "a", "old")
    with pytest.raises(UnicodeEncodeError):
        whole_file.put(tmp_path / "a", "half a pair: \ud83d")
    assert os.listdir(tmp_path) == ["a"]
    assert (tmp_path / "a").read_text() == "old"


@pytest.mark.skipif(not FULL.exists(), reason="no full disk")
def test_a_device_stays_a_device(tmp_path):
    (tmp_path / "a").symlink_to(FULL)
    with pytest.raises(OSError, match="No space left"):
        whole_file.put(tmp_path / "a", "new")
    assert FULL.is_char_device()


def test_a_link_stays_a_link_and_a_private_file_private(tmp_path):
    (tmp_path / "there").write_text("old")
    (tmp_path / "there").chmod(0o600)
    (tmp_path / "here").symlink_to("there")
    whole_file.put(tmp_path / "here", "new")
    assert (tmp_path / "here").is_symlink()
    assert (tmp_path / "there").read_text() == "new"
    assert (tmp_path / "there").stat().st_mode & 0o777 == 0o600
