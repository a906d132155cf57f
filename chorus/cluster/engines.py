"""Engines on a Ray cluster: calls go out to workers, and whoever makes them stays here. `chorus eval --ray`.

Each worker is an actor with an engine of its own. Together they are one engine with several endpoints (`endpoints`): a
call goes where its debate's prefix is cached, and one whose worker or engine died is made elsewhere. Ray starts a worker
anew that has died, and a worker its engine; calls come again once it is open. Text comes in one piece.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from chorus.cluster.joining import SHARE_OF_CPU, Cluster
from chorus.engines.base import Completion, Emit, EngineInfo, Request
from chorus.engines.endpoints import Endpoint, Endpoints
from chorus.engines.reopened import Reopened
from chorus.errors import ChorusError, EngineError, EngineUnreachable
from chorus.types import Message

CALLS = 1024
"""Calls at once that a worker takes: engines line them up themselves, and know better."""

LOOK_S = 5.0
"""How long a worker may take to say that its engine is open before it counts as not there yet."""

CLOSE_S = 10.0
"""How long one may take to close its engine before it is ended."""

NOT_OPEN = "its engine is not open yet"
"""What a worker says to calls that come too early."""


class RayEngines(Cluster):
    """Opens engines whose calls workers on a cluster make, for as long as the `with` block lasts.

    Args:
        address: `HOST:PORT` of a cluster's head, `auto` for the one of this machine, `local` to start one.
        workers: of each engine; `None` is one for each node.
        gpus: that each of them books.

    Raises:
        MissingExtra: Ray is not installed. ConfigError: no cluster answers there.
    """

    def __init__(self, address: str, *, workers: int | None = None, gpus: float = 0.0) -> None:
        super().__init__(address, workers, gpus)
        self._made: list[_Remote] = []

    async def open(self, spec: str, *, report: Callable[[str], None] | None = None, **options: Any) -> Endpoints:
        """Open an engine, as `open_engine` does, on workers of its own; it is open when the first of them has it.

        Raises:
            ConfigError: not one of them can have the GPUs that it books.
            ChorusError: none can open it.
        """
        self._check_room(booked=sum(not one.ended for one in self._made))
        if report:
            report(f"{spec} is being opened by {self.workers} workers on Ray")
        made = self.ray.remote(_Host).options(
            num_cpus=SHARE_OF_CPU,
            num_gpus=self._gpus,
            max_restarts=-1,
            max_concurrency=CALLS,
            scheduling_strategy="SPREAD",
        )
        there = [_Remote(self.ray, made.remote(spec, options, str(Path.cwd()))) for _ in range(self.workers)]
        self._made += there
        try:
            info = await _first([one.ask_info() for one in there])
        except BaseException:
            for one in there:
                one.end()
            raise
        late = [None if one.open else EngineUnreachable(NOT_OPEN) for one in there]
        for one in there:
            one.info = info
        workers = [Endpoint(f"worker {at}", one, one.look, late[at]) for at, one in enumerate(there)]
        return Endpoints(workers, info.spec)


async def _first(asked: Sequence[Awaitable[EngineInfo]]) -> EngineInfo:
    """Return what the first has to say that doesn't fail. Raises what the last of them failed with."""
    failure: BaseException | None = None
    tasks = [asyncio.ensure_future(one) for one in asked]
    try:
        for done in asyncio.as_completed(tasks):
            try:
                return await done
            except ChorusError as error:
                failure = error
    finally:
        for task in tasks:
            task.cancel()
    assert failure
    raise failure


class _Remote:
    """A worker's engine, as it is used from here."""

    info: EngineInfo

    def __init__(self, ray: Any, host: Any) -> None:
        self.open = False
        """Whether its engine has been open."""
        self.ended = False
        """Whether the worker was ended from here."""
        self._ray = ray
        self._host = host

    async def generate(self, request: Request, emit: Emit) -> Completion:
        """Complete the messages. Raises EngineError."""
        call = self._host.generate.remote(request)
        try:
            completion: Completion = await self._said(call)
        except asyncio.CancelledError:
            self._ray.cancel(call)
            raise
        if completion.text:
            emit(completion.text)
        return completion

    async def count(self, messages: Sequence[Message]) -> int:
        """Return how many tokens the messages take as a prompt."""
        return int(await self._said(self._host.count.remote(tuple(messages))))

    async def ask_info(self) -> EngineInfo:
        """Return what the engine is, once it is open. Raises ChorusError."""
        info: EngineInfo = await self._said(self._host.info.remote())
        self.open = True
        return info

    async def look(self) -> None:
        """Return if the engine is open. Raises ChorusError."""
        try:
            async with asyncio.timeout(LOOK_S):
                await self.ask_info()
        except TimeoutError:
            raise EngineUnreachable("a worker on Ray is being started") from None

    async def aclose(self) -> None:
        """Close the engine, and end its worker."""
        try:
            with contextlib.suppress(TimeoutError, ChorusError):
                async with asyncio.timeout(CLOSE_S):
                    await self._said(self._host.aclose.remote())
        finally:
            self.end()

    def end(self) -> None:
        """End the worker."""
        self.ended = True
        self._ray.kill(self._host)

    async def _said(self, call: Any) -> Any:
        try:
            said = await call
        except self._ray.exceptions.RayTaskError as error:
            cause = error.cause
            raise EngineError(f"the engine failed on its worker: {type(cause).__name__}: {cause}") from error
        except self._ray.exceptions.RayError as error:
            raise EngineUnreachable(f"a worker on Ray is gone: {error}") from error
        if isinstance(said, ChorusError):
            raise said
        return said


class _Host:
    """A worker. What an engine raises comes back as a value, since Ray would wrap it.

    Args:
        spec: of the engine, which is opened by whoever asks what it is.
        options: the engine's own.
        folder: which relative paths in the SPEC start from, where this machine has it.
    """

    def __init__(self, spec: str, options: dict[str, Any], folder: str) -> None:
        if Path(folder).is_dir():
            os.chdir(folder)
        self._engine = Reopened(spec, options)

    async def info(self) -> EngineInfo | ChorusError:
        """Return what the engine is, once it is open: for the first time, or again after it died."""
        try:
            return await self._engine.open()
        except ChorusError as error:
            return error

    async def generate(self, request: Request) -> Completion | ChorusError:
        """Complete the messages."""
        if not self._engine.is_open:
            return EngineUnreachable(NOT_OPEN)
        try:
            return await self._engine.generate(request, lambda piece: None)
        except ChorusError as error:
            return error

    async def count(self, messages: tuple[Message, ...]) -> int | ChorusError:
        """Return how many tokens the messages take as a prompt."""
        if not self._engine.is_open:
            return EngineUnreachable(NOT_OPEN)
        try:
            return await self._engine.count(messages)
        except ChorusError as error:
            return error

    async def aclose(self) -> None:
        """Close the engine."""
        await self._engine.aclose()
