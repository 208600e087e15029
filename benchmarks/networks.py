"""Images per second of every network, in training and prediction, and what fraction of the machine's peak that is.

    python benchmarks/networks.py [--networks unet16 as_net] [--size 128] [--batch 8] [--seconds 5]
    python benchmarks/networks.py --precision bfloat16

Each network runs as train.py runs it, at its published size or at the square --size. The peak is that of a large
float32 matrix product, measured in the same run. A training step counts as three forward passes. The best of all calls
within --seconds is printed. The last column is the fraction of a training step's kernel time that is spent outside
convolutions and matrix products; --kernels lists the kernels that take the most.
"""

import argparse
import collections
import math
import sys
import tempfile
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from tensorflow.tsl.profiler.protobuf import xplane_pb2

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import model
from benchmarks.special_steps import stepper
from compute import precision
from models import cost
from models.adstnet import AdSTNet

MEMORY = 2**32  # bytes that the maps of one training batch may take
LINE = "{:26}{:>7}{:>12}{:>7}{:>12}{:>7}{:>12}{:>7}{:>9}"
PRODUCTS = ("Conv", "MatMul", "Einsum")


def best(call, seconds):
    """The least seconds that one call takes, after one that warms up."""
    call()
    times = []
    end = time.perf_counter() + seconds
    while not times or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def peak(seconds, size=2048):
    """Operations a second of a float32 matrix product."""
    a = tf.random.normal((size, size))
    product = tf.function(lambda: tf.reduce_sum(tf.matmul(a, a)))
    return 2 * size**3 / best(lambda: product().numpy(), seconds)


def sensible_batch(network):
    """The most images, at most 16, whose maps and their gradients fit into MEMORY."""
    maps = [tensor for layer in network.layers for tensor in keras.tree.flatten(layer.output)]
    values = sum(math.prod(tensor.shape[1:]) for tensor in maps)
    return max(1, min(16, MEMORY // (8 * values)))


def kernels(step):
    """Milliseconds of each kind of kernel in one call of `step`, by TensorFlow's profiler, summed over the threads."""
    times = collections.Counter()
    with tempfile.TemporaryDirectory() as folder:
        with tf.profiler.experimental.Profile(folder):
            step()
        space = xplane_pb2.XSpace.FromString(next(Path(folder).rglob("*.xplane.pb")).read_bytes())
    for plane in space.planes:
        for line in plane.lines:
            for event in line.events:
                layer, _, kind = plane.event_metadata[event.metadata_id].name.partition(":")
                if kind.isidentifier() and layer != "EagerLocalExecute":  # events of kernels are named layer:kind
                    times[kind.removeprefix("_MklNative").removeprefix("_Mkl")] += event.duration_ps / 1e9
    return times


def measure(network, batch, seconds):
    """Images a second, of prediction of one image, prediction and training of a batch; the kernels of a step."""
    random = np.random.default_rng(0)
    x = random.random((batch, *network.input_shape[1:]), np.float32)
    masks = [random.integers(0, 2, (batch, *y.shape[1:])).astype("float32") for y in network.outputs]
    masks = keras.tree.pack_sequence_as(network.output, masks)
    if isinstance(network, AdSTNet):  # it has labels of its own
        masks = network.labels(tf.constant(masks["logits"]))
    train = stepper(network, tf.constant(x), masks)
    one = 1 / best(lambda: network.predict_on_batch(x[:1]), seconds)
    many = batch / best(lambda: network.predict_on_batch(x), seconds)
    return (one, many, batch / best(train, seconds)), kernels(train)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", default=model.names(), choices=model.names(), metavar="NAME")
    parser.add_argument("--size", type=int, help="height and width; default: the published size")
    parser.add_argument("--batch", type=int, help="default: the largest sensible, at most 16")
    parser.add_argument("--seconds", type=float, default=5.0, help="for each measurement")
    parser.add_argument("--kernels", type=int, default=0, metavar="N", help="list the N slowest kernels")
    parser.add_argument("--precision", default="float32", choices=("float32", "bfloat16"), help="as of train.py")
    args = parser.parse_args()
    precision.use(args.precision)
    limit = peak(args.seconds)
    print(f"peak: {limit / 1e9:.0f} GFLOP/s (float32 matrix product)")
    print(LINE.format("network", "batch", "predict 1", "peak", "predict", "peak", "train", "peak", "other"))
    for name in args.networks:
        shape = (args.size, args.size, 3) if args.size else None
        network = model.untrained(name, shape)
        batch = args.batch or sensible_batch(network)
        operations = cost.flops(cost.operations(network))
        rates, times = measure(network, batch, args.seconds)
        cells = []
        for rate, passes in zip(rates, (1, 1, 3), strict=True):
            cells += [f"{rate:.2f}", f"{rate * operations * passes / limit:.0%}"]
        products = sum(spent for kind, spent in times.items() if any(product in kind for product in PRODUCTS))
        print(LINE.format(name, batch, *cells, f"{1 - products / times.total():.0%}"), flush=True)
        for kind, spent in times.most_common(args.kernels):
            print(f"    {kind:40}{spent:9.1f} ms {spent / times.total():6.0%}")
        keras.backend.clear_session()


if __name__ == "__main__":
    main()
