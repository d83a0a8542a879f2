import asyncio
import importlib.util
import itertools
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from ai_runner_base import VideoFrame
from ai_runner_base.pipeline import ParamsError, params_schema, parse_params
from ai_runner_effects.flow import Flow
from ai_runner_effects.params import EffectsParams
from ai_runner_effects.pipeline import Effects

EFFECTS = ("neon", "cartoon", "flow")
NOISE_LEVELS = 3.0


def load_push_frames():
    spec = importlib.util.spec_from_file_location("push_frames", Path(__file__).with_name("push_frames.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


scene = load_push_frames().moving_scene


def render(pictures, fps=30, **params):
    """All output pictures, as the frame thread of a runner would make them."""
    checked = EffectsParams(**params)
    pipeline = Effects()
    pipeline.setup(checked)
    frames = (VideoFrame(picture, pts, Fraction(1, fps)) for pts, picture in enumerate(pictures))
    return [pipeline.transform(frame, checked) for frame in frames]


def restlessness(pictures):
    """Mean change of a value from one picture to the next."""
    return np.mean([np.abs(a.astype(int) - b).mean() for a, b in itertools.pairwise(pictures)])


def noisy(picture, rng):
    return np.clip(picture + rng.normal(0, NOISE_LEVELS, picture.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("effect", EFFECTS)
@pytest.mark.parametrize(
    "size", [(640, 480), (64, 64), (333, 251), (65, 67), (1920, 64), (64, 1080), (1280, 720)]
)
def test_any_size(effect, size):
    """Every size comes back as it was, as a fresh uint8 picture."""
    pictures = [scene(*size, pts) for pts in range(3)]
    for before, after in zip(pictures, render(pictures, effect=effect), strict=True):
        assert after.shape == before.shape
        assert after.dtype == np.uint8
        assert not np.shares_memory(after, before)


@pytest.mark.parametrize("effect", EFFECTS)
@pytest.mark.parametrize("value", [0, 127, 255])
def test_flat_picture_stays_calm(effect, value):
    """A picture with nothing in it has no lines, no ink, no trails, and no NaN that shows as a speck."""
    last = render([np.full((120, 160, 3), value, np.uint8)] * 4, effect=effect)[-1]
    assert np.ptp(last.reshape(-1, 3).astype(int), axis=0).max() <= 2


@pytest.mark.parametrize("effect", EFFECTS)
def test_still_picture_settles(effect):
    """A picture that stands still gives the same picture for ever."""
    outputs = render([scene(320, 240, 3)] * 12, effect=effect, neon_drift=0)
    assert np.array_equal(outputs[-1], outputs[-2])


@pytest.mark.parametrize("effect", EFFECTS)
def test_sensor_noise_does_not_flicker(effect):
    """Sensor noise changes the output, less than half as much as it changes the input."""
    rng = np.random.default_rng(1)
    inputs = [noisy(scene(320, 240, 3), rng) for _ in range(16)]
    outputs = render(inputs, effect=effect, neon_drift=0)
    flicker, shimmer = restlessness(outputs[8:]), restlessness(inputs[8:])
    assert flicker < 0.5 * shimmer


def test_neon_draws_edges_and_darkens_the_rest():
    """The rim of the square shines, its inside and the far background do not."""
    picture = np.zeros((240, 320, 3), np.uint8)
    picture[80:160, 100:220] = 200
    out = render([picture] * 3, effect="neon")[-1].max(axis=2)
    assert out[80, 110:210].mean() > 200
    assert out[120, 160] < 130
    assert out[10, 10] < 40


def test_neon_hue_and_drift():
    """Hue turns the colours, and drift turns them with time, whatever the frame rate."""
    picture = scene(320, 240, 0)
    still = render([picture] * 31, effect="neon", neon_drift=0)
    assert not np.array_equal(render([picture], effect="neon", neon_hue=30)[-1], still[0])
    slow = render([picture] * 31, fps=30, effect="neon", neon_drift=90)[-1].astype(int)
    fast = render([picture] * 61, fps=60, effect="neon", neon_drift=90)[-1].astype(int)
    assert np.abs(slow - still[-1]).mean() > 3
    assert np.abs(slow - fast).mean() < 1


def test_cartoon_has_few_steps_of_brightness_and_ink():
    """A smooth ramp becomes flat steps; a dark line between two areas gets darker."""
    ramp = np.repeat(np.linspace(0, 255, 512).astype(np.uint8)[None, :, None], 64, axis=0).repeat(3, axis=2)
    out = render([ramp] * 2, effect="cartoon", cartoon_levels=4, cartoon_ink=0)[-1][32, :, 1].astype(int)
    flat = np.abs(np.diff(out)) == 0
    assert flat.mean() > 0.6
    edge = np.full((64, 96, 3), 180, np.uint8)
    edge[:, 48:] = 60
    inked = render([edge] * 2, effect="cartoon", cartoon_ink=1)[-1]
    plain = render([edge] * 2, effect="cartoon", cartoon_ink=0)[-1]
    assert int(inked[32, 49:52].min()) < int(plain[32, 49:52].min()) - 20


def test_flow_paints_direction_and_forgets():
    """Motion right and motion left have different colours; after a rest the light is gone."""
    rng = np.random.default_rng(2)
    texture = np.kron(rng.integers(40, 216, (60, 120), np.uint8), np.ones((8, 8), np.uint8))[
        :, :, None
    ].repeat(3, axis=2)
    there = [np.ascontiguousarray(texture[:480, 6 * i : 6 * i + 640]) for i in range(10)]
    right, left = render(there, effect="flow"), render(there[::-1], effect="flow")
    assert np.abs(right[-1].mean(axis=(0, 1)) - left[-1].mean(axis=(0, 1))).max() > 15
    rest = render(there + [there[-1]] * 40, effect="flow", flow_trail=0.1)
    assert rest[-1].mean() < rest[9].mean() * 0.8
    assert np.array_equal(rest[-1], rest[-2])


def test_fading_for_ever_stays_fast():
    """A quarter of a minute of darkness leaves no denormal number, which would slow every later frame."""
    dim, dark = np.full((64, 64, 3), 3, np.uint8), np.zeros((64, 64, 3), np.uint8)
    effect, params = Flow(), EffectsParams(effect="flow", flow_trail=0.05)
    for picture in [scene(64, 64, pts) for pts in range(4)] + [dim] * 3 + [dark] * 450:
        effect(picture, params, 1 / 30)
    for plane in (effect._memory.trail, effect._memory.flow, effect._steady._before):
        assert np.abs(plane[plane != 0]).min(initial=1) > np.finfo(np.float32).tiny


def test_another_effect_and_size_start_afresh():
    """Changing effect or size in mid-stream leaves no trace of what was before."""
    pipeline = Effects()
    pipeline.setup(EffectsParams())
    for pts, (effect, size) in enumerate([("flow", (320, 240)), ("neon", (160, 120)), ("flow", (160, 120))]):
        frame = VideoFrame(scene(*size, pts), pts, Fraction(1, 30))
        assert pipeline.transform(frame, EffectsParams(effect=effect)).shape == frame.array.shape


def test_time_that_jumps_is_harmless():
    """A jump back, a gap and a standstill of the clock do not disturb the picture."""
    pipeline = Effects()
    params = EffectsParams(effect="flow")
    pipeline.setup(params)
    for pts in (100, 5, 5, 10_000, 10_001):
        assert pipeline.transform(VideoFrame(scene(160, 120, 1), pts, Fraction(1, 30)), params).max() > 0


def test_extreme_parameters():
    """Every bound of every number gives a picture."""
    schema = params_schema(EffectsParams)["properties"]
    bounds = {"minimum": {}, "maximum": {}}
    for name, field in schema.items():
        if name.partition("_")[0] in EFFECTS:
            for bound, values in bounds.items():
                values[name] = field[bound]
    assert len(bounds["minimum"]) == 15
    for values in bounds.values():
        for effect in EFFECTS:
            out = render([scene(160, 120, pts) for pts in range(3)], effect=effect, **values)
            assert out[-1].shape == (120, 160, 3)


@pytest.mark.parametrize(
    "wrong", [{"effect": "sepia"}, {"neon_glow": 2.5}, {"cartoon_levels": 1}, {"neon_hew": 3}]
)
def test_wrong_parameters_are_refused(wrong):
    """The message names the parameter."""
    with pytest.raises(ParamsError, match=next(iter(wrong))):
        parse_params(EffectsParams, wrong)


def test_schema_is_complete_for_a_page():
    """Every parameter has a description, a group and, for a number, a range; the effects' own are live."""
    for name, field in params_schema(EffectsParams)["properties"].items():
        assert field["description"], name
        assert field["group"], name
        if field.get("type") in ("number", "integer"):
            assert "minimum" in field, name
            assert "maximum" in field, name
        assert field["x-live"] is (name not in ("width", "height")), name


def test_readme_lists_every_parameter():
    """The table in the README has each parameter with its default."""
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    for name, field in EffectsParams.model_fields.items():
        if "_" in name and name != "show_reloading_frame":
            assert f"| `{name}` | {field.default:g} |" in readme, name


@pytest.mark.parametrize("effect", EFFECTS)
def test_frames_go_through_the_asynchronous_interface(effect):
    """What the recipe's test runs also passes here."""
    assert asyncio.run(load_push_frames().push_frames(effect, 320, 240)) is None
