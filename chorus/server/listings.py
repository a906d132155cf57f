"""What a client may look up: models, personas, whether the server is there and ready, and its counters."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from chorus.server.access import Known
from chorus.server.models import Way, way
from chorus.server.replies import Health, ModelCard, ModelList, PersonaList
from chorus.server.service import Service

router = APIRouter()

CREATED = 1_795_478_400
"""OpenAI's field; ways of answering were made with this release."""


@router.get("/v1/models", response_model=ModelList, tags=["models"])
async def list_models(request: Request, caller: Known) -> Response:
    """List the ways of answering."""
    service: Service = request.app.state.service
    return JSONResponse({"object": "list", "data": [_card(one) for one in service.ways.values()]})


@router.get("/v1/models/{model}", response_model=ModelCard, tags=["models"])
async def read_model(request: Request, model: str, caller: Known) -> Response:
    """Describe one way of answering."""
    service: Service = request.app.state.service
    return JSONResponse(_card(way(service.ways, model)))


@router.get("/v1/personas", response_model=PersonaList, tags=["personas"])
async def list_personas(request: Request, caller: Known) -> Response:
    """List the personas that can be named."""
    service: Service = request.app.state.service
    rows = [
        {"id": persona.id, "name": persona.name, "summary": persona.summary, "pack": pack}
        for pack, personas in service.library.packs.items()
        for persona in personas
    ]
    return JSONResponse({"object": "list", "data": rows})


@router.get("/health", response_model=Health, tags=["operation"])
async def health() -> Response:
    """Say that the process is there."""
    return JSONResponse({"status": "ok"})


@router.get("/ready", response_model=Health, tags=["operation"], responses={503: {"model": Health}})
async def ready(request: Request) -> Response:
    """Say whether questions are taken: engine and store are there, and the server is not about to end."""
    service: Service = request.app.state.service
    status = "ready" if service.ready else "stopping" if service.draining else "starting"
    if service.ready and not await service.store_answers():
        status = "the store is out of reach"
    return JSONResponse({"status": status}, 200 if status == "ready" else 503)


@router.get("/metrics", response_class=Response, tags=["operation"])
async def metrics(request: Request) -> Response:
    """Return the counters, for Prometheus. They hold no text and no key."""
    service: Service = request.app.state.service
    body, media_type = service.meters.render()
    return Response(body, media_type=media_type)


def _card(one: Way) -> dict[str, object]:
    shown = {"id": one.id, "object": "model", "created": CREATED, "owned_by": "greek-chorus"}
    shown |= {"description": one.description}
    return shown | {"grant": one.standing.name} if one.standing.baked else shown
