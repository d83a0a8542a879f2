"""The published API description, made from the route table and the models that validate the requests."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from aiohttp import web
from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from .. import __version__
from .schemas import HTTPError, HTTPValidationError

_REF = "#/components/schemas/{model}"


@dataclass(frozen=True)
class Route:
    """One documented path.

    :param answer: None: what is answered is not JSON, but `content_type`
    :param body: None: nothing is taken, or `body_type`, which is not JSON
    :param operation_id: empty: the handler's name; wanted where several paths share one
    """

    method: str
    path: str
    handler: Callable[[web.Request], Any]
    summary: str
    answer: type[BaseModel] | None = None
    body: type[BaseModel] | None = None
    errors: tuple[int, ...] = ()
    needs_token: bool = False
    content_type: str = "application/json"
    body_type: str = ""
    status: int = 200
    tags: tuple[str, ...] = field(default=())
    operation_id: str = ""


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
    operation: dict[str, Any] = {
        "operationId": route.operation_id or route.handler.__name__.strip("_"),
        "summary": route.summary,
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in re.findall(r"{(\w+)}", route.path)
        ],
        "responses": {
            str(route.status): _success(route),
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


def _success(route: Route) -> dict[str, Any]:
    if route.status == HTTPStatus.NO_CONTENT:
        return {"description": "Done"}
    content = {route.content_type: {"schema": _ref(route.answer)} if route.answer else {}}
    return {"description": "OK", "content": content}


def _ref(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": _REF.format(model=model.__name__)}


def _error(status: int) -> dict[str, Any]:
    model = HTTPValidationError if status == 422 else HTTPError
    return {"description": _WORDS[status], "content": {"application/json": {"schema": _ref(model)}}}


_WORDS = {
    400: "The request cannot be served as given",
    401: "Missing or wrong token",
    403: "Not for pages of other sites",
    404: "No such thing",
    406: "No codec in common",
    409: "The name is taken",
    412: "The session has changed",
    415: "The body has another content type",
    422: "The body does not match the schema",
    429: "More changes wait than a stream takes",
    500: "The runner's fault, or insufficient capacity",
    501: "Not installed here",
    503: "Not now",
}
