"""The `chorus` command as tests run it: in this process where that will do, in one of its own where it must be real."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from chorus.cli import main

COMMAND = [sys.executable, "-c", "from chorus.cli import main; main()"]


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str


class Command:
    """Runs the command in this process, in an empty folder, without settings; its output is no terminal."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        for name in [name for name in os.environ if name.startswith("CHORUS_")]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("CHORUS_CACHE", str(folder / "cache"))
        monkeypatch.chdir(folder)
        self._patch = monkeypatch
        self._captured = capsys

    def __call__(self, *arguments: str, stdin: bytes = b"") -> Ran:
        self._patch.setattr(sys, "argv", ["chorus", *arguments])
        self._patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        self._captured.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        said = self._captured.readouterr()
        assert isinstance(ended.value.code, int)
        return Ran(ended.value.code, said.out, said.err)


def start(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    """Start the command in a process of its own, in the working folder."""
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}
    return subprocess.Popen([*COMMAND, *arguments], text=True, **pipes | options)


def run(*arguments: str, **options: Any) -> Ran:
    """Run the command in a process of its own to its end, which comes within half a minute."""
    with start(*arguments, **options) as process:
        try:
            out, err = process.communicate(timeout=30)
        except BaseException:
            process.kill()
            raise
    return Ran(process.returncode, out or "", err or "")
