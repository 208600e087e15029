"""Number formats: the default of a machine, what stays float32, and losses that agree."""

import functools
import re
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from discs import disc

import config
import loss
import model
import train
from compute import precision
from compute.updates import GlobalBatchOptimizer
from models.training_step import TrainingModel, deployed
from training import steps as training_steps

SIZE, BATCH, STEPS = 16, 8, 50
FORMATS = ("float32", "bfloat16", "float16")


def batches(count=10):
    random = np.random.default_rng(0)
    pairs = [[disc(random, SIZE, SIZE) for _ in range(BATCH)] for _ in range(count)]
    return [[tf.constant(np.stack(part), tf.float32) for part in zip(*pair, strict=True)] for pair in pairs]


def steps_of(name):
    """A small U-Net in a format, and train.py's loop around it, the same in each."""
    keras.utils.set_random_seed(0)
    precision.use(name)
    network = model.build("unet", (SIZE, SIZE, 3), width=4, depth=2)
    optimizer = keras.optimizers.Adam(3e-3)
    optimizer = keras.optimizers.LossScaleOptimizer(optimizer) if name == "float16" else optimizer
    network.compile(GlobalBatchOptimizer(optimizer), auto_scale_loss=False, jit_compile=False)
    network.optimizer.build(network.trainable_variables)
    settings = config.Settings(model="unet", loss="bce + dice", precision=name)
    return training_steps.Loop(network, settings, tf.distribute.get_strategy())


@pytest.fixture(scope="module")
def losses():
    """Of the last ten of 50 steps, the mean, in each format."""
    data, means = batches(), {}
    for name in FORMATS:
        steps = steps_of(name)
        for place in range(STEPS):
            if place == STEPS - len(data):
                steps.reset()
            images, masks = data[place % len(data)]
            steps.step(images / 255, masks, place, STEPS, 1.0)
        means[name] = steps.results()["loss"]
    precision.use("float32")
    return means


@pytest.mark.parametrize("name", FORMATS[1:])
def test_fifty_steps_end_as_in_float32(losses, name):
    assert losses["float32"] < 0.8  # it begins at 1.4
    assert losses[name] == pytest.approx(losses["float32"], rel=0.02)
    assert losses[name] != losses["float32"]


def bits(values):
    """How many of the 23 bits of the mantissas are in use."""
    used = np.bitwise_or.reduce(np.asarray(values, np.float32).ravel().view(np.uint32)) & (2**23 - 1)
    return 23 - (int(used) & -int(used)).bit_length() + 1 if used else 0


def test_what_the_rewriting_leaves_in_float32():
    """The products are bfloat16, of 7 bits; the loss and the optimizer's means of the gradients are not."""
    images, masks = batches(1)[0]
    steps = steps_of("bfloat16")
    assert bits(tf.function(steps.network, autograph=False)(images / 255)) == 7
    state = [v for v in steps.network.optimizer.variables if "momentum" in v.path]
    for _ in range(2):
        value = steps.step(images / 255, masks, 0, 1, 1.0)[0]
    assert bits(value) > 12
    assert all(bits(v) > 7 for v in state if v.shape.num_elements() > 1)
    assert {w.dtype for w in steps.network.weights} == {"float32"}


def test_depthwise_convolutions_and_their_gradients_are_float32():
    """Which are slower in bfloat16."""
    precision.use("bfloat16")
    images = tf.random.stateless_uniform((2, 16, 16, 8), (1, 2))
    layer = keras.layers.DepthwiseConv2D(3)
    layer.build(images.shape)

    @tf.function(autograph=False)
    def step(images):
        with tf.GradientTape() as tape:
            tape.watch(images)
            total = tf.reduce_sum(layer(images) ** 2)
        return layer(images), *tape.gradient(total, [images, layer.kernel.value])

    assert all(bits(x) > 12 for x in step(images))


PRODUCTS = ("Conv2D", "DepthwiseConv2d", "MatMul", "BatchMatMul", "Einsum")  # how what may be bfloat16 begins
SMALL = {"weights": "none", "width": 8, "blocks": (1, 1, 1, 1), "discriminator_width": 8}


