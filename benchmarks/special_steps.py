"""What the training steps of AdSTNet and JAAL-Net cost beyond plain steps of the networks they train.

    python benchmarks/special_steps.py                     # published sizes; 3 minutes on two CPU cores
    python benchmarks/special_steps.py --size 64 --batch 8 --precision bfloat16

AdSTNet: its step against the backbone's alone (goal: at most 15 % more), and against a plain step of backbone and head
with the sum of four losses: the step itself. JAAL-Net: its step against the sum of its parts (goal: within 10 %), each
by a plain step: the generator; the discriminator on twice the images, real and fake; and the way of the generator's
gradient back through a frozen discriminator. All are timed in turn, round after round; the median is printed.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import model
from compute import batch_norm, precision
from loss import BCE
from models.jaal_net import da_net
from models.training_step import TrainingModel, descend

LINE = "{:44}{:>10.1f} ms{:>9}"


def stepper(network, x, y, loss=None):
    """A call that does one training step of the network, compiled as train.py does.

    loss: a function of y and the network's outputs to a scalar, by default the cross-entropy.
    """
    loss = loss or BCE()
    network.compile(keras.optimizers.Adam(1e-4), BCE(), jit_compile=False)
    network.optimizer.build(network.trainable_variables)
    training_pass = batch_norm.training_pass(network)
    weights = tf.ones(len(x))

    def forward(images, weights):
        return precision.float32(training_pass(images, weights))

    def plain_step(data, forward):
        with tf.GradientTape() as tape:
            value = loss(data[1], forward(data[0], data[2]))
        descend(network.optimizer, tape, value, network.trainable_variables)
        return {"loss": value}

    step = network.train_step if isinstance(network, TrainingModel) else plain_step
    compiled = tf.function(lambda: step((x, y, weights), forward)["loss"], autograph=False)
    return lambda: float(compiled())


def medians(steps, rounds):
    """Milliseconds of each step, the median of so many rounds in which each has its turn."""
    times = {name: [] for name in steps}
    for _ in range(rounds + 1):  # the first one warms up
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            times[name].append(1e3 * (time.perf_counter() - start))
    return {name: statistics.median(series[1:]) for name, series in times.items()}


def discs(batch, size, channels):
    """Images (B, H, W, channels) of noise and masks (B, H, W, 1) of discs."""
    random = np.random.default_rng(0)
    rows, columns = np.mgrid[:size, :size]
    masks = ((rows - size / 2) ** 2 + (columns - size / 2) ** 2 < (size / 4) ** 2).astype("float32")
    images = random.uniform(-1, 1, (batch, size, size, channels)).astype("float32")
    return tf.constant(images), tf.constant(np.repeat(masks[None, ..., None], batch, axis=0))


def adstnet(size, batch, backbone):
    """The steps to compare."""
    x, masks = discs(batch, size, 3)
    shape = (size, size, 3)
    options = {"weights": "none"} if "weights" in model.REGISTRY[backbone].defaults() else {}
    network = model.build("adstnet", shape, backbone=backbone, **options)
    labels = network.labels(masks)
    plain = model.build("adstnet", shape, backbone=backbone, **options)
    plain = keras.Model(plain.input, plain.output)
    targets = {"core": labels["core"], "edge": labels["edge"], "binary": masks, "logits": masks}
    return {
        f"{backbone} alone": stepper(model.build(backbone, shape, **{"classes": 1, **options}), x, masks),
        "with its head, plain step": stepper(plain, x, targets, sum_of_losses),
        "AdSTNet": stepper(network, x, labels),
    }


def sum_of_losses(targets, outputs):
    """The sum of the cross-entropies of every output."""
    return sum(BCE()(target, outputs[name]) for name, target in targets.items())


def jaal_net(size, batch):
    """The parts, and last all of it."""
    x, masks = discs(batch, size, 4)
    shape = (size, size, 3)
    pairs = tf.concat([x[..., :3], 2 * masks - 1], -1)
    verdict = tf.zeros((2 * batch, size // 4, size // 4, 1))
    frozen = da_net(shape)
    frozen.trainable = False
    pair = keras.Input((size, size, 4))
    way_back = keras.Model(pair, frozen(keras.layers.Conv2D(4, 1)(pair)))
    return {
        "LF-Net": stepper(model.build("lf_net", shape), x, masks),
        "DA-Net, twice the images": stepper(da_net(shape), tf.concat([pairs, -pairs], 0), verdict),
        "through a frozen DA-Net": stepper(way_back, pairs, verdict[:batch]),
        "JAAL-Net": stepper(model.build("jaal_net", shape), x, masks),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, help="height and width (default: 256 and 128, as published)")
    parser.add_argument("--batch", type=int, default=4, help="images a step (default 4)")
    parser.add_argument("--backbone", default="unet16", help="of AdSTNet (default unet16)")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--precision", default="float32", choices=("float32", "bfloat16"), help="as of train.py")
    args = parser.parse_args()
    precision.use(args.precision)
    times = medians(adstnet(args.size or 256, args.batch, args.backbone), args.rounds)
    alone, *_ = times.values()
    for name, spent in times.items():
        print(LINE.format(name, spent, f"{spent / alone - 1:+.0%}"), flush=True)
    times = medians(jaal_net(args.size or 128, args.batch), args.rounds)
    whole = times.pop("JAAL-Net")
    for name, spent in times.items():
        print(LINE.format(name, spent, ""))
    parts = sum(times.values())
    print(LINE.format("sum of the parts", parts, ""))
    print(LINE.format("JAAL-Net", whole, f"{whole / parts - 1:+.0%}"))


if __name__ == "__main__":
    main()
