"""Every parameter: what it refuses, and that it changes what is painted."""

import itertools
import json
import shutil
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from ai_runner_base import VideoFrame
from ai_runner_base.errors import CallerError, HostError
from ai_runner_base.pipeline import ParamsError, params_schema, parse_params
from ai_runner_streamdiffusion.params import StreamDiffusionParams
from ai_runner_streamdiffusion.pipeline import _choose, _make_painter
from ai_runner_streamdiffusion.tiny import tiny_model

SIZE = {"width": 64, "height": 64}
LOADED_MODELS = {}
"""By choice: each is loaded once for all tests."""


@pytest.fixture(scope="module")
def lora(tmp_path_factory):
    """A LoRA for the tiny model that changes it visibly."""
    from diffusers import StableDiffusionPipeline
    from peft import LoraConfig, get_peft_model_state_dict

    from ai_runner_streamdiffusion.models import load

    unet = load(_choose(StreamDiffusionParams(**SIZE))).unet
    torch.manual_seed(1)
    unet.add_adapter(
        LoraConfig(r=2, target_modules=["to_q", "to_v", "proj_in"], init_lora_weights="gaussian")
    )
    for name, weight in unet.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1)
    folder = tmp_path_factory.mktemp("lora")
    StableDiffusionPipeline.save_lora_weights(folder, unet_lora_layers=get_peft_model_state_dict(unet))
    return str(next(folder.glob("*.safetensors")))


@pytest.fixture(scope="module")
def controlnets(tmp_path_factory):
    """Two ControlNets for the tiny model, whose last layers are not zero as they are in a fresh one."""
    from diffusers import ControlNetModel

    from ai_runner_streamdiffusion.models import load

    unet = load(_choose(StreamDiffusionParams(**SIZE))).unet
    folders = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        network = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(4, 8, 8, 8))
        for block in (*network.controlnet_down_blocks, network.controlnet_mid_block):
            torch.nn.init.normal_(block.weight, std=0.3)
        torch.nn.init.normal_(network.controlnet_cond_embedding.conv_out.weight)
        folders.append(str(tmp_path_factory.mktemp("controlnet")))
        network.save_pretrained(folders[-1])
    return folders


def scene():
    """A picture with edges of several strengths."""
    picture = np.full((64, 64, 3), 40, np.uint8)
    picture[10:40, 12:50] = (200, 90, 30)
    picture[30:60, 30:60] = (60, 110, 160)
    return picture


