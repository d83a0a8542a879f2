"""As much of torch as a frame and the adapter use, with NumPy underneath: for environments without torch."""

import numpy as np

float32, uint8 = np.dtype("float32"), np.dtype("uint8")


class device:  # noqa: N801  # torch's name
    def __init__(self, name):
        self.type = name


class cuda:  # noqa: N801  # a module of torch
    @staticmethod
    def is_available():
        return False


class Tensor(np.ndarray):
    @property
    def device(self):
        return device("cpu")

    def to(self, target):
        return self if isinstance(target, device) else self.astype(target)

    def div_(self, number):
        self /= number
        return self


def from_numpy(array):
    return array.view(Tensor)
