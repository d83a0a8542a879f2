import itertools
from fractions import Fraction

import numpy as np
import psutil
import pytest
import torch

from ai_runner_base import VideoFrame
from ai_runner_streamdiffusion import blend
from ai_runner_streamdiffusion.params import StreamDiffusionParams
from ai_runner_streamdiffusion.pipeline import _choose, _make_painter

SIZE = {"width": 64, "height": 64}
STEPS = [5, 20, 32]


@pytest.fixture(scope="module")
def models():
    params = StreamDiffusionParams(**SIZE)
    return _make_painter(params, _choose(params), None).models


@pytest.fixture
def paint(models):
    """Paint pictures with parameters; a list of (pts, painting) as they came out, the rest drained."""

    def run(pictures, drain=True, **params):
        params = StreamDiffusionParams(**{**SIZE, **params})
        painter = _make_painter(params, _choose(params), models)
        frames = (VideoFrame(picture, pts, Fraction(1, 30)) for pts, picture in enumerate(pictures))
        out = [done for frame in frames if (done := painter.paint(frame)) is not None]
        out += painter.drain() if drain else []
        return [(frame.pts, frame.data.clone()) for frame in out]

    return run


def scenes(count, seed=1):
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (64, 64, 3), dtype=np.uint8) for _ in range(count)]


def paintings(out):
    return torch.stack([picture for _, picture in out])


def distance(one, other):
    return float((paintings(one) - paintings(other)).abs().mean())


GUIDED = [
    {},
    {"guidance_scale": 2.5, "cfg_type": "self"},
    {"guidance_scale": 2.5, "cfg_type": "initialize"},
    {"guidance_scale": 2.5, "cfg_type": "full"},
    {"do_add_noise": False},
]


@pytest.mark.parametrize("steps", [[10], STEPS, [5, 5, 20, 32]], ids=len)
@pytest.mark.parametrize("guided", GUIDED, ids=lambda params: "-".join(map(str, params.values())) or "plain")
def test_batched_equals_step_by_step(paint, steps, guided):
    """One pass with n rows gives what n passes with one row each give."""
    pictures = scenes(5)
    batched = paint(pictures, t_index_list=steps, **guided)
    one_by_one = paint(pictures, t_index_list=steps, use_denoising_batch=False, **guided)
    assert [pts for pts, _ in batched] == [pts for pts, _ in one_by_one] == list(range(5))
    assert float((paintings(batched) - paintings(one_by_one)).abs().max()) < 2e-5


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_an_odd_frame_changes_its_own_painting_and_no_other(paint, count):
    """It comes out n-1 frames later, under its own time."""
    steps = [12, 20, 32, 40][:count]
    plain = scenes(1) * 10
    odd = [*plain[:4], scenes(1, seed=9)[0], *plain[5:]]
    out, with_odd = paint(plain, t_index_list=steps), paint(odd, t_index_list=steps)
    changed = [
        pts for (pts, one), (_, other) in zip(out, with_odd, strict=True) if not torch.equal(one, other)
    ]
    assert changed == [4]


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_a_painting_comes_n_minus_1_frames_later_under_its_own_time(paint, count):
    out = paint(scenes(8), drain=False, t_index_list=[12, 20, 32, 40][:count])
    assert [pts for pts, _ in out] == list(range(8 - count + 1))


def test_one_seed_is_one_painting(paint):
    pictures = scenes(4)
    once, again, other = (paint(pictures, seed=seed) for seed in (7, 7, 8))
    assert torch.equal(paintings(once), paintings(again))
    assert distance(once, other) > 0.001


def test_noise_of_a_blend_is_normal_whatever_the_weights():
    """Variance 1 is what the schedule counts on."""
    for method, seeds in itertools.product(
        ("linear", "slerp"), ([(1, 1.0)], [(1, 0.5), (2, 0.5)], [(1, 3.0), (2, 1.0), (3, 0.2)])
    ):
        noise = blend.noise(seeds, (4, 4, 64, 64), method)
        assert abs(float(noise.mean())) < 0.02
        assert abs(float(noise.std()) - 1) < 0.02, (method, seeds)


