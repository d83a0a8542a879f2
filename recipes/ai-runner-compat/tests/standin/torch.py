"""As much of torch as a frame needs, with NumPy underneath: for environments that have no torch.

It shows that frames reach pipelines as (1, H, W, 3) float32 in [0, 1] and are taken back; not what torch does.
"""

import numpy as np

float32, float16, uint8, int64 = (np.dtype(name) for name in ("float32", "float16", "uint8", "int64"))


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

    def mul_(self, number):
        self *= number
        return self

    def clone(self):
        return self.copy()


def from_numpy(array):
    return array.view(Tensor)
