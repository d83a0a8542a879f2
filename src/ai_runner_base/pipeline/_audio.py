"""Sound, for pipelines that make some. Input sound passes by the pipeline and is never changed."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class AudioFrame:
    """A run of samples.

    :param samples: (channels, nb_samples) for planar formats, (1, nb_samples * channels) for packed ones
    :param format: FFmpeg's name of the sample format, such as ``fltp`` or ``s16``
    :param layout: FFmpeg's name of the channel layout, such as ``mono`` or ``stereo``
    :param rate: samples per second of one channel
    :param nb_samples: samples of one channel
    :param pts: time of the first sample, in units of `time_base`
    :param time_base: seconds per unit of `pts`
    """

    samples: NDArray[np.generic]
    format: str
    layout: str
    rate: int
    nb_samples: int
    pts: int
    time_base: Fraction


@dataclass(frozen=True, slots=True)
class AudioOutput:
    """Sound on its way out.

    :param frames: in order of time
    :param request_id: the stream it belongs to
    """

    frames: tuple[AudioFrame, ...]
    request_id: str = ""