@pytest.mark.parametrize("method", ["linear", "slerp"])
@pytest.mark.parametrize("name", ["prompt", "seed"])
def test_a_blend_moves_evenly_from_one_to_the_other(paint, name, method):
    one, other = ("a cat", "ZEBRA 9") if name == "prompt" else (1, 2)
    way = {f"{name}_interpolation_method": method}
    pictures = scenes(2)
    ends = paint(pictures, **{name: one}), paint(pictures, **{name: other})
    shares = (0, 0.3, 0.7, 1)
    blends = [paint(pictures, **{name: [(one, 1 - share), (other, share)]}, **way) for share in shares]
    from_one = [distance(ends[0], blended) for blended in blends]
    to_other = [distance(blended, ends[1]) for blended in blends]
    assert from_one[0] < 1e-5
    assert to_other[-1] < 1e-5
    assert from_one == sorted(from_one)
    assert to_other == sorted(to_other, reverse=True)
    assert from_one[-1] > 1e-4


def test_weights_that_are_not_shares_count_as_they_are(paint):
    pictures, plain = scenes(2), {"prompt_interpolation_method": "linear"}
    doubled = [("a cat", 2.0)]
    normal, raw = (
        paint(pictures, prompt=doubled, normalize_prompt_weights=on, **plain) for on in (True, False)
    )
    assert distance(normal, paint(pictures, prompt="a cat")) < 1e-6
    assert distance(normal, raw) > 1e-6


def test_guidance_of_1_is_none_and_more_is_more(paint):
    pictures = scenes(3)
    plain = paint(pictures, cfg_type="none", guidance_scale=9)
    for kind in ("self", "initialize", "full"):
        one, two, four = (paint(pictures, cfg_type=kind, guidance_scale=scale) for scale in (1, 1.5, 3))
        assert torch.equal(paintings(one), paintings(plain))
        assert 0 < distance(plain, two) < distance(plain, four)


def test_the_negative_prompt_counts_where_it_is_asked(paint):
    def differs(kind):
        one, other = (
            paint(scenes(3), cfg_type=kind, guidance_scale=3, negative_prompt=text)
            for text in ("rain", "SUN 77")
        )
        return distance(one, other) > 0

    assert {kind: differs(kind) for kind in ("self", "initialize", "full")} == {
        "self": False,
        "initialize": True,
        "full": True,
    }


def test_delta_is_the_weight_of_what_is_worked_out(paint):
    """With delta 0, residual guidance multiplies the prediction; it has no part in full guidance."""

    def differs(kind):
        small, large = (paint(scenes(3), cfg_type=kind, guidance_scale=2, delta=delta) for delta in (0.2, 1))
        return distance(small, large) > 0

    assert [differs(kind) for kind in ("self", "initialize", "full")] == [True, True, False]


def test_self_guidance_leads_away_from_the_picture_itself(models):
    """At the first step its negative prediction is the very noise that was added (paper, equation 5)."""
    params = StreamDiffusionParams(**SIZE, t_index_list=[20], guidance_scale=3, delta=1)
    painter = _make_painter(params, _choose(params), models)
    conditions, denoiser = painter._conditions, painter._denoiser
    row = painter._see(VideoFrame(scenes(1)[0], 0, Fraction(1, 30)))
    signal, noise = conditions.schedule.signal, conditions.schedule.noise
    noisy = signal * row.estimates + noise * conditions.noise
    asked = denoiser._ask(row, noisy, slice(0, 1), 0, conditions)
    guided, _ = denoiser._guided(row, noisy, slice(0, 1), conditions)
    wanted = conditions.noise + 3 * (asked - conditions.noise)
    assert float((guided - wanted).detach().abs().max()) < 1e-4


