"""Training in bfloat16 with depthwise convolutions in bfloat16, or in float32 as train.py has it: images a second.

    python benchmarks/depthwise.py [--size 128] [--networks efficientnet_unet,unext]      # 4 minutes on two CPU cores

The choice is made before TensorFlow starts, so each is a process of its own; they take turns. Steps of 16 random images
and masks, random weights; the median of each, and their ratio.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

NETWORKS = ("efficientnet_unet", "attributes_convnext_unet", "unext")
VARIABLE = "TF_AUTO_MIXED_PRECISION_GRAPH_REWRITE_ALLOWLIST_REMOVE"
BATCH = 16
WARM = 4  # steps
STEPS = 12
ROUNDS = 2


def measured(name, size):
    """Seconds of each step of a network, in this process."""
    from utils.startup import start_tensorflow

    start_tensorflow()
    import keras
    import tensorflow as tf

    import config
    import loss
    import model
    from compute import precision
    from compute.updates import GlobalBatchOptimizer
    from training.steps import Loop

    precision.use("bfloat16")
    network = model.untrained(name, (size, size, 3))
    network.compile(GlobalBatchOptimizer(keras.optimizers.AdamW(1e-3)), loss.from_spec("bce + dice"), jit_compile=False)
    network.optimizer.build(network.trainable_variables)
    loop = Loop(network, config.Settings(model=name, loss="bce + dice"), tf.distribute.get_strategy())
    images = tf.random.stateless_uniform((BATCH, size, size, 3), (1, 2))
    masks = tf.cast(tf.random.stateless_uniform((BATCH, *network.output_shape[1:]), (3, 4)) > 0.6, "float32")
    seconds = []
    for step in range(WARM + STEPS):
        start = time.perf_counter()
        float(loop.step(images, masks, step, WARM + STEPS, 1.0)[0])  # waits for the end
        seconds.append(time.perf_counter() - start)
    return seconds[WARM:]


def in_a_process(name, size, removed):
    """`measured` with these operations taken from those that become bfloat16; None for train.py's choice."""
    environment = {key: value for key, value in os.environ.items() if key != VARIABLE}
    environment |= {} if removed is None else {VARIABLE: removed}
    command = [sys.executable, __file__, "--size", str(size), "--one", name]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return [float(value) for value in done.stdout.split()]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--networks", default=",".join(NETWORKS))
    parser.add_argument("--one", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(*measured(given.one, given.size))
        return
    print(f"{'network':26}{'bfloat16':>10}{'float32':>10}{'ratio':>8}")
    for name in given.networks.split(","):
        seconds = {"": [], None: []}
        for _ in range(ROUNDS):
            for removed, taken in seconds.items():
                taken += in_a_process(name, given.size, removed)
        half, full = (BATCH / statistics.median(taken) for taken in seconds.values())
        print(f"{name:26}{half:10.1f}{full:10.1f}{full / half:8.2f}", flush=True)


if __name__ == "__main__":
    main()
