"""Write the painting network in an order of operations that takes a third less time.

The weights are the same numbers, and the picture is the same but for a few pixels along its border, where
reflection is done earlier. What is gained, measured with onnxruntime on a CPU:

- Normalisation is one `InstanceNormalization` instead of nine element-wise operations.
- A convolution of a doubled picture is done before the doubling, with four times the channels: kernels that work
  on blocks of 16 channels no longer compute 8 or 4 useful ones. So is the last one, on 2x2 blocks of pixels.
- The largest picture is not copied only to be padded: the input is padded by one pixel more.
- The 26 styles are mixed by one matrix product.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Weights = NDArray[np.float32]
Kernel = Callable[[Weights], Weights]

RESIDUALS = 6
EPSILON = 1e-5
STYLE_COUNT = 26


def rewrite(original: bytes) -> bytes:
    """Read the network as its author exported it, and write ours.

    Inputs of both: ``image`` (1, 3, H, W) in 0..1, H and W multiples of 4, and ``style_weights`` (26,) with sum 1.
    Output: ``stylized``, like ``image``.
    """
    source = onnx.load_model_from_string(original)
    network = _Network({w.name: numpy_helper.to_array(w) for w in source.graph.initializer})
    model = network.build()
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


class _Network:
    """Collects operations and constants of the new network."""

    def __init__(self, weights: dict[str, Weights]) -> None:
        self._weights = weights
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, NDArray[np.generic]] = {}

    def build(self) -> onnx.ModelProto:
        self._mix_styles()
        x = self._pad("image", (5, 5, 4, 4), "reflect")
        x = self._layer("contract.0", x)
        x = self._layer("contract.1", x, stride=2)
        x = self._layer("contract.2", self._pad(x, (1, 1, 0, 0), "reflect"), stride=2)
        for index in range(RESIDUALS):
            x = self._residual(f"res.{index}", x)
        x = self._blocks("expand.0", self._pad(x, (1,) * 4, "edge"), doubled, 8)
        x = self._operation("DepthToSpace", [x], "half", blocksize=2, mode="CRD")
        x = self._blocks("expand.1", self._pad(x, (1,) * 4, "edge"), doubled, 4)
        x = self._blocks("expand.2", self._pad(x, (2,) * 4, "reflect"), blocked, 3, activation="Sigmoid")
        self._operation("DepthToSpace", [x], "stylized", blocksize=2, mode="CRD")
        return self._model()

    def _model(self) -> onnx.ModelProto:
        def picture(name: str) -> onnx.ValueInfoProto:
            return helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, "height", "width"])

        styles = helper.make_tensor_value_info("style_weights", TensorProto.FLOAT, [STYLE_COUNT])
        constants = [numpy_helper.from_array(value, name) for name, value in self._constants.items()]
        graph = helper.make_graph(
            self._nodes, "painting", [picture("image"), styles], [picture("stylized")], constants
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)

    # The parts of it

    def _mix_styles(self) -> None:
        """Scales and shifts of all layers, for the wanted mixture."""
        layers = [name.removesuffix(".w") for name in self._weights if name.endswith(".w")]
        names = [f"{layer}.{part}" for layer in layers for part in ("gamma", "beta")]
        tables = [self._weights[f"{layer}.norm.{part}"] for layer in layers for part in ("gamma", "beta")]
        table = self._constant("styles", np.concatenate(tables, axis=1))
        sizes = self._constant("sizes", np.array([t.shape[1] for t in tables]))
        mixed = self._operation("MatMul", ["style_weights", table], "mixed")
        self._nodes.append(helper.make_node("Split", [mixed, sizes], names, axis=0))

    def _layer(self, name: str, x: str, stride: int = 1, activation: str = "Relu") -> str:
        x = self._normalise(name, self._convolve(name, x, self._weights[f"{name}.w"], stride))
        return self._operation(activation, [x], f"{name}.out") if activation else x

    def _residual(self, name: str, x: str) -> str:
        inner = self._layer(f"{name}.0", self._pad(x, (1,) * 4, "reflect"))
        inner = self._layer(f"{name}.1", self._pad(inner, (1,) * 4, "reflect"), activation="")
        return self._operation("Add", [x, inner], name)

    def _blocks(self, name: str, x: str, kernel: Kernel, channels: int, activation: str = "Relu") -> str:
        """A layer whose output has a pixel's 2x2 neighbours as channels; normalised over all four."""
        x = self._convolve(name, x, kernel(self._weights[f"{name}.w"]))
        shape = self._operation("Shape", [x], f"{name}.shape")
        flat = self._constant(f"{name}.flat", np.array([1, channels, -1, 1]))
        x = self._normalise(name, self._operation("Reshape", [x, flat], f"{name}.together"))
        x = self._operation(activation, [x], f"{name}.out")
        return self._operation("Reshape", [x, shape], f"{name}.apart")

    # Single operations

    def _constant(self, name: str, value: NDArray[np.generic]) -> str:
        self._constants[name] = value
        return name

    def _operation(self, kind: str, inputs: list[str], output: str, **attributes: object) -> str:
        self._nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def _convolve(self, name: str, x: str, kernel: Weights, stride: int = 1) -> str:
        weights = self._constant(f"{name}.kernel", kernel)
        sizes = {"kernel_shape": kernel.shape[2:], "strides": (stride, stride)}
        return self._operation("Conv", [x, weights], f"{name}.raw", **sizes)

    def _normalise(self, name: str, x: str) -> str:
        inputs = [x, f"{name}.gamma", f"{name}.beta"]
        return self._operation("InstanceNormalization", inputs, f"{name}.norm", epsilon=EPSILON)

    def _pad(self, x: str, sides: tuple[int, ...], mode: str) -> str:
        """Pad a picture by (top, left, bottom, right)."""
        top, left, bottom, right = sides
        amounts = self._constant(f"{x}.sides", np.array([0, 0, top, left, 0, 0, bottom, right]))
        return self._operation("Pad", [x, amounts], f"{x}.padded", mode=mode)


