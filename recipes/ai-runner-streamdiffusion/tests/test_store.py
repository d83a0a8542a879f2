"""Finding models in MODEL_DIR, fetching them from a hub, and what is said where that cannot be."""

import asyncio
import hashlib
import importlib.util
import json
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

from ai_runner_base.errors import CallerError, HostError
from ai_runner_streamdiffusion import devices, store
from ai_runner_streamdiffusion.tiny import tiny_model

COMMIT = "1" * 40


class Hub(ThreadingHTTPServer):
    """The part of a hub's HTTP interface that fetching uses, over folders by name.

    :param broken_after: a first answer with more bytes than this breaks off there, once for each file
    """

    def __init__(self, folders, broken_after=None):
        super().__init__(("127.0.0.1", 0), Answer)
        self.folders, self.broken_after = folders, broken_after
        self.asked, self.broken = [], set()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"


def entry(folder, file):
    """A file as the hub lists it."""
    data = (folder / file).read_bytes()
    return {"type": "file", "path": file, "size": len(data), "oid": hashlib.sha256(data).hexdigest()}


class Answer(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.answer(with_body=False)

    def do_GET(self):
        self.answer(with_body=True)

    def answer(self, with_body):
        path = self.path.partition("?")[0]
        self.server.asked.append((self.command, path, self.headers.get("Range")))
        for name, folder in self.server.folders.items():
            if path.startswith(f"/api/models/{name}"):
                files = sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())
                if "/tree/" in path:
                    found = [entry(folder, file) for file in files]
                else:
                    found = {"id": name, "sha": COMMIT, "siblings": [{"rfilename": file} for file in files]}
                self.send(json.dumps(found).encode(), {}, True)
                return
            if path.startswith(f"/{name}/resolve/"):
                file = folder / path.removeprefix(f"/{name}/resolve/").partition("/")[2]
                data = file.read_bytes()
                etag = hashlib.sha256(data).hexdigest()
                self.send(data, {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT}, with_body)
                return
        self.send_response(404)
        self.send_header("X-Error-Code", "RepoNotFound")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def send(self, data, headers, with_body):
        asked = self.headers.get("Range", "")
        begin = int(asked.removeprefix("bytes=").partition("-")[0]) if asked else 0
        self.send_response(206 if begin else 200)
        whole, data = len(data), data[begin:]
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{whole - 1}/{whole}")
        for key, value in {**headers, "Content-Length": str(len(data)), "Accept-Ranges": "bytes"}.items():
            self.send_header(key, value)
        self.end_headers()
        if not with_body:
            return
        limit = self.server.broken_after
        if limit is not None and len(data) > limit and self.path not in self.server.broken:
            self.server.broken.add(self.path)
            self.wfile.write(data[:limit])
            self.close_connection = True
            return
        self.wfile.write(data)


@pytest.fixture
def hub(tmp_path):
    """A hub with a whole model and an autoencoder."""
    made = tiny_model()
    model = tmp_path / "hub" / "model"
    shutil.copytree(made, model)
    (model / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"a pickle")
    (model / "painted.png").write_bytes(b"a picture")
    server = Hub({store.TINY_VAE: made / "tiny_vae", "someone/small": model})
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def prepare(hub_url, models, names):
    """What `ai-runner prepare` runs, in a process of its own."""
    command = [sys.executable, "-m", "ai_runner_base.worker", "--prepare"]
    command.append("ai_runner_streamdiffusion.pipeline:StreamDiffusion")
    env = {"MODEL_DIR": str(models), "HOME": str(models), "HF_ENDPOINT": hub_url, "HF_HUB_OFFLINE": "0"}
    env |= {
        store.MODELS_VARIABLE: names,
        "HF_HUB_DISABLE_XET": "1",
        "OMP_NUM_THREADS": "1",
        "PATH": "/usr/bin",
    }
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=100, check=False)


def test_prepare_fetches_what_serving_needs_and_goes_on_where_it_was(hub, tmp_path, monkeypatch):
    """A connection that breaks inside a file; then a second run that asks nobody; then the model paints, offline."""
    models = tmp_path / "models"
    hub.broken_after = 200_000
    first = prepare(hub.url, models, "someone/small")
    if first.returncode:  # this release of the hub's client gives up; the next run goes on
        first = prepare(hub.url, models, "someone/small")
    assert first.returncode == 0, first.stderr
    assert "fetching someone/small" in first.stdout
    assert hub.broken == {f"/someone/small/resolve/{COMMIT}/unet/diffusion_pytorch_model.safetensors"}
    fetched = {path for command, path, _ in hub.asked if command == "GET"}
    assert not [path for path in fetched if path.endswith((".bin", ".png"))]

    hub.asked.clear()
    again = prepare(hub.url, models, "someone/small")
    assert again.returncode == 0, again.stderr
    assert [path for _, path, _ in hub.asked] == []

    monkeypatch.setenv("MODEL_DIR", str(models))
    push = Path(__file__).with_name("push_frames.py")
    spec = importlib.util.spec_from_file_location("push_frames", push)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    asyncio.run(module.push_frames(64, 64, "someone/small"))


