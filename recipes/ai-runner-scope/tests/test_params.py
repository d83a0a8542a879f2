"""Parameters of a node: which are offered, which need a reload, and what they come to."""

from __future__ import annotations

import pytest

from ai_runner_base.errors import CallerError, HostError
from ai_runner_base.pipeline import ParamsError, params_schema, parse_params
from ai_runner_scope.nodes import config_class
from ai_runner_scope.params import ScopeParams, chosen_params, params_class
from ai_runner_scope.plan import Plan, make_plan


def _class(name: str) -> type[ScopeParams]:
    return params_class(name, config_class(name))


def _plan(name: str, **values: object) -> Plan:
    return make_plan(parse_params(_class(name), values))


def test_the_schema_has_the_fields_that_the_chosen_nodes_config_class_declares() -> None:
    properties = params_schema(_class("longlive"))["properties"]
    assert {"noise_scale", "denoising_steps", "quantization", "prompt", "width"} <= set(properties)
    assert {"lora_merge_strategy", "input_size", "manage_cache"}.isdisjoint(properties)
    noise = properties["noise_scale"]
    assert (noise["minimum"], noise["maximum"], noise["default"]) == (0, 1, 0.7)
    assert noise["x-live"] is True
    assert properties["quantization"]["x-live"] is False
    assert properties["pipeline"]["default"] == "longlive"
    assert properties["width"] | {"description": ""} == {
        "default": 640, "minimum": 64, "maximum": 3840, "multipleOf": 8, "type": "integer", "title": "Width",
        "unit": "px", "group": "Picture", "step": 8, "x-live": False, "description": "",
    }  # fmt: skip


def test_video_is_the_mode_of_whoever_can() -> None:
    assert _plan("longlive").mode == "video"
    assert _plan("longlive", mode="text").mode == "text"
    with pytest.raises(CallerError, match="mode = 'text': Config has only video"):
        _plan("gray", mode="text")


def test_what_is_left_at_its_default_has_that_of_the_mode() -> None:
    assert _plan("longlive").call["noise_scale"] == 0.7
    assert _plan("longlive", mode="text").call["noise_scale"] == 0.5
    assert _plan("longlive", mode="text", noise_scale=0.1).call["noise_scale"] == 0.1


def test_a_call_gets_prompts_and_steps_by_the_names_it_knows() -> None:
    call = _plan("longlive", prompt="a fox").call
    assert call["prompts"] == [{"text": "a fox", "weight": 1.0}]
    assert call["denoising_step_list"] == [1000, 250]
    blended = _plan("longlive", prompts=[{"text": "a", "weight": 2}, {"text": "b"}]).call
    assert blended["prompts"] == [{"text": "a", "weight": 2.0}, {"text": "b", "weight": 1.0}]
    assert "prompts" not in _plan("gray", prompt="a fox").call


@pytest.mark.parametrize(
    ("values", "reloads"),
    [
        ({"prompt": "b"}, False),
        ({"noise_scale": 0.2}, False),
        ({"options": {"kv_cache_attention_bias": 0.3}}, False),
        ({"options": {"quantization": "fp8"}}, True),
        ({"quantization": "fp8"}, True),
        ({"denoising_steps": [500]}, True),
        ({"width": 320}, True),
        ({"mode": "text"}, True),
        ({"precision": "bfloat16"}, True),
        ({"pipeline": "gray"}, True),
    ],
)
def test_what_a_node_is_made_with_needs_a_reload_and_nothing_else(
    values: dict[str, object], reloads: bool
) -> None:
    assert _plan("longlive", **values).needs_reload(_plan("longlive", prompt="a")) is reloads


def test_options_reach_a_node_that_is_not_the_listed_one() -> None:
    plan = _plan("gray", pipeline="longlive", options={"noise_scale": 0.1, "anything": 1})
    assert plan.call["noise_scale"] == 0.1
    assert plan.call["anything"] == 1
    assert plan.load["quantization"] is None


def test_bad_values_are_refused_with_their_rule() -> None:
    with pytest.raises(ParamsError, match="noise_scale = 2"):
        _plan("longlive", noise_scale=2)
    with pytest.raises(CallerError, match=r"options\.noise_scale = 2: .*less than or equal to 1"):
        _plan("gray", pipeline="longlive", options={"noise_scale": 2})
    with pytest.raises(CallerError, match="200x320: longlive takes sizes that are multiples of 16"):
        _plan("longlive", width=200)
    with pytest.raises(ParamsError, match="pipeline = 'nothing'"):
        _plan("gray", pipeline="nothing")


def test_the_environment_chooses_whose_parameters_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen_params().model_fields["pipeline"].default == "passthrough"
    monkeypatch.setenv("SCOPE_PIPELINE", "longlive")
    assert "noise_scale" in chosen_params().model_fields


def test_without_scope_there_are_the_shared_parameters_and_the_reason_comes_with_loading(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("SCOPE_DIR")
    assert chosen_params() is ScopeParams
    with pytest.raises(HostError, match="cannot be imported: there is no module scope") as raised:
        make_plan(ScopeParams())
    assert "SCOPE_DIR" in raised.value.hint