LIVE = [{"t_index_list": steps} for steps in ([30], [12, 30], [5, 12, 20, 32])] + [
    {"num_inference_steps": 100},
    {"prompt": "another"},
    {"seed": 5},
    {"guidance_scale": 3},
    {"use_denoising_batch": False},
]


@pytest.mark.parametrize("change", LIVE, ids=str)
def test_live_changes_keep_time_and_end_where_a_fresh_start_does(models, paint, change):
    """Times stay in order, and once old frames are out it is as if it had always been so."""
    params = StreamDiffusionParams(**SIZE, t_index_list=STEPS)
    changed = StreamDiffusionParams(**{**SIZE, "t_index_list": STEPS, **change})
    painter = _make_painter(params, _choose(params), models)
    pictures, out = scenes(20), []
    for pts, picture in enumerate(pictures):
        if pts == 8:
            painter.apply(changed)
        if (done := painter.paint(VideoFrame(picture, pts, Fraction(1, 30)))) is not None:
            out.append((done.pts, done.data.clone()))
    times = [pts for pts, _ in out]
    assert times == sorted(set(times))
    assert set(range(8, 20 - len(changed.t_index_list) + 1)) <= set(times)
    fresh = dict(paint(pictures, **{"t_index_list": STEPS, **change}))
    late = [pts for pts in times if pts >= 8]
    assert all(float((dict(out)[pts] - fresh[pts]).abs().max()) < 2e-5 for pts in late)


def test_still_scenes_are_painted_once_and_keep_their_time(models):
    """Equal pictures are left out, ten at most; a change is painted; every frame has its painting, in order."""
    params = StreamDiffusionParams(**SIZE, enable_similar_image_filter=True)
    painter = _make_painter(params, _choose(params), models)
    seen, see = [], painter._see
    painter._see = lambda frame: seen.append(frame.pts) or see(frame)
    still, other = scenes(2)
    frames = [
        VideoFrame(picture, pts, Fraction(1, 30)) for pts, picture in enumerate([still] * 20 + [other] * 8)
    ]
    out = [done.pts for frame in frames if (done := painter.paint(frame)) is not None]
    assert seen == [0, 1, 2, 3, 14, *range(20, 24)]
    assert out == list(range(26))


@pytest.mark.parametrize(("threshold", "most", "painted"), [(0.98, 0, 12), (0.98, 300, 4), (1.0, 300, 12)])
def test_the_filter_has_a_threshold_and_a_limit(models, threshold, most, painted):
    params = StreamDiffusionParams(
        **SIZE,
        enable_similar_image_filter=True,
        similar_image_filter_threshold=threshold,
        similar_image_filter_max_skip_frame=most,
    )
    painter = _make_painter(params, _choose(params), models)
    seen, see = [], painter._see
    painter._see = lambda frame: seen.append(frame.pts) or see(frame)
    picture = scenes(1)[0] // 2 + 60
    for pts in range(12):
        painter.paint(VideoFrame(picture + np.uint8(pts % 2), pts, Fraction(1, 30)))
    assert len(seen) == painted


def test_memory_is_flat_over_a_thousand_frames(models):
    params = StreamDiffusionParams(**SIZE, t_index_list=[12, 32])
    painter = _make_painter(params, _choose(params), models)
    pictures, process = scenes(8), psutil.Process()
    for pts in range(1100):
        if pts == 100:
            before = process.memory_info().rss
        painter.paint(VideoFrame(pictures[pts % 8], pts, Fraction(1, 30)))
    assert process.memory_info().rss - before < 8_000_000


def test_frames_of_another_size_are_fitted(models):
    """Around a change of size some are still on their way."""
    params = StreamDiffusionParams(**SIZE, t_index_list=[20])
    painter = _make_painter(params, _choose(params), models)
    for width, height in ((8, 8), (33, 17), (200, 40)):
        picture = np.zeros((height, width, 3), np.uint8)
        assert painter.paint(VideoFrame(picture, 0, Fraction(1, 30))).data.shape == (64, 64, 3)
