"""The pipeline: every frame through a ComfyUI workflow."""

from __future__ import annotations

from typing import Any, ClassVar

from ai_runner_base import FramePipeline, VideoFrame

from .engine import Engine, comfyui_folder
from .params import ComfyParams


class ComfyUI(FramePipeline):
    """Sends every frame through a workflow, which can be swapped between two frames."""

    Params: ClassVar[type[ComfyParams]] = ComfyParams

    def setup(self, params: ComfyParams) -> None:
        """Import ComfyUI, once; then check the workflow. Its models load with the first frame."""
        self._engine = getattr(self, "_engine", None) or Engine(comfyui_folder())
        self.on_params(params)

    def on_params(self, params: ComfyParams) -> None:
        """Take another workflow, if ComfyUI accepts it; what both have in common stays loaded."""
        graph = params.graph()
        self._engine.check(graph)
        self._graph = graph

    def transform(self, frame: VideoFrame, params: ComfyParams) -> Any:
        """One run of the workflow."""
        return self._engine.run(self._graph, frame.tensor)

    @classmethod
    def prepare_models(cls) -> None:
        """Load ComfyUI once, so that what is missing is told before anybody watches. Models are its own matter."""
        Engine(comfyui_folder())
