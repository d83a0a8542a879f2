"""Workflows in ComfyUI's API format, made fit for live frames. Pure: knows no ComfyUI.

A workflow is a dictionary of nodes by id, each with ``class_type`` and ``inputs``; an input is a value or a link,
``[node id, output number]``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

INPUT: Final = "LoadTensor"
OUTPUT: Final = "SaveTensor"
"""The nodes of live frames, by the names that ComfyStream's workflows use."""
_STANDS_FOR_INPUT: Final = (INPUT, "PrimaryInputLoadImage", "LoadImage")
_STANDS_FOR_OUTPUT: Final = (OUTPUT, "PreviewImage", "SaveImage")
"""In order of preference: a workflow from ComfyUI's page runs as it is."""

INVERT: Final[dict[str, Any]] = {
    "1": {"class_type": INPUT, "inputs": {}},
    "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
    "3": {"class_type": OUTPUT, "inputs": {"images": ["2", 0]}},
}
"""The workflow to begin with; needs no model."""


@dataclass(frozen=True)
class Graph:
    """A workflow with one live input or none, and one live output.

    :param nodes: in API format
    :param output: id of the output node
    """

    nodes: Mapping[str, Any]
    output: str


def make_graph(workflow: Mapping[str, Any], changes: Mapping[str, Any]) -> Graph:
    """Check the form of a workflow, put the changes in and live frames in place of files.

    :param workflow: in API format
    :param changes: values by place, ``{"6.text": "a fox"}`` for input ``text`` of node 6
    :raises ValueError: says which node breaks which rule
    """
    nodes = {str(key): _node(str(key), node) for key, node in _api_format(workflow).items()}
    for place, value in changes.items():
        _change(nodes, place, value)
    _check_links(nodes)
    output = _the_output(nodes)
    for key in _inputs(nodes):
        nodes[key] = {"class_type": INPUT, "inputs": {}}
    images = nodes[output]["inputs"].get("images")
    if not _is_link(images):
        raise ValueError(
            f"node {output} ({nodes[output]['class_type']}): its input images leads to no other node"
        )
    nodes[output] = {"class_type": OUTPUT, "inputs": {"images": images}}
    return Graph(nodes, output)


def _api_format(workflow: Mapping[str, Any]) -> Mapping[str, Any]:
    if isinstance(workflow.get("nodes"), list):
        raise ValueError("this is a workflow as ComfyUI's page saves it; use its menu Export (API)")
    if not workflow:
        raise ValueError("the workflow is empty")
    return workflow


def _node(key: str, node: Any) -> dict[str, Any]:
    if not isinstance(node, Mapping) or not isinstance(node.get("class_type"), str):
        raise ValueError(f"node {key} has no class_type")
    inputs = node.get("inputs", {})
    if not isinstance(inputs, Mapping):
        raise ValueError(
            f"node {key} ({node['class_type']}): inputs is {type(inputs).__name__}, not an object"
        )
    return {**node, "inputs": dict(inputs)}


def _change(nodes: Mapping[str, Any], place: str, value: Any) -> None:
    key, _, name = place.partition(".")
    if key not in nodes:
        raise ValueError(f"changes: {place!r} names node {key!r}; there is {', '.join(nodes)}")
    inputs = nodes[key]["inputs"]
    if name not in inputs:
        raise ValueError(
            f"changes: node {key} ({nodes[key]['class_type']}) has no input {name!r}, but {list(inputs)}"
        )
    inputs[name] = value


def _is_link(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and isinstance(value[1], int)


def _check_links(nodes: Mapping[str, Any]) -> None:
    for key, node in nodes.items():
        for name, value in node["inputs"].items():
            if _is_link(value) and str(value[0]) not in nodes:
                raise ValueError(
                    f"node {key} ({node['class_type']}): input {name} comes from node {value[0]!r}, which is not there"
                )


def _of_first_kind(nodes: Mapping[str, Any], kinds: tuple[str, ...]) -> list[str]:
    for kind in kinds:
        if found := [key for key, node in nodes.items() if node["class_type"] == kind]:
            return found
    return []


def _inputs(nodes: Mapping[str, Any]) -> list[str]:
    """Nodes that the live frame takes the place of; a picture from a file beside others stays one."""
    found = _of_first_kind(nodes, _STANDS_FOR_INPUT)
    if len(found) > 1 and nodes[found[0]]["class_type"] == "LoadImage":
        raise ValueError(
            f"nodes {', '.join(found)} all load an image; make the one for live frames a {INPUT} node"
        )
    return found


def _the_output(nodes: Mapping[str, Any]) -> str:
    found = _of_first_kind(nodes, _STANDS_FOR_OUTPUT)
    if len(found) != 1:
        there = f"nodes {', '.join(found)}" if found else "none"
        raise ValueError(
            f"a workflow has one output node, {' or '.join(_STANDS_FOR_OUTPUT)}; here there is {there}"
        )
    return found[0]
