"""ComfyUI's own execution, in this process: its nodes and its executor, not its server."""

from __future__ import annotations

import asyncio
import inspect
import os
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from ai_runner_base.errors import HostError, PipelineError
from ai_runner_base.pipeline import ParamsError

from .workflow import INPUT, OUTPUT, Graph

VARIABLES: Final = ("COMFYUI_DIR", "COMFY_UI_WORKSPACE")
"""Environment variables that name ComfyUI's folder; the second is that of livepeer's runner."""
CUSTOM_NODES_VARIABLE: Final = "COMFYUI_CUSTOM_NODES"
"""Environment variable: ``1`` loads the nodes under ``custom_nodes``, too."""
HOW: Final = "docs/pipelines/comfyui.md"


def comfyui_folder() -> Path:
    """Where ComfyUI is.

    :raises HostError: no variable names it, or it is not there
    """
    given = next(filter(None, map(os.environ.get, VARIABLES)), None)
    if given is None:
        raise HostError(
            "ComfyUI is published as no Python package, and no folder of it is named",
            hint=f"install it (comfy --workspace FOLDER install) and set {VARIABLES[0]}=FOLDER: {HOW}",
        )
    folder = Path(given).expanduser().resolve()
    if not (folder / "execution.py").is_file():
        raise HostError(f"{given!r} is no folder of ComfyUI: there is no {folder / 'execution.py'}")
    return folder


class LiveFrame:
    """The picture that goes in, and the one that came out; shared by the engine and its two nodes."""

    def __init__(self) -> None:
        self.picture: Any = None
        self.result: Any = None


class Engine:
    """Runs one graph at a time. Everything that does not depend on the live frame is kept from frame to frame.

    :param folder: ComfyUI's
    :raises HostError: a package that ComfyUI needs is missing
    """

    def __init__(self, folder: Path) -> None:
        self._execution, self._nodes = _import_comfyui(folder)
        self._live = LiveFrame()
        _load_nodes(self._nodes)
        self._nodes.NODE_CLASS_MAPPINGS.update(_live_nodes(self._live))
        self._executor = self._execution.PromptExecutor(_NoServer())

    def check(self, graph: Graph) -> None:
        """Have ComfyUI check a graph: node types, inputs, names of models.

        :raises ParamsError: what it says, node by node
        """
        answer = self._execution.validate_prompt("live", dict(graph.nodes), None)
        is_valid, error, _, node_errors = asyncio.run(answer)
        if complaints := _complaints(node_errors) or ([] if is_valid else [_sentence(error)]):
            detail = {"loc": ("workflow",), "msg": "; ".join(complaints), "type": "comfyui"}
            raise ParamsError(
                f"ComfyUI refuses the workflow: {detail['msg']}",
                hint="models lie in ComfyUI's folder models; custom nodes are loaded with COMFYUI_CUSTOM_NODES=1",
                details=(detail,),
            )

    def run(self, graph: Graph, picture: Any) -> Any:
        """One picture through a graph.

        :param picture: (1, H, W, 3) float in 0..1, as ComfyUI has images
        :return: the same form, any size
        :raises PipelineError: a node raised, or no picture came out
        """
        self._live.picture, self._live.result = picture, None
        nodes = {
            key: dict(node) for key, node in graph.nodes.items()
        }  # the executor notes in them what has changed
        self._executor.execute(nodes, "live", {}, [graph.output])
        result, self._live.picture, self._live.result = self._live.result, None, None
        if not self._executor.success or result is None:
            raise _execution_error(self._executor.status_messages)
        return result[:1, ..., :3]


class _NoServer:
    """What the executor tells its server; nobody is there."""

    client_id = None
    last_node_id = None

    def send_sync(self, *_: Any, **__: Any) -> None:
        """Progress for a page that is not there."""


def _import_comfyui(folder: Path) -> tuple[Any, Any]:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))  # first: its modules have names such as utils
    try:
        options = import_module("comfy.cli_args").args  # of an empty command line
        options.cpu = not import_module("torch").cuda.is_available()
        _add_model_folders(folder)  # before nodes, which puts another module named utils first
        return import_module("execution"), import_module("nodes")
    except ModuleNotFoundError as error:
        raise HostError(
            f"ComfyUI needs the Python package {error.name!r}, which this environment does not have",
            hint=f"add what requirements.txt in {folder} lists",
        ) from error


def _add_model_folders(folder: Path) -> None:
    """Folders of models beside ComfyUI's own, as its start program reads them."""
    reader = import_module("utils.extra_config")
    listed = folder / "extra_model_paths.yaml"
    if listed.is_file():
        reader.load_extra_path_config(str(listed))


def _load_nodes(nodes: Any) -> None:
    """The nodes beside the built-in ones. Those of paid services are left out."""
    with_custom = os.environ.get(CUSTOM_NODES_VARIABLE) == "1"
    loading = nodes.init_extra_nodes(init_custom_nodes=with_custom, init_api_nodes=False)
    if inspect.isawaitable(loading):
        asyncio.run(_await(loading))


async def _await(loading: Any) -> None:
    await loading


def _live_nodes(live: LiveFrame) -> dict[str, type[Any]]:
    class LoadTensor:
        """The live frame."""

        RETURN_TYPES = ("IMAGE",)
        FUNCTION = "load"
        CATEGORY = "live"

        @classmethod
        def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802  # ComfyUI's name
            """No inputs."""
            return {"required": {}}

        @classmethod
        def IS_CHANGED(cls) -> float:  # noqa: N802  # ComfyUI's name
            """Always: NaN equals nothing, so what depends on the frame is done anew."""
            return float("nan")

        def load(self) -> tuple[Any]:
            """Give the frame of the moment."""
            return (live.picture,)

    class SaveTensor:
        """The picture that is shown."""

        RETURN_TYPES = ()
        FUNCTION = "save"
        CATEGORY = "live"
        OUTPUT_NODE = True

        @classmethod
        def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802  # ComfyUI's name
            """One image."""
            return {"required": {"images": ("IMAGE",)}}

        @classmethod
        def IS_CHANGED(cls, **_: Any) -> float:  # noqa: N802  # ComfyUI's name
            """Always, also where the picture depends on no frame."""
            return float("nan")

        def save(self, images: Any) -> dict[str, Any]:
            """Keep it for the engine."""
            live.result = images
            return {}

    return {INPUT: LoadTensor, OUTPUT: SaveTensor}


def _complaints(node_errors: Mapping[str, Any]) -> list[str]:
    return [
        f"node {key} ({found.get('class_type', '?')}): {_sentence(error)}"
        for key, found in node_errors.items()
        for error in found["errors"]
    ]


def _sentence(error: Mapping[str, Any] | None) -> str:
    error = error or {}
    return ": ".join(filter(None, (str(error.get("message", "")), str(error.get("details", "")))))


def _execution_error(messages: list[tuple[str, dict[str, Any]]]) -> PipelineError:
    for event, data in reversed(messages):
        if event == "execution_error":
            return PipelineError(
                f"node {data.get('node_id')} ({data.get('node_type')}) raised "
                f"{data.get('exception_type')}: {str(data.get('exception_message')).strip()}",
                remote_traceback="".join(data.get("traceback") or ()),
            )
    return PipelineError("the workflow ended without a picture", hint="lead a picture to its output node")
