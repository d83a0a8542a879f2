"""Workflows made fit for live frames, and what is said of those that cannot be."""

from __future__ import annotations

from typing import Any

import pytest

from ai_runner_comfyui.workflow import INVERT, make_graph

FROM_A_PAGE = {
    "7": {"class_type": "LoadImage", "inputs": {"image": "example.png"}, "_meta": {"title": "Load"}},
    "8": {"class_type": "CLIPTextEncode", "inputs": {"text": "a hare", "clip": ["9", 1]}},
    "9": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "small.safetensors"}},
    "12": {"class_type": "Paint", "inputs": {"image": ["7", 0], "prompt": ["8", 0]}},
    "20": {"class_type": "PreviewImage", "inputs": {"images": ["12", 0]}},
}


def test_files_give_way_to_live_frames_in_a_workflow_from_a_page() -> None:
    graph = make_graph(FROM_A_PAGE, {})
    assert graph.nodes["7"] == {"class_type": "LoadTensor", "inputs": {}}
    assert graph.nodes["20"] == {"class_type": "SaveTensor", "inputs": {"images": ["12", 0]}}
    assert graph.output == "20"
    assert graph.nodes["12"] == FROM_A_PAGE["12"]
    assert FROM_A_PAGE["7"]["class_type"] == "LoadImage"


def test_a_file_beside_a_live_input_stays_a_file() -> None:
    workflow = FROM_A_PAGE | {"30": {"class_type": "PrimaryInputLoadImage", "inputs": {"image": "x.png"}}}
    graph = make_graph(workflow, {})
    assert graph.nodes["7"]["class_type"] == "LoadImage"
    assert graph.nodes["30"] == {"class_type": "LoadTensor", "inputs": {}}


def test_changes_reach_their_place_and_leave_the_workflow_as_it_is() -> None:
    graph = make_graph(FROM_A_PAGE, {"8.text": "a fox"})
    assert graph.nodes["8"]["inputs"]["text"] == "a fox"
    assert FROM_A_PAGE["8"]["inputs"]["text"] == "a hare"  # type: ignore[index]  # a dictionary


def test_a_workflow_without_a_live_input_is_fine() -> None:
    workflow = {key: INVERT[key] for key in "23"} | {
        "1": {"class_type": "EmptyImage", "inputs": {"width": 64}}
    }
    assert make_graph(workflow, {}).nodes["1"]["class_type"] == "EmptyImage"


def _without(key: str) -> dict[str, Any]:
    return {other: node for other, node in FROM_A_PAGE.items() if other != key}


@pytest.mark.parametrize(
    ("workflow", "changes", "reason"),
    [
        ({}, {}, "is empty"),
        ({"nodes": [], "links": []}, {}, r"use its menu Export \(API\)"),
        ({"1": {"inputs": {}}}, {}, "node 1 has no class_type"),
        ({"1": {"class_type": "X", "inputs": []}}, {}, r"node 1 \(X\): inputs is list"),
        (_without("20"), {}, "SaveTensor or PreviewImage or SaveImage; here there is none"),
        (FROM_A_PAGE | {"21": FROM_A_PAGE["20"]}, {}, "here there is nodes 20, 21"),
        (FROM_A_PAGE | {"21": FROM_A_PAGE["7"]}, {}, "nodes 7, 21 all load an image"),
        (_without("12"), {}, r"node 20 \(PreviewImage\): input images comes from node '12'"),
        (
            FROM_A_PAGE | {"20": {"class_type": "SaveImage", "inputs": {}}},
            {},
            "images leads to no other node",
        ),
        (FROM_A_PAGE, {"5.text": ""}, "names node '5'; there is 7, 8"),
        (FROM_A_PAGE, {"8.texts": ""}, r"has no input 'texts', but \['text', 'clip'\]"),
        (FROM_A_PAGE, {"8": ""}, "has no input ''"),
    ],
)
def test_what_cannot_be_run_says_where(
    workflow: dict[str, Any], changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        make_graph(workflow, changes)
