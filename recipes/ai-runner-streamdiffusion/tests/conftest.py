import os

import pytest
import torch

torch.set_num_threads(1)  # at these sizes more threads only wait for each other


@pytest.fixture(scope="session", autouse=True)
def model_dir(tmp_path_factory):
    """An empty `MODEL_DIR`; what a test needs is made in it."""
    folder = tmp_path_factory.mktemp("models")
    before = {name: os.environ.get(name) for name in ("MODEL_DIR", "HF_HUB_OFFLINE")}
    os.environ.update(MODEL_DIR=str(folder), HF_HUB_OFFLINE="1")
    yield folder
    for name, value in before.items():
        os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)
