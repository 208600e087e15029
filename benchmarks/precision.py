"""U-Net 16 at 128 x 128 in each number format, with and without XLA: images a second, and the loss after 50 steps.

    python benchmarks/precision.py [--rounds 5] [--batch 16]         # 3 minutes on two CPU cores

`Keras` is its own `fit` and `predict`, step by step; `ours` the steps of train.py and predict.py. bfloat16 of ours is
TensorFlow's rewriting for oneDNN, that of Keras its policy mixed_bfloat16. All take turns, round after round; the
median is printed, and its ratio to Keras's float32 (goals for train.py's default: training 1.5, predicting 1.7).
Then 50 steps on the same 32 x 32 phantoms in each format, from the same weights: the mean loss of the last ten must be
within 2 % of float32's.
"""

import argparse
import functools
import statistics
import sys
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import config
import loss
import model
from compute import precision
from compute.updates import GlobalBatchOptimizer
from datasets.phantoms import phantom
from inference import probabilities
from training import steps as training_steps

SIZE = 128
SMALL = 32
STEPS = 50
LOSS = "bce + dice"
LINE = "{:24}{:>9}{:>7}{:>11}{:>7}{:>11}{:>7}"


def phantoms(count, size):
    """Images float32 [0, 1] (N, H, W, 3) and masks (N, H, W, 1) {0, 1}."""
    drawn = [phantom(seed, size, size) for seed in range(count)]
    images, masks = np.stack([p.image for p in drawn]), np.stack([p.lesion for p in drawn])
    return images.astype("float32") / 255, masks[..., None].astype("float32")


def built(number_format, size, policy=None):
    """U-Net 16 with the same weights each time; `policy`: Keras's own instead of what train.py takes."""
    keras.utils.set_random_seed(0)
    precision.use(number_format)
    if policy:
        keras.config.set_dtype_policy(policy)
    network = model.build("unet16", (size, size, 3))
    optimizer = keras.optimizers.Adam(1e-3)
    if keras.config.dtype_policy().name == "mixed_float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    optimizer = GlobalBatchOptimizer(optimizer)
    network.compile(optimizer, loss.from_spec(LOSS), auto_scale_loss=False, jit_compile=False)
    network.optimizer.build(network.trainable_variables)
    return network


def of_keras(policy, xla, images, masks):
    """Calls that do one training step, and predict a batch, as `fit` and `predict` do."""
    network = built("float32", SIZE, policy)
    network.compile(network.optimizer, loss.from_spec(LOSS), jit_compile=xla)
    data = iter(tf.data.Dataset.from_tensors((images, masks)).repeat())
    network.make_train_function()
    return lambda: float(network.train_function(data)["loss"]), network.predict_on_batch


def of_ours(number_format, xla, images, masks):
    """The same by train.py and predict.py; XLA, which they do not use, around the whole step."""
    network = built(number_format, SIZE)
    steps = training_steps.Loop(network, config.Settings(loss=LOSS), tf.distribute.get_strategy())
    step = functools.partial(steps.step, index=0, steps=1, fraction=1.0)
    predict = probabilities.probability_function(network, number_format=number_format)
    if xla:
        compiled = tf.function(functools.partial(steps.global_step, True), jit_compile=True, autograph=False)
        step = functools.partial(compiled, fraction=tf.constant(1.0), stop=tf.constant(0.0))
        folded = tf.function(probabilities.folded(network), jit_compile=True, autograph=False)
        predict = lambda x: tf.sigmoid(folded(x)).numpy()  # noqa: E731

    def train():
        precision.use(number_format)
        return float(step(images, masks)[0])

    return train, predict


def speeds(batch, rounds):
    """{name: (training, predicting a batch, predicting one image)}, images a second."""
    images, masks = phantoms(batch, SIZE)
    tensors = (tf.constant(images), tf.constant(masks))
    times = {}
    variants = {}
    for xla in (False, True):
        for policy in ("float32", "mixed_bfloat16"):
            variants[f"Keras {policy}{' XLA' * xla}"] = functools.partial(of_keras, policy, xla)
        for number_format in ("float32", "bfloat16")[: 1 if xla else 2]:  # XLA's graphs are not rewritten
            variants[f"ours {number_format}{' XLA' * xla}"] = functools.partial(of_ours, number_format, xla)
    calls = {name: make(*tensors) for name, make in variants.items()}
    for turn in range(rounds + 1):  # the first one warms up
        for name, (train, predict) in calls.items():
            measured = [seconds(train), *(seconds(functools.partial(predict, x)) for x in (images, images[:1]))]
            if turn:
                times.setdefault(name, []).append(measured)
    return {
        name: [n / statistics.median(t) for n, t in zip((batch, batch, 1), zip(*rows, strict=True), strict=True)]
        for name, rows in times.items()
    }


def seconds(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def last_loss(number_format, policy=None, batch=16, distinct=10):
    """The mean loss of the last ten of 50 steps of train.py."""
    images, masks = (tf.constant(x.reshape(distinct, batch, *x.shape[1:])) for x in phantoms(distinct * batch, SMALL))
    network = built(number_format, SMALL, policy)
    steps = training_steps.Loop(network, config.Settings(loss=LOSS), tf.distribute.get_strategy())
    for place in range(STEPS):
        if place == STEPS - 10:
            steps.reset()
        steps.step(images[place % distinct], masks[place % distinct], place, STEPS, 1.0)
    return steps.results()["loss"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=16)
    args = parser.parse_args()
    print(f"the default here: {precision.resolve('auto')}; images/s, median of {args.rounds}, batches of {args.batch}")
    print(LINE.format("", "training", "", "predicting", "", "one image", ""))
    found = speeds(args.batch, args.rounds)
    plain = found["Keras float32"]
    for name, rates in found.items():
        cells = [
            text for rate, base in zip(rates, plain, strict=True) for text in (f"{rate:.1f}", f"{rate / base:.2f}")
        ]
        print(LINE.format(name, *cells), flush=True)
    print(f"\nloss after {STEPS} steps of {SMALL} x {SMALL}")
    exact = last_loss("float32")
    print(f"{'float32':24}{exact:9.4f}")
    for name, value in (
        ("bfloat16", last_loss("bfloat16")),
        ("mixed_bfloat16", last_loss("float32", "mixed_bfloat16")),
        ("float16", last_loss("float16")),
    ):
        print(f"{name:24}{value:9.4f}{value / exact:9.4f}")


if __name__ == "__main__":
    main()
