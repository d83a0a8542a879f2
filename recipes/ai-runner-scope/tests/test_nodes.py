"""Finding and making nodes: what is missing is named, with what to do about it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from ai_runner_base.errors import CallerError, HostError, PipelineError
from ai_runner_base.pipeline import parse_params
from ai_runner_scope import device, weights
from ai_runner_scope.building import build
from ai_runner_scope.nodes import NAMES, chosen, config_class, node_class
from ai_runner_scope.params import params_class
from ai_runner_scope.pipeline import Scope
from ai_runner_scope.plan import Plan, make_plan


def _plan(name: str, **values: object) -> Plan:
    return make_plan(parse_params(params_class(name, config_class(name)), values))


def _put_weights(folder: Path, *files: str) -> None:
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text("weights")


def test_the_registry_and_the_server_are_never_imported() -> None:
    for name in ("passthrough", "gray", "longlive"):
        node_class(name)
    assert {"scope.core.pipelines.registry", "scope.server"}.isdisjoint(sys.modules)


def test_parameters_are_read_without_the_node_and_are_the_nodes_own() -> None:
    config = config_class("passthrough")
    assert "scope.core.pipelines.passthrough" not in sys.modules
    assert "scope.core.pipelines.passthrough.pipeline" not in sys.modules
    assert node_class("passthrough").get_config_class() is config
    assert config_class("passthrough") is config


def test_every_node_with_files_of_its_own_is_a_node() -> None:
    assert set(weights.CONFIG_FILES) <= set(NAMES)


def test_a_node_that_needs_a_missing_package_says_which() -> None:
    with pytest.raises(HostError, match="'memflow' needs the Python package 'flash_attention_of_the_future'"):
        node_class("memflow")


def test_a_folder_that_is_no_checkout_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SCOPE_DIR", str(tmp_path))
    with pytest.raises(HostError, match="is no checkout of scope"):
        node_class("gray")


def test_a_module_without_a_node_is_another_version_of_scope() -> None:
    with pytest.raises(PipelineError, match="no class for pipeline_id = 'reward-forcing'"):
        node_class("reward-forcing")


def test_a_choice_that_does_not_exist_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCOPE_PIPELINE", "grey")
    with pytest.raises(HostError, match="SCOPE_PIPELINE='grey'"):
        chosen()


def test_numbers_are_float32_on_a_cpu_whatever_a_node_prefers() -> None:
    node = build(_plan("passthrough", width=640, height=480))
    assert node.made == (480, 640, "cpu", "float32")
    with pytest.raises(CallerError, match="takes minutes for a frame on a CPU"):
        build(_plan("passthrough", precision="float16"))


def test_on_a_gpu_a_node_has_its_own_preference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device.torch().cuda, "is_available", lambda: True)
    monkeypatch.setattr(device.torch().cuda, "empty_cache", lambda: None, raising=False)
    assert build(_plan("passthrough")).made[2:] == ("cuda", "bfloat16")
    assert build(_plan("passthrough", precision="float16")).made[2:] == ("cuda", "float16")


def test_a_config_tells_a_node_where_its_weights_are(checkout: Path) -> None:
    _put_weights(checkout, "LongLive-1.3B/models/longlive_base.pt")
    node = build(_plan("longlive", quantization="fp8_e4m3fn"))
    assert node.config.generator_path == str(checkout / "LongLive-1.3B/models/longlive_base.pt")
    assert (node.config.width, node.config.height) == (640, 320)
    assert node.config.fp32 is True
    assert node.quantization == "fp8_e4m3fn"


def test_an_argument_that_nobody_knows_is_named() -> None:
    with pytest.raises(PipelineError, match="'krea-realtime-video' is made with engine"):
        build(_plan("krea-realtime-video"))


# Weights


def test_missing_weights_say_how_to_get_them() -> None:
    with pytest.raises(HostError, match=r"lacks 2 of its weights, such as .*RIFE/config.json") as raised:
        build(_plan("rife"))
    assert raised.value.hint == "run: SCOPE_PIPELINE=rife ai-runner prepare scope"


def test_an_empty_folder_is_no_weights(checkout: Path) -> None:
    _put_weights(checkout, "RIFE/config.json")
    (checkout / "RIFE/flow").mkdir()
    assert weights.missing("rife", config_class("rife")) == [checkout / "RIFE/flow"]
    _put_weights(checkout, "RIFE/flow/net.pkl")
    assert weights.missing("rife", config_class("rife")) == []


def test_weights_lie_under_model_dir_and_scope_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DAYDREAM_SCOPE_MODELS_DIR", "")
    monkeypatch.setenv("MODEL_DIR", str(tmp_path))
    assert weights.models_dir() == tmp_path / "Scope--models"
    assert os.environ["DAYDREAM_SCOPE_MODELS_DIR"] == str(tmp_path / "Scope--models")


def test_preparing_fetches_what_is_missing_of_the_chosen_node_only(
    monkeypatch: pytest.MonkeyPatch, checkout: Path
) -> None:
    asked = []

    def download(repository: str, *, allow_patterns: list[str], local_dir: str) -> None:
        asked.append((repository, allow_patterns))
        _put_weights(Path(local_dir), "config.json", "flow/net.pkl")

    monkeypatch.setitem(sys.modules, "huggingface_hub", SimpleNamespace(snapshot_download=download))
    monkeypatch.setenv("SCOPE_PIPELINE", "rife")
    Scope.prepare_models()
    assert asked == [("somebody/RIFE", ["config.json", "config.json/*", "flow", "flow/*"])]
    Scope.prepare_models()
    assert len(asked) == 1
    assert build(_plan("rife")).dtype == device.torch().float32


def test_weights_from_elsewhere_are_left_to_a_person(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCOPE_PIPELINE", "scribble")
    with pytest.raises(HostError, match="not on the model hub"):
        Scope.prepare_models()


def test_raft_comes_by_torchvision_in_both_sizes(monkeypatch: pytest.MonkeyPatch, checkout: Path) -> None:
    fetched = []

    def weights_of(size: str) -> SimpleNamespace:
        url = f"https://example.invalid/models/raft_{size}.pth"
        return SimpleNamespace(DEFAULT=SimpleNamespace(url=url, get_state_dict=lambda progress: fetch(size)))

    def fetch(size: str) -> None:
        fetched.append(size)
        _put_weights(Path(os.environ["TORCH_HOME"]) / "hub/checkpoints", f"raft_{size}.pth")

    models = SimpleNamespace(Raft_Small_Weights=weights_of("small"), Raft_Large_Weights=weights_of("large"))
    monkeypatch.setitem(sys.modules, "torchvision.models.optical_flow", models)
    config = SimpleNamespace(artifacts=[])
    with pytest.raises(HostError, match=r"lacks 2 of its weights, such as .*raft_small.pth"):
        weights.require("optical-flow", config)
    for _ in range(2):
        weights.fetch("optical-flow", config)
    assert fetched == ["small", "large"]
    assert (checkout / "torch/hub/checkpoints/raft_large.pth").exists()
    weights.require("optical-flow", config)
