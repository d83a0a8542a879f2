import asyncio
import importlib.util
import itertools
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from ai_runner_base import VideoFrame
from ai_runner_base.pipeline import ParamsError, params_schema, parse_params
from ai_runner_style.painter import Palette, mixture
from ai_runner_style.params import STYLES, StyleParams
from ai_runner_style.pipeline import Clock, Style

SIZE = {"width": 320, "height": 240}


def load_push_frames():
    spec = importlib.util.spec_from_file_location("push_frames", Path(__file__).with_name("push_frames.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


scene = load_push_frames().moving_scene


def render(pictures, fps=30, **params):
    """All output pictures, as the frame thread of a runner would make them."""
    checked = StyleParams(**params)
    pipeline = Style()
    pipeline.setup(checked)
    frames = (VideoFrame(picture, pts, Fraction(1, fps)) for pts, picture in enumerate(pictures))
    results = [pipeline.transform(frame, checked) for frame in frames]
    return [result.array if isinstance(result, VideoFrame) else result for result in results]


def photo_like(width, height):
    """Soft shapes of several sizes."""
    rng = np.random.default_rng(5)
    shapes = [
        cv2.resize(rng.uniform(0, 255, (n, n, 3)), (width, height), interpolation=cv2.INTER_CUBIC)
        for n in (3, 8, 24)
    ]
    return np.clip(sum(shapes) / 3, 0, 255).astype(np.uint8)


def noisy(picture, rng):
    return np.clip(picture + rng.normal(0, 3, picture.shape), 0, 255).astype(np.uint8)


def restlessness(pictures):
    """Mean change of a value from one picture to the next."""
    return np.mean([np.abs(a.astype(int) - b).mean() for a, b in itertools.pairwise(pictures)])


@pytest.mark.parametrize("size", [(640, 480), (64, 64), (328, 200), (64, 1080), (1280, 720)])
def test_any_size(size):
    """Every size comes back as it was, as a fresh uint8 picture."""
    picture = scene(*size, 0)
    painting = render([picture], resolution=128)[0]
    assert painting.shape == picture.shape
    assert painting.dtype == np.uint8
    assert not np.shares_memory(painting, picture)


def test_every_style_paints_differently():
    picture = scene(160, 120, 1)
    paintings = [render([picture], style=style, resolution=160)[0].astype(int) for style in STYLES]
    assert len(paintings) == 26
    for one, other in itertools.combinations(paintings, 2):
        assert np.abs(one - other).mean() > 3


def test_strength_goes_from_picture_to_painting():
    picture = scene(160, 120, 1)
    none, half, full = (render([picture], strength=s)[0].astype(int) for s in (0, 0.5, 1))
    assert np.array_equal(none, picture)
    assert np.abs(half - (full + picture) / 2).max() <= 1


def test_kept_colours_are_the_pictures():
    """The hue of a flat yellow square survives a blue style."""
    picture = np.full((120, 160, 3), (230, 180, 30), np.uint8)
    kept = render([picture], style="indigo", keep_colours=1)[0].mean(axis=(0, 1))
    painted = render([picture], style="indigo")[0].mean(axis=(0, 1))
    assert kept[0] - kept[2] > 60
    assert painted[0] - painted[2] < 40


def test_detail_is_sharper_than_enlarging():
    """Edges of a picture that is larger than the painting become steeper with detail."""
    picture = scene(640, 480, 1)
    soft, crisp = (render([picture], style="dusk", resolution=160, detail=d)[0] for d in (0, 1))
    steepest = [np.abs(np.diff(p[180, :, 0].astype(int))).max() for p in (soft, crisp)]
    assert steepest[1] > 1.2 * steepest[0]


def test_resolution_bounds_the_work():
    """What the network is given has the asked-for longer side, and never more than the picture has."""
    sizes = []
    for resolution in (128, 1024):
        params = StyleParams(resolution=resolution, **SIZE)
        pipeline = Style()
        pipeline.setup(params)
        network = pipeline._painter._network
        pipeline._painter._network = lambda p, w, n=network: sizes.append(p.shape) or n(p, w)
        pipeline.transform(VideoFrame(scene(320, 240, 0), 0, Fraction(1, 30)), params)
    assert sizes == [(96, 128, 3), (240, 320, 3)]


def test_mixture_counts_the_style_and_the_sliders():
    weights = mixture(StyleParams(style="comic", mix_mosaic=0.5, mix_starry=0.5))
    assert weights.dtype == np.float32
    assert dict(zip(STYLES, weights, strict=True)) == {
        **dict.fromkeys(STYLES, 0),
        "comic": 0.5,
        "mosaic": 0.25,
        "starry": 0.25,
    }


def test_fade_takes_its_time_whatever_the_frame_rate():
    def after(frames, step_s):
        palette = Palette()
        palette(StyleParams(style="comic", fade=1), 0.0)
        return [palette(StyleParams(style="mosaic", fade=1), step_s) for _ in range(frames)]

    slow, fast = after(30, 1 / 30), after(60, 1 / 60)
    assert np.allclose(slow[-1], fast[-1], atol=1e-3)
    assert 0.05 < slow[0][STYLES.index("mosaic")] < 0.3
    assert slow[-1][STYLES.index("mosaic")] > 0.95
    assert after(90, 1 / 30)[-1][STYLES.index("mosaic")] == 1
    assert all(abs(weights.sum() - 1) < 1e-5 for weights in slow)


def test_no_fade_changes_at_once_and_none_at_the_start():
    palette = Palette()
    assert palette(StyleParams(style="comic"), 0.0)[STYLES.index("comic")] == 1
    assert palette(StyleParams(style="weave", fade=0), 0.0)[STYLES.index("weave")] == 1


def test_tour_goes_round():
    """Each style has its time; after the last one comes the first; without a tour the chosen one stays."""
    palette, params = Palette(), StyleParams(style="linocut", tour=1, fade=0)
    seen = [STYLES[int(palette(params, 0.5).argmax())] for _ in range(6)]
    assert seen == ["linocut", "mosaic", "mosaic", "sunlight", "sunlight", "comic"]
    assert STYLES[int(palette(StyleParams(style="linocut", fade=0), 0.5).argmax())] == "linocut"


def test_still_picture_settles():
    """A picture that stands still gives the same picture for ever."""
    paintings = render([scene(160, 120, 3)] * 60)
    assert np.array_equal(paintings[-1], paintings[-2])


def test_sensor_noise_does_not_flicker():
    """Calm strokes change with sensor noise less than half as much as restless ones."""
    rng = np.random.default_rng(1)
    pictures = [noisy(photo_like(320, 240), rng) for _ in range(24)]
    calm, restless = (restlessness(render(pictures, resolution=320, calm=c)[12:]) for c in (0.9, 0))
    assert calm < 0.4 * restless


def test_motion_far_away_leaves_strokes_alone():
    """Something crosses one half: the strokes of the other hold still."""
    pictures = [photo_like(320, 240) for _ in range(16)]
    for pts, picture in enumerate(pictures):
        picture[80:160, 6 * pts : 6 * pts + 60] = 250
    calm, restless = (render(pictures, resolution=320, calm=c)[8:] for c in (0.9, 0))
    still = [restlessness([painting[:, 220:] for painting in run]) for run in (calm, restless)]
    assert still[0] < 0.3 * still[1]


def test_calm_strokes_follow_what_moves():
    """A square that jumps is painted at its new place at once."""
    pictures = [photo_like(320, 240) for _ in range(12)]
    for picture in pictures[:-1]:
        picture[80:160, 40:120] = 250
    pictures[-1][80:160, 180:260] = 250
    calm, restless = (render(pictures, style="mist", calm=c)[-1].astype(int) for c in (0.9, 0))
    assert np.abs(calm - restless)[90:150, 190:250].mean() < 8


def test_another_size_starts_afresh():
    pipeline = Style()
    pipeline.setup(StyleParams(**SIZE))
    for pts, size in enumerate([(320, 240), (160, 120), (320, 240)]):
        frame = VideoFrame(scene(*size, pts), pts, Fraction(1, 30))
        assert pipeline.transform(frame, StyleParams(**SIZE)).shape == frame.array.shape


def test_time_that_jumps_is_harmless():
    clock = Clock()
    frames = [VideoFrame(scene(64, 64, 0), pts, Fraction(1, 30)) for pts in (100, 5, 5, 10_000, 10_001)]
    assert [round(clock(frame), 3) for frame in frames] == [0, 0.2, 0, 0.2, 0.033]


def test_extreme_parameters():
    """Every bound of every number gives a picture."""
    schema = params_schema(StyleParams)["properties"]
    own = {name: field for name, field in schema.items() if field["group"] in ("Style", "Mix")}
    for bound in ("minimum", "maximum"):
        values = {name: field[bound] for name, field in own.items() if bound in field}
        assert len(values) == 7 + len(STYLES)
        assert render([scene(160, 120, pts) for pts in range(2)], **values)[-1].shape == (120, 160, 3)


@pytest.mark.parametrize(
    "wrong", [{"style": "starr"}, {"strength": 2.5}, {"resolution": 64}, {"mix_sepia": 1}, {"mix_pop": -1}]
)
def test_wrong_parameters_are_refused(wrong):
    """The message names the parameter."""
    with pytest.raises(ParamsError, match=next(iter(wrong))):
        parse_params(StyleParams, wrong)


def test_schema_is_complete_for_a_page():
    """Every parameter has a description, a group and, for a number, a range; the painter's own are live."""
    for name, field in params_schema(StyleParams)["properties"].items():
        assert field["description"], name
        assert field["group"], name
        if field.get("type") in ("number", "integer"):
            assert "minimum" in field, name
            assert "maximum" in field, name
        assert field["x-live"] is (name not in ("width", "height")), name


def test_readme_lists_every_parameter_and_style():
    """The table in the README has each parameter with its default, and every style."""
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    for name, field in StyleParams.model_fields.items():
        if field.json_schema_extra["group"] == "Style":
            default = field.default if isinstance(field.default, str) else f"{field.default:g}"
            assert f"| `{name}` | {default} |" in readme, name
    assert all(f"`{style}`" in readme for style in STYLES)


def test_frames_go_through_the_asynchronous_interface():
    """What the recipe's test runs also passes here."""
    assert asyncio.run(load_push_frames().push_frames("fauve", 320, 240)) is None
