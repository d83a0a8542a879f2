import asyncio
import base64
import importlib.util
import itertools
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from ai_runner_background.backdrop import from_data_url, gradient, picture
from ai_runner_background.blend import blend, blurred
from ai_runner_background.mask import PersonMask
from ai_runner_background.params import BackgroundParams
from ai_runner_background.pipeline import Background
from ai_runner_base import VideoFrame
from ai_runner_base.pipeline import ParamsError, params_schema, parse_params

EFFECTS = ("paint", "blur", "colour", "gradient", "picture")
OWN_GROUPS = ("Scene", "Edge")
FACE, CHEST, WALL = (60, 132), (170, 110), (40, 40 + 160)
"""Places (row, column) in the photo: two on the person, one on the wall."""


def load_push_frames():
    spec = importlib.util.spec_from_file_location("push_frames", Path(__file__).with_name("push_frames.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


scene = load_push_frames().moving_scene


def load_photo():
    """320x240 RGB."""
    return cv2.imread(str(Path(__file__).with_name("data") / "person.jpg"))[..., ::-1].copy()


photo = pytest.fixture(load_photo)


def render(pictures, **params):
    """All output pictures, as the frame thread of a runner would make them."""
    checked = BackgroundParams(**params)
    pipeline = Background()
    pipeline.setup(checked)
    frames = (VideoFrame(picture, pts, Fraction(1, 30)) for pts, picture in enumerate(pictures))
    results = [pipeline.transform(frame, checked) for frame in frames]
    pipeline.teardown()
    return [result.array if isinstance(result, VideoFrame) else result for result in results]


def noisy(picture, rng):
    return np.clip(picture + rng.normal(0, 4, picture.shape), 0, 255).astype(np.uint8)


def mask_of(picture, softness=0.3, shift=0.0):
    return PersonMask()(picture, softness, shift, 0.0)


def data_url(picture, kind="png"):
    encoded = cv2.imencode(f".{kind}", picture[..., ::-1])[1]
    name = "jpeg" if kind == "jpg" else kind
    return f"data:image/{name};base64," + base64.b64encode(encoded).decode()


# --- the mask


def test_person_is_found(photo):
    mask = mask_of(photo)
    assert mask.shape == (240, 320)
    assert mask.dtype == np.float32
    assert mask.min() >= 0
    assert mask.max() <= 1
    assert mask[FACE] > 0.99
    assert mask[CHEST] > 0.99
    assert mask[WALL] < 0.01
    assert 0.25 < mask.mean() < 0.6


@pytest.mark.parametrize("size", [(240, 320), (240, 240), (120, 200)])
def test_other_shapes_find_the_person_too(photo, size):
    """Square and tall pictures use the other model."""
    height, width = size
    cut = photo[:height, 132 - min(132, width // 2) :][:, :width]
    tall = cv2.copyMakeBorder(cut, 0, max(0, height - cut.shape[0]), 0, 0, cv2.BORDER_REPLICATE)
    mask = mask_of(tall)
    assert mask.shape == tall.shape[:2]
    assert mask[60, min(132, width // 2)] > 0.95


def test_no_person_no_mask():
    assert mask_of(scene(320, 240, 1)).mean() < 0.05


def test_edge_is_where_the_picture_has_one(photo):
    """Between hair and wall the mask falls from one to zero within a few pixels, at full size."""
    large = cv2.resize(photo, (640, 480), interpolation=cv2.INTER_CUBIC)
    row = mask_of(large, softness=0.1)[2 * FACE[0], 2 * FACE[1] :]
    first_room = int(np.argmax(row < 0.1))
    last_person = int(np.argmax(row < 0.9))
    assert 0 < first_room - last_person < 14


def test_softness_and_shift(photo):
    """A softer edge has more pixels in between; outwards takes in more of the picture."""
    between = [np.mean((m > 0.05) & (m < 0.95)) for m in (mask_of(photo, softness=s) for s in (0, 1))]
    assert between[0] < between[1]
    areas = [mask_of(photo, shift=s).mean() for s in (-1, 0, 1)]
    assert areas[0] < areas[1] < areas[2]


def test_edge_does_not_flicker(photo):
    """With noise of a sensor the steadied mask changes less than half as much."""
    rng = np.random.default_rng(1)
    pictures = [noisy(photo, rng) for _ in range(16)]

    def restlessness(steadiness):
        finder = PersonMask()
        masks = [finder(picture, 0.3, 0.0, steadiness) for picture in pictures][6:]
        return np.mean([np.abs(a - b).mean() for a, b in itertools.pairwise(masks)])

    assert restlessness(0.8) < 0.5 * restlessness(0.0)


def test_mask_follows_who_moves(photo):
    """Somebody who steps aside is found there with the very next frame, and no longer where they were."""
    moved = np.roll(photo, 90, axis=1)
    finder = PersonMask()
    for _ in range(5):
        finder(photo, 0.3, 0.0, 0.8)
    assert np.abs(finder(moved, 0.3, 0.0, 0.8) - mask_of(moved)).mean() < 0.02


def test_mask_settles(photo):
    finder = PersonMask()
    masks = [finder(photo, 0.3, 0.0, 0.8) for _ in range(60)]
    assert np.array_equal(masks[-1], masks[-2])


# --- what is done with it


def test_room_is_painted_and_the_person_kept(photo):
    out = render([photo], effect="paint", where="room")[0].astype(int)
    assert np.abs(out[FACE] - photo[FACE]).max() <= 2
    assert np.abs(out[CHEST] - photo[CHEST]).max() <= 2
    assert np.abs(out[WALL] - photo[WALL]).max() > 20


def test_person_is_painted_and_the_room_kept(photo):
    out = render([photo], effect="paint", where="person")[0].astype(int)
    assert np.abs(out[FACE] - photo[FACE]).max() > 20
    assert np.abs(out[WALL] - photo[WALL]).max() <= 2


def test_both_is_the_whole_painting(photo):
    """Room and person of the two halves are those of the whole."""
    room, person, both = (render([photo], where=w)[0].astype(int) for w in ("room", "person", "both"))
    assert np.abs(both[WALL] - room[WALL]).max() <= 2
    assert np.abs(both[FACE] - person[FACE]).max() <= 2


def test_colour_stands_in_the_rooms_place(photo):
    out = render([photo], effect="colour", colour="#00b140")[0]
    assert tuple(out[WALL]) == (0, 0xB1, 0x40)
    assert np.abs(out[FACE].astype(int) - photo[FACE]).max() <= 2


def test_no_rim_of_the_old_room_around_the_person(photo):
    """In front of black, nothing near the edge is as bright as the white wall was beside dark hair."""
    out = render([photo], effect="colour", colour="#000000", edge_softness=0.5)[0]
    mask = mask_of(photo, softness=0.5)
    plain = (photo * mask[..., None]).astype(np.uint8)
    rim = (mask > 0.05) & (mask < 0.6)
    rim[100:] = False  # around the head
    assert out[rim].mean() < 0.85 * plain[rim].mean()


def test_blur_takes_detail_from_the_room_only(photo):
    out = render([photo], effect="blur", blur=1)[0]

    def detail(picture, part):
        return cv2.Laplacian(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.CV_32F)[part].std()

    flag, face = (slice(0, 80), slice(0, 40)), (slice(35, 90), slice(115, 150))
    assert detail(out, flag) < 0.2 * detail(photo, flag)
    assert detail(out, face) > 0.95 * detail(photo, face)


def test_blurred_room_has_no_shine_of_the_person():
    """A red person before a grey room: the blurred room beside the edge stays grey."""
    view = np.full((120, 160, 3), 128, np.uint8)
    view[:, 80:] = (255, 0, 0)
    room = np.zeros((120, 160), np.float32)
    room[:, :80] = 1
    assert np.abs(blurred(view, room, 1.0)[60, 70].astype(int) - 128).max() <= 3
    assert np.abs(blurred(view, None, 1.0)[60, 76].astype(int) - 128).max() > 20


def test_blend_of_nothing_and_of_all():
    one, other = np.full((48, 64, 3), 10, np.uint8), np.full((48, 64, 3), 200, np.uint8)
    assert np.array_equal(blend(one, other, np.zeros((48, 64), np.float32)), other)
    assert np.array_equal(blend(one, other, np.ones((48, 64), np.float32)), one)


@pytest.mark.parametrize("effect", EFFECTS)
@pytest.mark.parametrize("size", [(64, 64), (328, 200), (64, 720), (1280, 720)])
def test_any_size(effect, size):
    """Every size comes back as it was, as a fresh uint8 picture."""
    view = scene(*size, 0)
    out = render([view], effect=effect, resolution=128)[0]
    assert out.shape == view.shape
    assert out.dtype == np.uint8
    assert not np.shares_memory(out, view)


def test_switching_in_mid_stream(photo):
    """Effect, place and size may change from one frame to the next."""
    pipeline = Background()
    pipeline.setup(BackgroundParams())
    sizes = itertools.cycle([(320, 240), (160, 120)])
    for pts, (effect, where) in enumerate(itertools.product(EFFECTS, ("room", "person", "both"))):
        view = cv2.resize(photo, next(sizes))
        params = BackgroundParams(effect=effect, where=where)
        out = pipeline.transform(VideoFrame(view, pts, Fraction(1, 30)), params)
        assert out.shape == view.shape
    pipeline.teardown()


def test_strength_zero_changes_nothing(photo):
    for where in ("room", "both"):
        out = render([photo], strength=0, where=where)[0]
        assert np.array_equal(out, photo)


# --- backdrops


def test_gradient_goes_from_colour_to_colour():
    right, down = (
        gradient((64, 48), "#000000", "#ff8040", 0.0),
        gradient((64, 48), "#000000", "#ff8040", 90.0),
    )
    assert tuple(right[10, 0]) == (0, 0, 0)
    assert tuple(right[30, 63]) == (255, 128, 64)
    assert (np.diff(down[:, 5, 0].astype(int)) >= 0).all()
    assert np.array_equal(down[7, 0], down[7, 63])


def test_picture_fills_and_is_cut():
    """A wide picture in a tall frame loses its sides, not its shape."""
    wide = np.zeros((40, 120, 3), np.uint8)
    wide[:, 40:80] = (10, 200, 30)
    for kind in ("png", "jpg"):
        filled = picture((80, 80), data_url(wide, kind))
        assert filled.shape == (80, 80, 3)
        assert np.abs(filled.astype(int) - (10, 200, 30))[:, 10:70].max() < 25


def test_hills_are_there_without_a_picture():
    hills = picture((160, 120), "")
    assert hills.shape == (120, 160, 3)
    assert hills[110].mean() < hills[70].mean()


def bomb():
    """A PNG that says it is 30000x30000."""
    data = bytearray(cv2.imencode(".png", np.zeros((4, 4, 3), np.uint8))[1])
    data[16:24] = (30000).to_bytes(4, "big") * 2
    return "data:image/png;base64," + base64.b64encode(data).decode()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("/etc/hostname", "must start with"),
        ("https://example.org/a.png", "must start with"),
        ("data:image/png;base64,####", "damaged"),
        ("data:image/png;base64,AAAA", "neither a JPEG nor a PNG"),
        ("data:image/jpeg;base64,/9j/", "damaged"),
        (bomb(), "more than"),
    ],
)
def test_wrong_pictures_are_refused(text, reason):
    with pytest.raises(ParamsError, match=reason):
        parse_params(BackgroundParams, {"picture": text})


def test_cut_off_picture_is_refused_or_read():
    """Every shorter file is either refused with a reason or decoded: nothing else happens."""
    whole = cv2.imencode(".jpg", np.full((16, 16, 3), 90, np.uint8))[1].tobytes()
    reasons = []
    for length in range(2, len(whole), 7):
        try:
            from_data_url("data:image/jpeg;base64," + base64.b64encode(whole[:length]).decode())
        except ValueError as error:
            reasons.append(str(error))
    assert reasons
    assert all("damaged" in reason for reason in reasons)


# --- parameters


@pytest.mark.parametrize(
    "wrong",
    [{"where": "all"}, {"blur": 2}, {"colour": "red"}, {"edge_shift": -2}, {"style": "x"}, {"angel": 1}],
)
def test_wrong_parameters_are_refused(wrong):
    """The message names the parameter."""
    with pytest.raises(ParamsError, match=next(iter(wrong))):
        parse_params(BackgroundParams, wrong)


def test_extreme_parameters(photo):
    """Every bound of every number gives a picture."""
    schema = params_schema(BackgroundParams)["properties"]
    own = {name: field for name, field in schema.items() if field["group"] in OWN_GROUPS}
    for bound in ("minimum", "maximum"):
        values = {name: field[bound] for name, field in own.items() if bound in field}
        assert len(values) == 5
        for effect in EFFECTS:
            assert render([photo] * 2, effect=effect, resolution=128, **values)[-1].shape == photo.shape


def test_schema_is_complete_for_a_page():
    """Every parameter has a description, a group and, for a number, a range; the scene comes first."""
    schema = params_schema(BackgroundParams)["properties"]
    for name, field in schema.items():
        assert field["description"], name
        assert field["group"], name
        if field.get("type") in ("number", "integer"):
            assert "minimum" in field, name
            assert "maximum" in field, name
        assert field["x-live"] is (name not in ("width", "height")), name
    groups = [group for group, _ in itertools.groupby(field["group"] for field in schema.values())]
    assert groups == ["Picture", "Scene", "Edge", "Style", "Mix"]
    assert schema["colour"]["format"] == "color"


def test_readme_lists_every_parameter():
    """The table in the README has each parameter of its own with its default."""
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    for name, field in BackgroundParams.model_fields.items():
        if field.json_schema_extra["group"] in OWN_GROUPS:
            default = field.default if isinstance(field.default, str) else f"{field.default:g}"
            assert f"| `{name}` | {default or '–'} |" in readme, name


@pytest.mark.parametrize("effect", ["blur", "paint"])
def test_frames_go_through_the_asynchronous_interface(effect):
    """What the recipe's test runs also passes here."""
    assert asyncio.run(load_push_frames().push_frames(effect, "room", 320, 240)) is None
