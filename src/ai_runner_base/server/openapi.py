"""The published API description, made from the route table and the models that validate the requests."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from .. import __version__
from .schemas import HTTPError, HTTPValidationError

_REF = "#/components/schemas/{model}"


@dataclass(frozen=True)
class Route:
    """One documented path. `answer` None means an answer that is not JSON, described by `content_type`."""

    method: str
    path: str
    handler: Callable[[web.Request], Any]
    summary: str
    answer: type[BaseModel] | None = None
    body: type[BaseModel] | None = None
    errors: tuple[int, ...] = ()
    needs_token: bool = False
    content_type: str = "application/json"
    tags: tuple[str, ...] = field(default=())


def describe(routes: Iterable[Route], *, with_token: bool) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of `routes`.

    :param with_token: a token is configured, so that some routes need it
    """
    routes = list(routes)
    models: set[type[BaseModel]] = {m for r in routes for m in (r.answer, r.body) if m}
    models |= {HTTPError, HTTPValidationError}
    wanted: list[tuple[type[BaseModel], JsonSchemaMode]] = [
        (model, "validation") for model in sorted(models, key=lambda m: m.__name__)
    ]
    _, schemas = models_json_schema(wanted, ref_template=_REF)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, with_token)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "AI Runner",
            "version": __version__,
            "description": "Live video through AI pipelines.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {"HTTPBearer": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(route: Route, with_token: bool) -> dict[str, Any]:
    content: dict[str, Any] = {route.content_type: {"schema": _ref(route.answer)} if route.answer else {}}
    operation: dict[str, Any] = {
        "operationId": route.handler.__name__.strip("_"),
        "summary": route.summary,
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in re.findall(r"{(\w+)}", route.path)
        ],
        "responses": {
            "200": {"description": "OK", "content": content},
            **{str(status): _error(status) for status in route.errors},
        },
    }
    if route.tags:
        operation["tags"] = list(route.tags)
    if route.body:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": _ref(route.body)}},
        }
    if route.needs_token and with_token:
        operation["security"] = [{"HTTPBearer": []}]
    return operation


def _ref(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": _REF.format(model=model.__name__)}


def _error(status: int) -> dict[str, Any]:
    model = HTTPValidationError if status == 422 else HTTPError
    return {"description": _WORDS[status], "content": {"application/json": {"schema": _ref(model)}}}


_WORDS = {
    400: "The request cannot be served as given",
    401: "Missing or wrong token",
    404: "No such thing",
    422: "The body does not match the schema",
    500: "The runner's fault, or insufficient capacity",
    503: "Not now",
}
