"""Nodes by name. `LOADED` counts how often each ran."""

from collections import Counter

LOADED = Counter()
ASKED = {}


class ImageInvert:
    FUNCTION = "invert"

    @classmethod
    def INPUT_TYPES(cls):  # noqa: N802  # ComfyUI's name
        return {"required": {"image": ("IMAGE",)}}

    def invert(self, image):
        LOADED["ImageInvert"] += 1
        return (1 - image,)


class Level:
    """Like a model: does not depend on the frame, so it is made once."""

    FUNCTION = "load"

    @classmethod
    def INPUT_TYPES(cls):  # noqa: N802  # ComfyUI's name
        return {"required": {"name": (["half", "none"],)}}

    def load(self, name):
        LOADED["Level"] += 1
        return ({"half": 0.5, "none": 0.0}[name],)


class Scale:
    FUNCTION = "scale"

    @classmethod
    def INPUT_TYPES(cls):  # noqa: N802  # ComfyUI's name
        return {"required": {"image": ("IMAGE",), "level": ("LEVEL",)}}

    def scale(self, image, level):
        if level == 0.0:
            raise ValueError("nothing would be left")
        return (image * level,)


NODE_CLASS_MAPPINGS = {"ImageInvert": ImageInvert, "Level": Level}


async def init_extra_nodes(init_custom_nodes=True, init_api_nodes=True):
    ASKED.update(custom=init_custom_nodes, api=init_api_nodes)
    NODE_CLASS_MAPPINGS["Scale"] = Scale