def test_what_the_hub_does_not_have_is_said(hub, tmp_path):
    done = prepare(hub.url, tmp_path / "models", "someone/else")
    assert done.returncode == 4
    assert "someone/else could not be fetched" in done.stderr


@pytest.mark.parametrize(
    ("find", "name"),
    [
        (store.find_model, "stabilityai/sd-turbo"),
        (store.find_network, store.TINY_VAE),
        (store.find_lora, "someone/lora/a.safetensors"),
    ],
)
def test_a_missing_model_says_how_to_fetch_it(find, name):
    with pytest.raises(HostError) as caught:
        find(name)
    assert name in caught.value.message
    assert caught.value.hint == f'run: STREAMDIFFUSION_MODELS="{name}" ai-runner prepare streamdiffusion'


def test_folders_are_checked(tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(tiny_model(), folder)
    assert store.find_model(str(folder)) == folder
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights.unlink()
    with pytest.raises(HostError, match="not complete: unet is missing"):
        store.find_model(str(folder))
    weights.with_suffix(".bin").touch()
    with pytest.raises(CallerError, match="pickle"):
        store.find_model(str(folder))
    with pytest.raises(CallerError, match=r"no model_index\.json"):
        store.find_model(str(folder / "vae"))
    with pytest.raises(CallerError, match="neither a folder nor a name"):
        store.find_model("a/b/c/d")


def test_one_set_of_weights_is_fetched_in_half_precision_if_there_is():
    parts = ("unet", "vae", "text_encoder", "safety_checker")
    names = {"text_encoder": "model", "safety_checker": "model"}
    files = ["model_index.json", "README.md", "sd_turbo.safetensors", "scheduler/scheduler_config.json"]
    files += ["tokenizer/vocab.json", "tokenizer/merges.txt"]
    for part in parts:
        files.append(f"{part}/config.json")
        for ending in ("bin", "safetensors", "fp16.safetensors"):
            files.append(f"{part}/{names.get(part, 'diffusion_pytorch_model')}.{ending}")
    wanted = store.wanted_files(files)
    assert [name for name in wanted if "safetensors" in name] == [
        "unet/diffusion_pytorch_model.fp16.safetensors",
        "vae/diffusion_pytorch_model.fp16.safetensors",
        "text_encoder/model.fp16.safetensors",
    ]
    assert not [name for name in wanted if name.endswith(".bin") or name.startswith("safety_checker")]
    assert {"tokenizer/merges.txt", "scheduler/scheduler_config.json", "model_index.json"} <= set(wanted)
    assert store.wanted_files(["a.safetensors", "b.safetensors"]) == ["a.safetensors", "b.safetensors"]


def test_auto_is_what_is_of_use_on_a_device():
    cpu, gpu = torch.device("cpu"), torch.device("cuda", 0)
    assert devices.model_name("auto", cpu) == "tiny-random"
    assert devices.model_name("auto", gpu) == "stabilityai/sd-turbo"
    assert devices.number_format("auto", "stabilityai/sd-turbo", gpu) is torch.float16
    assert devices.number_format("auto", "stabilityai/sd-turbo", cpu) is torch.bfloat16
    assert devices.number_format("auto", "tiny-random", cpu) is torch.float32
    with pytest.raises(CallerError, match="minutes"):
        devices.number_format("float16", "tiny-random", cpu)
    assert "0.4 frames a second" in devices.expectation("tiny-random", cpu)
    assert "0.4" in devices.expectation("stabilityai/sd-turbo", cpu)
    assert devices.expectation("stabilityai/sd-turbo", gpu) == ""


def test_the_tiny_model_is_the_same_wherever_it_is_made(tmp_path, monkeypatch):
    first = (tiny_model() / "unet" / "diffusion_pytorch_model.safetensors").read_bytes()
    monkeypatch.setenv("MODEL_DIR", str(tmp_path / "new" / "place"))
    made = tiny_model()
    assert (made / "unet" / "diffusion_pytorch_model.safetensors").read_bytes() == first
    assert sum(file.stat().st_size for file in made.rglob("*") if file.is_file()) < 3_000_000
    (tmp_path / "file").touch()
    monkeypatch.setenv("MODEL_DIR", str(tmp_path / "file"))
    with pytest.raises(HostError, match="cannot be written"):
        tiny_model()
