"""As much of torch as the adapter and the fake checkout use, with NumPy underneath: for environments without torch.

It shows what reaches a node and what is taken from it; not what torch does.
"""

import contextlib
import os

import numpy as np

float32, float16, uint8 = (np.dtype(name) for name in ("float32", "float16", "uint8"))
bfloat16 = "bfloat16"  # NumPy has none; nothing is computed with it
no_grad = contextlib.nullcontext


class device:  # noqa: N801  # torch's name
    def __init__(self, name):
        self.type = name


class cuda:  # noqa: N801  # a module of torch
    @staticmethod
    def is_available():
        return False


class hub:  # noqa: N801  # a module of torch
    @staticmethod
    def get_dir():
        return os.path.join(os.environ["TORCH_HOME"], "hub")  # noqa: PTH118  # text, as torch has it


class Tensor(np.ndarray):
    def to(self, target):
        return self if isinstance(target, device) else self.astype(target)


def from_numpy(array):
    return array.view(Tensor)


def cat(tensors):
    return np.concatenate(tensors).view(Tensor)


def full(shape, value):
    return np.full(shape, value, np.float32).view(Tensor)