def doubled(kernel: Weights) -> Weights:
    """A 3x3 kernel for a picture doubled by repeating pixels, as one for the picture before.

    :param kernel: (O, I, 3, 3)
    :return: (4 O, I, 3, 3); channel 4 o + 2 y + x is the pixel (y, x) of a 2x2 block of channel o
    """
    outputs, inputs = kernel.shape[:2]
    result = np.zeros((outputs, 2, 2, inputs, 3, 3), np.float32)
    for y, x, row, column in np.ndindex(2, 2, 3, 3):
        result[:, y, x, :, (y + row - 1) // 2 + 1, (x + column - 1) // 2 + 1] += kernel[:, :, row, column]
    return result.reshape(4 * outputs, inputs, 3, 3)


def blocked(kernel: Weights) -> Weights:
    """A kernel of odd size for a picture of pixels, as one for a picture of 2x2 blocks of pixels.

    :param kernel: (O, I, K, K)
    :return: (4 O, 4 I, L, L), channels as in `doubled`, L the blocks that K pixels can touch
    """
    outputs, inputs, size, _ = kernel.shape
    reach = size // 2
    blocks = (reach + 1) // 2
    result = np.zeros((outputs, 2, 2, inputs, 2, 2, 2 * blocks + 1, 2 * blocks + 1), np.float32)
    for y, x, row, column in np.ndindex(2, 2, size, size):
        down, across = y + row - reach, x + column - reach
        place = (down % 2, across % 2, down // 2 + blocks, across // 2 + blocks)
        result[:, y, x, :, *place] += kernel[:, :, row, column]
    return result.reshape(4 * outputs, 4 * inputs, 2 * blocks + 1, 2 * blocks + 1)
