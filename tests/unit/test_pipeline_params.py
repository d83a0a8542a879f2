"""Parameters: strict where a mistake would be silent, and a schema that a page can draw."""

from __future__ import annotations

import pytest
from pydantic import Field

from ai_runner_base import BaseParams
from ai_runner_base.errors import CallerError
from ai_runner_base.pipeline import ParamsError, hints, params_schema, parse_params

pytestmark = pytest.mark.unit


class Params(BaseParams):
    strength: float = Field(
        0.5, ge=0, le=1, description="How much", json_schema_extra=hints(unit="x", step=0.1)
    )
    model_id: str = Field(
        "small", description="Which model", json_schema_extra=hints(group="Model", live=False)
    )
    plain: int = 3


def test_defaults_are_those_of_upstream():
    """512x512, and a waiting picture while reloading."""
    params = BaseParams()
    assert (params.width, params.height, params.show_reloading_frame) == (512, 512, True)
    assert params.get_output_resolution() == (512, 512)


@pytest.mark.parametrize("size", range(384, 1025, 64))
def test_every_size_of_upstream_is_accepted(size):
    """384 to 1024, multiples of 64: our rule is a superset."""
    assert parse_params(BaseParams, {"width": size, "height": 1408 - size}).width == size


@pytest.mark.parametrize(
    "size", [(640, 480), (1280, 720), (1920, 1080), (3840, 2160), (2160, 3840), (64, 64)]
)
def test_common_sizes_are_accepted(size):
    """What cameras and screens have."""
    assert (
        parse_params(BaseParams, dict(zip(("width", "height"), size, strict=True))).get_output_resolution()
        == size
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"width": 500}, "width = 500: .*multiple of 8"),
        ({"width": 56}, "width = 56: .*greater than or equal to 64"),
        ({"height": 3848}, "height = 3848: .*less than or equal to 3840"),
        ({"width": 3840, "height": 3840}, "3840x3840 is more than 3840x2160 pixels"),
        ({"strength": 2}, "strength = 2: .*less than or equal to 1"),
        ({"strength": float("nan")}, "strength = nan: .*finite"),
        ({"strength": "much"}, "strength = 'much': .*valid number"),
        ({"model_id": "x" * 100, "plain": []}, r"plain = \[\]"),
        ({"strenght": 1}, r"strenght = 1: .*\(did you mean strength\?\)"),
        ({"zzz": 1}, r"\(there is width, height, show_reloading_frame, strength, model_id, plain\)"),
    ],
)
def test_broken_rules_are_named(values, message):
    """The message has the name, the value and the rule; a wrong name gets the nearest right one."""
    with pytest.raises(ParamsError, match=message):
        parse_params(Params, values)


def test_all_broken_rules_are_reported_at_once():
    """Details are what HTTP 422 wants: loc, msg, type; the error is the caller's."""
    with pytest.raises(CallerError) as caught:
        parse_params(Params, {"strength": 2, "width": 1})
    assert [detail["loc"] for detail in caught.value.details] == [("width",), ("strength",)]
    assert all(set(detail) == {"loc", "msg", "type"} for detail in caught.value.details)
    assert caught.value.http_status == 400


def test_parameters_are_immutable():
    """A pipeline cannot change them behind the runner's back."""
    with pytest.raises(ValueError, match="frozen"):
        Params().strength = 1.0


def test_reload_names():
    """Those marked ``live=False``, inherited ones included."""
    assert Params.reload_names() == {"width", "height", "model_id"}


def test_schema_has_what_a_page_needs():
    """Description, range, unit, group, step; every property says whether it is live."""
    properties = params_schema(Params)["properties"]
    assert properties["strength"] == {
        "title": "Strength",
        "type": "number",
        "default": 0.5,
        "description": "How much",
        "minimum": 0,
        "maximum": 1,
        "unit": "x",
        "step": 0.1,
        "x-live": True,
    }
    assert properties["model_id"]["group"] == "Model"
    assert {name for name, prop in properties.items() if not prop["x-live"]} == Params.reload_names()
    assert properties["plain"]["x-live"] is True
    assert properties["width"]["unit"] == "px"