@functools.cache
def traced(name):
    """(train.py's loop around a small network of the registry, its training step as a function, a batch for it)."""
    keras.utils.set_random_seed(0)
    entry = model.REGISTRY[name]
    options = {key: value for key, value in SMALL.items() if key in entry.defaults()}
    options |= {"width": 8} if entry.takes_backbone() else {}
    size = (2 * entry.divisor, 2 * entry.divisor)
    network = model.build(name, (*size, 3), **options)
    network.compile(GlobalBatchOptimizer(keras.optimizers.SGD()), loss.from_spec("bce"), auto_scale_loss=False)
    network.optimizer.build(network.trainable_variables)
    steps = training_steps.Loop(network, config.Settings(model=name, loss="bce"), tf.distribute.get_strategy())
    images = tf.random.stateless_uniform((2, *network.input_shape[1:]), (1, 2))
    masks = tf.random.stateless_uniform((2, *deployed(network).output_shape[1:]), (3, 4)) > 0.7
    masks = tf.cast(masks, tf.float32)
    labels = network.labels(masks) if isinstance(network, TrainingModel) else masks
    step = tf.function(lambda images, labels: steps.global_step(True, images, labels, 1.0, 0.0), autograph=False)
    return steps, step, (images, labels)


def changed(concrete, stop):
    """The variables, by their handles' ids, that are given what products made, but for what came through `stop`.

    concrete: traced function. stop: a type of operations.
    """
    left, seen = [op for op in concrete.graph.get_operations() if op.type.startswith(PRODUCTS)], set()
    while left:
        op = left.pop()
        if op.type != stop and op not in seen:
            seen.add(op)
            left.extend(consumer for output in op.outputs for consumer in output.consumers())
    handles = concrete.captured_inputs
    by_name = dict(zip((tensor.name for tensor in concrete.inputs[-len(handles) :]), map(id, handles), strict=True))
    return {by_name[op.inputs[0].name] for op in seen if op.type.startswith("Assign")}


@pytest.mark.slow
@pytest.mark.parametrize("name", model.names())
def test_bfloat16_ends_before_loss_metrics_and_updates(name):
    """What the rewriting may make bfloat16 begins at a product and ends, at the latest, at the operation it leaves."""
    steps, step, batch = traced(name)
    concrete = step.get_concrete_function(*batch)
    network, loss_mean = steps.network, steps.training_metrics[0]
    statistics, weights, total = (
        {id(v.value.handle) for v in variables}  # of batch norms; of all layers; of the mean loss
        for variables in (network.non_trainable_variables, network.trainable_variables, loss_mean.variables[:1])
    )
    assert changed(concrete, "PlaceholderWithDefault") <= statistics  # which the kernel gives in float32
    assert changed(concrete, "no such operation") >= weights | total


def test_the_loss_of_a_network_that_ends_in_a_batch_norm_is_float32():
    _, step, batch = traced("as_net")
    precision.use("bfloat16")
    assert bits(step(*batch)[0]) > 12


def test_the_default_is_what_the_machine_knows(monkeypatch, tmp_path):
    monkeypatch.setattr(precision, "CPUINFO", tmp_path / "cpuinfo")
    assert precision.resolve("auto") == "float32"
    for flags, expected in (("fma avx512_bf16 rdpid", "bfloat16"), ("amx_bf16", "bfloat16"), ("avx512f", "float32")):
        precision.CPUINFO.write_text(f"processor : 0\nflags : fpu {flags}\n")
        assert precision.resolve("auto") == expected
        assert precision.resolve("float16") == "float16"
    precision.CPUINFO.write_text("flags : avx512_bf16")
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [kind])
    assert precision.resolve("auto") == "float32"


def test_a_run_keeps_the_precision_it_began_with(discs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(precision, "CPUINFO", tmp_path / "cpuinfo")
    precision.CPUINFO.write_text("flags : avx512_bf16")
    argv = ["--data", str(discs), "--model", "unet", "--options", "{width: 2, depth: 1}", "--loss", "bce"]
    argv += ["--normalize", "unit", "--run", "half"]
    end_epoch, training = train.trainer.Training.end_epoch, []

    def dies(self, number):
        end_epoch(self, number)
        training.append(self.settings.precision)
        if len(training) == 1:
            raise SystemError

    monkeypatch.setattr(train.trainer.Training, "end_epoch", dies)
    with pytest.raises(SystemError):
        train.main([*argv, "--epochs", "2"])
    assert config.load("checkpoint/half/settings.yaml").precision == "bfloat16"
    precision.CPUINFO.unlink()  # another machine
    with pytest.raises(SystemExit, match=re.escape("was trained with precision bfloat16, now it is float32")):
        train.main([*argv, "--epochs", "2", "--resume", "--precision", "float32"])
    train.main([*argv, "--epochs", "2", "--resume"])
    assert training == ["bfloat16", "bfloat16"] and Path("checkpoint_best/half/settings.yaml").is_file()
