"""The application: routes, one way to tell errors, and a lifespan that opens the engine and lets debates end.

app = create_app(Chorus(engine="hf:smollm2-135m"), store=None, keys=None)
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles

from chorus.chorus import Chorus, versions
from chorus.errors import ChorusError, StoreError
from chorus.server import chat, debates, listings
from chorus.server.meters import Meters
from chorus.server.middleware import Gatehouse
from chorus.server.policy import Policy
from chorus.server.problems import problem
from chorus.server.replies import ErrorBody
from chorus.server.responses import routes as responses
from chorus.server.service import Service
from chorus.server.webhook import Webhook
from chorus.telemetry.counters import Counters
from personas import PersonaError

if TYPE_CHECKING:
    from chorus.record.store import Store
    from chorus.server.keys import KeyRing

log = logging.getLogger("chorus.server")

ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ErrorBody, "description": "The request can't be served as it stands."},
    "5XX": {"model": ErrorBody, "description": "The engine or the server failed."},
}


def create_app(
    chorus: Chorus,
    *,
    baked: Sequence[Chorus] = (),
    store: Store | None = None,
    keys: KeyRing | None = None,
    policy: Policy | None = None,
    counters: Counters | None = None,
    webhook: Webhook | None = None,
) -> FastAPI:
    """Return the application.

    Args:
        chorus: brings the engine, the personas and the settings that requests start from; closed with the application.
        baked: checkpoints that answer beside it, under the names of their folders; closed likewise.
        store: where debates are kept; None keeps the newest in memory.
        keys: who may ask; None lets whoever reaches the loopback interface.
        policy: what is allowed.
        counters: the engine's, if its calls are counted already.
        webhook: is told of answers that a person should look at; its outbox is the store's.
    """
    rules = policy or Policy()
    meters = Meters(counters)
    service = Service(chorus, baked=baked, store=store, keys=keys, policy=rules, meters=meters, webhook=webhook)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        await service.open()
        sending = asyncio.create_task(webhook.run()) if webhook else None
        try:
            yield
        finally:
            await service.drain()
            if sending:
                sending.cancel()  # what is not out stays in the outbox
                await asyncio.wait({sending})
            await asyncio.shield(service.aclose())

    app = FastAPI(
        title="greek-chorus",
        version=versions().get("greek-chorus", "0"),
        summary="OpenAI's APIs in front of a chorus of personas.",
        lifespan=lifespan,
        responses=ERRORS,
        generate_unique_id_function=lambda route: route.name,
        redoc_url=None,
    )
    app.state.service = service
    for router in (chat.router, responses.router, debates.router, listings.router):
        app.include_router(router)
    _serve_the_page(app)
    for kind in (ChorusError, PersonaError, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, _tell)
    app.add_middleware(Gatehouse, meters=meters, max_body_bytes=rules.max_body_bytes, local=keys is None)
    return app


def _serve_the_page(app: FastAPI) -> None:
    folder = str(files("chorus.server").joinpath("page"))

    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        return FileResponse(f"{folder}/index.html", headers={"cache-control": "no-cache"})

    app.mount("/page", StaticFiles(directory=folder), name="page")


async def _tell(request: Request, error: Exception) -> Response:
    told = problem(error)
    if told.status == 500 or isinstance(error, StoreError):
        log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return told.response()
