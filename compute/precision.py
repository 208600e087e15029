"""The number format of convolutions and matrix products. Weights, outputs, losses, metrics and updates are float32.

On CPUs bfloat16 is left to oneDNN's rewriting of TensorFlow's graphs: as fast as Keras's mixed-precision policy, and
the saved network stays float32. Everywhere else it is that policy. `benchmarks/precision.py` compares them.
"""

import contextlib
import functools
import re
from pathlib import Path

import keras
import tensorflow as tf

CPUINFO = Path("/proc/cpuinfo")


def resolve(precision):
    """What `auto` stands for here: the fastest format that keeps the result. Any other format stays as it is.

    That is bfloat16 on CPUs that multiply it faster than float32, and float32 elsewhere; GPUs take TF32 for that.
    """
    if precision != "auto":
        return precision
    knows = CPUINFO.is_file() and re.search(r"\b(avx512_bf16|amx_bf16)\b", CPUINFO.read_text())
    return "bfloat16" if knows and _on_cpu() else "float32"


def use(precision):
    """Build, train and validate networks in this format from now on."""
    rewritten = precision == "bfloat16" and _on_cpu()
    _rewrite(rewritten)
    keras.config.set_dtype_policy("float32" if precision == "float32" or rewritten else f"mixed_{precision}")


@contextlib.contextmanager
def rewriting(precision):
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


def keep_outputs(network):
    """Let what follows a network's outputs, such as its loss, stay float32; or those of networks within it."""
    if keras.backend.backend() != "tensorflow":
        return
    inner = [x for x in network._flatten_layers(include_self=False, recursive=False) if isinstance(x, keras.Model)]
    for output in keras.tree.flatten([network.output, *(model.output for model in inner)]):
        layer = output._keras_history.operation
        if "call" not in vars(layer):
            layer.call = functools.partial(_call, layer.call)


def keep_updates(optimizer):
    """Let an optimiser compute in float32."""
    apply = optimizer.apply

    def kept(gradients, variables=None):
        apply([None if g is None else float32(g) for g in gradients], variables)

    optimizer.apply = kept


def _call(inner, *args, **kwargs):
    return keras.tree.map_structure(float32, inner(*args, **kwargs))


def float32(tensor):
    """The tensor itself, by an operation that the rewriting does not know: it leaves it, and what follows, alone."""
    return tf.raw_ops.PlaceholderWithDefault(input=tensor, shape=tensor.shape)