def paint(frames=5, **params):
    params = StreamDiffusionParams(**{**SIZE, **params})
    choice = _choose(params)
    painter = _make_painter(params, choice, None if choice.compiled else LOADED_MODELS.get(choice))
    LOADED_MODELS[choice] = painter.models
    picture, out = scene(), []
    for pts in range(frames):
        done = painter.paint(VideoFrame(np.roll(picture, pts // 3, 1), pts, Fraction(1, 30)))
        out.append((pts, None) if done is None else (done.pts, done.data.clone()))
    return out


def same(one, other):
    return all(
        a == b and (p is None) == (q is None) and (p is None or (p.shape == q.shape and torch.equal(p, q)))
        for (a, p), (b, q) in zip(one, other, strict=True)
    )


GUIDED = {"guidance_scale": 3.0, "cfg_type": "initialize"}
BLEND = {"prompt": [("a", 2.0), ("B 9", 1.0)]}
STILL = {"enable_similar_image_filter": True, "t_index_list": [20]}
EFFECTS = {
    "width": ({}, 72),
    "height": ({}, 72),
    "prompt": ({}, "ZEBRA 9"),
    "negative_prompt": (GUIDED, "rain"),
    "prompt_interpolation_method": (BLEND, "linear"),
    "normalize_prompt_weights": (BLEND | {"prompt_interpolation_method": "linear"}, False),
    "t_index_list": ({}, [12, 20, 33]),
    "num_inference_steps": ({}, 60),
    "guidance_scale": ({}, 3.0),
    "cfg_type": ({"guidance_scale": 3.0}, "full"),
    "delta": ({"guidance_scale": 3.0}, 0.1),
    "do_add_noise": ({}, False),
    "use_denoising_batch": ({}, False),
    "seed": ({}, 1),
    "seed_interpolation_method": ({"seed": [(1, 1), (2, 2)]}, "linear"),
    "enable_similar_image_filter": ({"t_index_list": [20]}, True),
    "similar_image_filter_threshold": (STILL, 1.0),
    "similar_image_filter_max_skip_frame": (STILL, 0),
    "use_tiny_vae": ({}, False),
    "dtype": ({}, "bfloat16"),
}
LOADED = {"model_id", "lora_dict", "controlnets", "acceleration"}
"""Have tests of their own below."""


def test_none_is_forgotten():
    assert set(EFFECTS) | LOADED == set(StreamDiffusionParams.model_fields) - {"show_reloading_frame"}


@pytest.mark.parametrize("name", EFFECTS)
def test_each_changes_what_is_painted(name):
    """In a setting where it counts."""
    setting, value = EFFECTS[name]
    assert not same(paint(**setting), paint(**setting, **{name: value}))


def test_a_lora_counts_by_its_weight(lora):
    plain, none, some, more = (
        paint(lora_dict=loras) for loras in (None, {lora: 0.0}, {lora: 0.5}, {lora: 1.0})
    )

    def distance(other):
        return max(
            float((p - q).abs().max()) for (_, p), (_, q) in zip(plain, other, strict=True) if p is not None
        )

    assert distance(none) < 1e-4
    assert 1e-4 < distance(some) < distance(more)


def test_a_lora_that_does_not_fit_says_so(tmp_path):
    from safetensors.torch import save_file

    file = tmp_path / "other.safetensors"
    save_file({"unet.nowhere.lora_A.weight": torch.zeros(2, 3)}, file)
    with pytest.raises(CallerError, match="does not fit"):
        paint(lora_dict={str(file): 1.0})


def test_controlnets_see_lines_and_count_by_their_scale(controlnets):
    def with_net(**settings):
        return paint(controlnets=[{"model_id": controlnets[0], **settings}])

    plain, none, off = paint(), with_net(conditioning_scale=0), with_net(enabled=False)
    assert same(plain, none)
    assert same(plain, off)
    kinds = [
        with_net(preprocessor=kind) for kind in ("canny", "soft_edge", "standard_lineart", "passthrough")
    ]
    kinds += [
        with_net(conditioning_scale=0.5),
        with_net(preprocessor_params={"low_threshold": 600, "high_threshold": 900}),
    ]
    for one, other in itertools.combinations([plain, *kinds], 2):
        assert not same(one, other)


def test_two_controlnets_add_up_and_scales_change_live(controlnets):
    """Their order does not count, nor does guidance with a row of its own disturb them."""
    both = [{"model_id": folder, "conditioning_scale": 0.7} for folder in controlnets]
    guided = {"guidance_scale": 2, "cfg_type": "initialize"}
    assert same(paint(controlnets=both, **guided), paint(controlnets=both[::-1], **guided))
    params = [
        StreamDiffusionParams(**SIZE, controlnets=[{**net, "conditioning_scale": scale} for net in both])
        for scale in (0.7, 0.2)
    ]
    assert _choose(params[0]) == _choose(params[1])
    painter = _make_painter(params[0], _choose(params[0]), None)
    painter.apply(params[1])
    assert painter._conditions.control_scales == (0.2, 0.2)


@pytest.mark.parametrize(
    ("change", "why"),
    [({"addition_embed_type": "text_time"}, "Stable Diffusion XL"), ({"in_channels": 9}, "inpainting")],
)
def test_models_of_another_kind_are_refused_before_they_are_loaded(tmp_path, change, why):
    folder = tmp_path / "other"
    shutil.copytree(tiny_model(), folder)
    config = folder / "unet" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | change))
    with pytest.raises(CallerError, match=why):
        _choose(StreamDiffusionParams(**SIZE, model_id=str(folder)))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch.compile meets torch's own
def test_without_a_compiler_compiling_says_what_is_missing():
    from torch._inductor import config

    with config.patch({"cpp.cxx": ("/nonexistent/c++",)}), pytest.raises(HostError) as caught:
        paint(acceleration="compile")
    assert "torch.compile does not work here" in caught.value.message
    assert "C++ compiler" in caught.value.hint


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"t_index_list": []}, "at least 1"),
        ({"t_index_list": [1, 2, 3, 4, 5]}, "at most 4"),
        ({"t_index_list": [20, 12]}, "must not decrease"),
        ({"t_index_list": [20, 50]}, "the last step of 50 is 49"),
        ({"num_inference_steps": 20}, "the last step of 20 is 19"),
        ({"prompt": []}, "1 to 8 parts"),
        ({"prompt": [["a", 0]]}, "above 0"),
        ({"seed": [[1, -1]]}, "greater than or equal to 0"),
        ({"seed": -1}, "seed"),
        ({"width": 100}, "multiple of 8"),
        ({"width": 2056}, "2048"),
        ({"guidance_scale": 0.5}, "greater than or equal to 1"),
        ({"acceleration": "tensorrt"}, "'none' or 'compile'"),
        ({"controlnets": [{"model_id": "a"}, {"model_id": "a"}]}, "a is there twice"),
        ({"controlnets": [{"model_id": "a", "preprocessor": "depth"}]}, "canny"),
        (
            {
                "controlnets": [
                    {
                        "model_id": "a",
                        "preprocessor": "soft_edge",
                        "preprocessor_params": {"low_threshold": 1},
                    }
                ]
            },
            "soft_edge has none",
        ),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_cannot_be_is_refused_with_the_rule(wrong, why):
    with pytest.raises(ParamsError, match=why):
        parse_params(StreamDiffusionParams, wrong)


def test_schema_is_complete_for_a_page():
    for name, field in params_schema(StreamDiffusionParams)["properties"].items():
        assert field["description"], name
        assert field["group"], name
        for branch in field.get("anyOf", [field]):
            if branch.get("type") in ("number", "integer"):
                assert {"minimum", "maximum"} <= set(branch), name


def test_readme_lists_every_parameter():
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    for name in set(StreamDiffusionParams.model_fields) - {"show_reloading_frame"}:
        assert f"`{name}`" in readme, name
