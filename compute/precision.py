"""The number format of convolutions and matrix products. Weights, outputs, losses, metrics and updates are float32.

On CPUs bfloat16 is left to oneDNN's rewriting of TensorFlow's graphs: as fast as Keras's mixed-precision policy, and
the saved network stays float32. Everywhere else it is that policy. `benchmarks/precision.py` compares them.
"""

import contextlib
import os
import re
from pathlib import Path

import keras
import tensorflow as tf

CPUINFO = Path("/proc/cpuinfo")
# Depthwise convolutions stay in float32: oneDNN's gradients of them are slower in bfloat16 (benchmarks/depthwise.py).
os.environ.setdefault(
    "TF_AUTO_MIXED_PRECISION_GRAPH_REWRITE_ALLOWLIST_REMOVE",
    "DepthwiseConv2dNative,DepthwiseConv2dNativeBackpropInput,DepthwiseConv2dNativeBackpropFilter",
)


def resolve(precision: str) -> str:
    """What `auto` stands for here: the fastest format that keeps the result. Any other format stays as it is.

    That is bfloat16 on CPUs that multiply it faster than float32, and float32 elsewhere; GPUs take TF32 for that.
    """
    if precision != "auto":
        return precision
    knows = CPUINFO.is_file() and re.search(r"\b(avx512_bf16|amx_bf16)\b", CPUINFO.read_text())
    return "bfloat16" if knows and _on_cpu() else "float32"


def use(precision: str):
    """Build, train and validate networks in this format from now on."""
    rewritten = precision == "bfloat16" and _on_cpu()
    _rewrite(rewritten)
    keras.config.set_dtype_policy("float32" if precision == "float32" or rewritten else f"mixed_{precision}")


@contextlib.contextmanager
def rewriting(precision: str):
    """Within it bfloat16 is taken for networks that were built in float32, as all are that were trained on CPUs."""
    _rewrite(precision == "bfloat16" and _on_cpu())
    try:
        yield
    finally:
        _rewrite(False)


def _on_cpu():
    return keras.backend.backend() == "tensorflow" and not tf.config.list_physical_devices("GPU")


def _rewrite(on):
    tf.config.optimizer.set_experimental_options({"auto_mixed_precision_onednn_bfloat16": on})


# === What the rewriting has to leave alone ===


def float32(tensors):
    """The tensors themselves, after an identity operation that stops bfloat16: what follows is left in float32.

    It stands after a network's call, before loss and metrics, and before the gradients' way into the optimizer. The
    rewriting does not know the operation, so it leaves it, and what follows, alone. tensors: in any structure.
    """
    return keras.tree.map_structure(lambda x: tf.raw_ops.PlaceholderWithDefault(input=x, shape=x.shape), tensors)


@keras.saving.register_keras_serializable(package="lesion")
class StopBfloat16(keras.layers.Layer):
    """`float32` as a layer, for the end of a functional network: (B, ...) float32 -> the same."""

    def __init__(self, dtype="float32", **kwargs):
        super().__init__(dtype=dtype, **kwargs)

    def call(self, x):
        return float32(x) if keras.backend.backend() == "tensorflow" else x

    def compute_output_shape(self, input_shape):
        return input_shape
