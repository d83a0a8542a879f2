"""Draw the captions of the loading overlay into one small file. Run by hand when a caption changes; needs Pillow.

python scripts/make_overlay_text.py FONT.ttf
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

CAPTIONS = {"loading": "Loading pipeline…", "restarting": "Restarting pipeline…"}
OUT = Path(__file__).parents[1] / "src/ai_runner_base/stream/assets/captions.npz"


def draw(text: str, font: ImageFont.FreeTypeFont) -> np.ndarray:
    """Return the text's coverage, (H, W) uint8."""
    left, top, right, bottom = font.getbbox(text)
    image = Image.new("L", (int(right - left) + 4, int(bottom - top) + 4))
    ImageDraw.Draw(image).text((2 - left, 2 - top), text, font=font, fill=255)
    return np.asarray(image)


if __name__ == "__main__":
    face = ImageFont.truetype(sys.argv[1], 22)
    np.savez_compressed(OUT, **{name: draw(text, face) for name, text in CAPTIONS.items()})
