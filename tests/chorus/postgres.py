"""A real PostgreSQL for tests: a cluster of its own in a temporary folder, reached by a socket there and nowhere else."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

START_S = 30


def programs() -> Path | None:
    """Where the newest server's programs are; None where there are none."""
    on_path = shutil.which("initdb")
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    found = [Path(on_path)] if on_path else debian
    return found[-1].parent if found else None


class Cluster:
    """A server that can be stopped and started again. Settings make it quick: nothing in it outlives a power failure."""

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        self._folder = Path(tempfile.mkdtemp(prefix="chorus-pg-", dir="/tmp"))  # short, since a socket's path must be
        self._process: subprocess.Popen[bytes] | None = None
        self._as: dict[str, Any] = {}
        if not os.geteuid():  # it doesn't run as root
            user = next(name for name in ("postgres", "nobody") if name in {entry.pw_name for entry in pwd.getpwall()})
            entry = pwd.getpwnam(user)
            os.chown(self._folder, entry.pw_uid, entry.pw_gid)
            self._as = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
        made = [programs / "initdb", "-D", self._data, "-U", "chorus", "-A", "trust", "-E", "UTF8", "--no-sync"]
        subprocess.run(made, check=True, capture_output=True, cwd=self._folder, **self._as)

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    def url(self, database: str) -> str:
        return f"postgresql://chorus@/{database}?host={self._folder}"

    def database(self) -> str:
        """Make an empty database, and return its URL."""
        name = f"debates_{secrets.token_hex(4)}"
        with self._connected() as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def start(self) -> None:
        options = ("fsync=off", "full_page_writes=off", "listen_addresses=", f"unix_socket_directories={self._folder}")
        server = [self._programs / "postgres", "-D", self._data, *(word for one in options for word in ("-c", one))]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(server, stdout=log, stderr=log, cwd=self._folder, **self._as)
        import psycopg

        until = time.monotonic() + START_S
        while True:
            try:
                self._connected().close()
            except psycopg.OperationalError:
                assert self._process.poll() is None, (self._folder / "log").read_text()
                assert time.monotonic() < until, "it does not start"
                time.sleep(0.05)
            else:
                return

    def stop(self) -> None:
        """Stop it at once; connections are cut."""
        if self._process:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(START_S)
            self._process = None

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _connected(self) -> Any:
        import psycopg

        return psycopg.connect(self.url("postgres"), autocommit=True)
