"""The training steps of AdSTNet and JAAL-Net: by hand, on two devices, in half precision, saved and loaded."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from discs import disc
from lives import argv

import config
import evaluate
import model
import train
from compute.updates import GlobalBatchOptimizer
from inference.predictor import load_predictor
from loss import BCE, Dice
from models.adstnet import AdSTNet, labels_from_mask
from models.jaal_net import JAALNet, da_net
from models.layers import conv_norm_relu, logits
from models.training_step import Below
from training import steps as training_steps
from training.score_metrics import ImageScore

pytestmark = pytest.mark.usefixtures("graphs_as_traced")
SIZE = 16
NAMES = ("adstnet", "jaal_net")


def build(name, **options):
    """A tiny network with its own step, the same in every run."""
    keras.utils.set_random_seed(0)
    if name == "adstnet":
        return AdSTNet(plain(3), width=8, **options)
    return JAALNet(plain(4), da_net((SIZE, SIZE, 3), width=8), **options)


def plain(channels, height=SIZE, width=SIZE):
    """Two convolutions, image -> logits."""
    inputs = keras.Input((height, width, channels))
    return keras.Model(inputs, logits(conv_norm_relu(inputs, 4, "first"), 1), name="plain")


def data(network, batches=(4,), seed=0):
    """Batches of discs as the network wants them: images and masks, or labels made of these."""
    random = np.random.default_rng(seed)
    pairs = [[disc(random, SIZE, SIZE) for _ in range(count)] for count in batches]
    pairs = [[np.stack(part).astype("float32") for part in zip(*pair, strict=True)] for pair in pairs]
    channels = network.input_shape[-1]
    pairs = [(np.pad(x / 127.5 - 1, [(0, 0)] * 3 + [(0, channels - 3)]), y) for x, y in pairs]
    kinds = [tf.TensorSpec((None, SIZE, SIZE, n), "float32") for n in (channels, 1)]
    result = tf.data.Dataset.from_generator(lambda: pairs, output_signature=tuple(kinds))
    return result.map(lambda x, y: (x, network.labels(y))).apply(tf.data.experimental.assert_cardinality(len(batches)))


def compiled(network, optimizer=None, **options):
    optimizer = optimizer or keras.optimizers.Adam(1e-3, epsilon=1e-3)
    dice = ImageScore("dice")
    network.compile(optimizer=optimizer, loss=BCE(), weighted_metrics=[dice], jit_compile=False, **options)
    return network


def state(network):
    """All weights and the state of all optimizers."""
    variables = [*network.weights, *(v for o in network.optimizers for v in o.variables)]
    return [np.array(v.numpy(), "float32") for v in variables]


def bce(target, logits):
    """Mean cross-entropy, by NumPy."""
    logits = np.asarray(logits, "float64")
    return float(np.mean(np.logaddexp(0, logits) - target * logits))


# === AdSTNet ===


def test_adstnet_labels_are_those_of_each_mask():
    network = build("adstnet")
    labels = next(iter(data(network, (3,))))[1]
    assert set(labels) == {"mask", "core", "edge"}
    assert {value.dtype for value in labels.values()} == {tf.float32}
    for mask, core, edge in zip(labels["mask"], labels["core"], labels["edge"], strict=True):
        expected = labels_from_mask(mask.numpy()[..., 0].astype("uint8"))
        np.testing.assert_array_equal(core[..., 0], expected[0])
        np.testing.assert_array_equal(edge[..., 0], expected[1])


def test_adstnet_loss_by_hand():
    network = compiled(build("adstnet", core_weight=2.0, edge_weight=0.5, backbone_weight=3.0))
    images, labels = next(iter(data(network)))
    logs = network.evaluate(data(network), return_dict=True, verbose=0)
    maps = network(images)
    terms = [bce(labels[label], maps[m]) for label, m in zip(("core", "edge", "mask", "mask"), maps, strict=True)]
    names = ("core_loss", "edge_loss", "binary_loss", "backbone_loss")
    np.testing.assert_allclose([logs[name] for name in names], terms, rtol=1e-5)
    assert logs["loss"] == pytest.approx(np.dot((2, 0.5, 1, 3), terms), rel=1e-5)
    dice = ImageScore("dice")
    dice.update_state(labels["mask"], maps["logits"])
    assert logs["dice"] == pytest.approx(float(dice.result()))


def test_adstnet_step_is_the_gradient_of_its_loss():
    network = compiled(build("adstnet"), keras.optimizers.SGD(0.1))
    images, labels = next(iter(data(network)))
    twin = build("adstnet")
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    with tf.GradientTape() as tape:
        maps = twin(images, training=True)
        targets = {"core": labels["core"], "edge": labels["edge"], "binary": labels["mask"], "logits": labels["mask"]}
        total = sum(loss(targets[name], maps[name]) for name in maps)
    gradients = tape.gradient(total, twin.trainable_variables)
    keras.optimizers.SGD(0.1).apply(gradients, twin.trainable_variables)
    network.fit(data(network), verbose=0)
    for ours, theirs in zip(network.weights, twin.weights, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


@pytest.mark.parametrize("backbone", ["as_net", "attributes_attention_unet"])
def test_adstnet_wraps_a_network_and_gives_it_back(backbone, tmp_path):
    options = {"weights": "none"} if backbone == "as_net" else {"width": 4, "classes": 1}
    network = model.build("adstnet", (32, 32, 3), backbone=backbone, **options)
    alone = model.build(backbone, (32, 32, 3), **{"classes": 1, **options})
    network.deploy().save(tmp_path / "bare.keras")
    loaded = model.load(tmp_path / "bare.keras")
    assert [layer.name for layer in loaded.layers] == [layer.name for layer in alone.layers]
    assert loaded.count_params() == alone.count_params() == network.count_params() - 3930 - 128  # statistics
    image = np.random.RandomState(0).rand(1, 32, 32, 3).astype("float32")
    np.testing.assert_allclose(loaded(image), network(image)["logits"], atol=1e-6)


# === JAAL-Net ===


def by_hand(network, images, masks, rate):
    """One step of both networks by plain gradient descent, from the text of the paper; returns the values logged."""
    generator, judge = network.deploy(), network.discriminator
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    pixels, true = images[..., :3], 2 * masks - 1
    with tf.GradientTape() as drawing:
        drawn = 2 * tf.sigmoid(generator(images, training=True)) - 1
        with drawing.stop_recording():
            with tf.GradientTape() as judging:
                on_true = judge(tf.concat([pixels, true], -1))
                on_drawn = judge(tf.concat([pixels, drawn], -1))
                d_loss = 0.5 * (loss(tf.ones_like(on_true), on_true) + loss(tf.zeros_like(on_drawn), on_drawn))
            descend(judging, d_loss, judge, rate)
        deceived = judge(tf.concat([pixels, drawn], -1))
        difference = tf.tile(drawn - true, (1, 1, 1, 3))  # the three equal channels of the original
        l1 = tf.reduce_mean(tf.abs(difference))
        epe = tf.reduce_mean(tf.norm(difference + 1e-12, axis=-1))
        adversarial = loss(tf.ones_like(deceived), deceived)
        g_loss = adversarial + 100 * l1 + 50 * epe
    descend(drawing, g_loss, generator, rate)
    opinions = (tf.reduce_mean(tf.sigmoid(x)) for x in (on_true, on_drawn))
    return [float(x) for x in (g_loss, d_loss, *opinions, adversarial, l1, epe)]


def descend(tape, loss, network, rate):
    variables = network.trainable_variables
    for variable, gradient in zip(variables, tape.gradient(loss, variables), strict=True):
        variable.assign_sub(rate * gradient)


def test_jaal_net_step_by_hand():
    network, twin = compiled(build("jaal_net"), keras.optimizers.SGD(1e-3)), build("jaal_net")
    images, masks = next(iter(data(network)))
    history = network.fit(data(network), verbose=0).history
    expected = by_hand(twin, images, masks, 1e-3)
    names = ("loss", "discriminator_loss", "d_real", "d_fake", "adversarial", "l1", "epe")
    np.testing.assert_allclose([history[name][0] for name in names], expected, rtol=1e-5)
    for ours, by_paper in zip(network.weights, twin.weights, strict=True):
        np.testing.assert_allclose(ours, by_paper, atol=1e-6)


def test_jaal_net_is_its_generator():
    network = model.build("jaal_net", (32, 32, 3), width=4, discriminator_width=8)
    alone = model.build("lf_net", (32, 32, 3), width=4)
    bare = network.deploy()
    assert bare.name == "lf_net" and type(bare) is not JAALNet
    assert [layer.name for layer in bare.layers] == [layer.name for layer in alone.layers]
    parts = alone.count_params(), network.discriminator.count_params()
    assert (bare.count_params(), network.count_params()) == (parts[0], sum(parts))
    assert [v.path for v in network.generator_variables] == [v.path for v in bare.trainable_variables]


def test_alarms_of_a_discriminator_that_wins_and_a_generator_that_collapses():
    def alarms(network):
        logs = compiled(network).evaluate(data(network), return_dict=True, verbose=0)
        return logs["discriminator_wins"], logs["generator_collapsed"]

    network = build("jaal_net")
    assert alarms(network) == (0, 0)
    pair = keras.Input((SIZE, SIZE, 4))
    knows = keras.Model(pair, 40 * (keras.ops.abs(pair[..., 3:]) - 0.9))  # true masks are -1 and 1, drawn ones between
    assert alarms(JAALNet(network.deploy(), knows)) == (1, 0)
    network.get_layer("head").bias.assign([-1e4])
    assert alarms(network) == (0, 1)


def test_an_alarm_is_on_while_the_mean_is_below_its_bound():
    alarm = Below("low", 0.5)
    assert alarm.result() == 0  # nothing seen yet
    alarm.update_state([0.2, 0.6])
    assert alarm.result() == 1
    alarm.update_state([0.9])
    assert alarm.result() == 0
    assert Below.from_config(alarm.get_config()).bound == 0.5


# === Both ===


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_two_devices_step_as_one(name):
    """Five steps of train.py's loop, some batches uneven, one too small for two: the weights and logs of one device."""
    states, logs = [], []
    settings = config.Settings(model=name, loss="bce", sync_batch_norm=True)
    pair = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"], tf.distribute.ReductionToOneDevice())
    for strategy in (tf.distribute.get_strategy(), pair):
        with strategy.scope():
            optimizer = keras.optimizers.Adam(1e-3, epsilon=1e-3, global_clipnorm=0.1)
            network = compiled(build(name), GlobalBatchOptimizer(optimizer))
            network.optimizer.build(network.trainable_variables)
            steps = training_steps.Loop(network, settings, strategy)
            for place, batch in enumerate(data(network, (4, 3, 4, 4, 1))):
                steps.step(*batch, place, 5, 1.0)
            results = steps.results()
        logs.append([results[key] for key in sorted(results)])
        states.append(state(network))
    np.testing.assert_allclose(*logs, rtol=1e-5)
    for one, two in zip(*states, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "mixed_bfloat16"])
def test_every_precision_trains_and_is_saved_with_its_optimizers(name, policy, tmp_path):
    """By `fit`, with a schedule and several steps an execution."""
    keras.config.set_dtype_policy(policy)
    try:
        schedule = keras.optimizers.schedules.CosineDecay(1e-2, 8)
        network = compiled(build(name), keras.optimizers.Adam(schedule), steps_per_execution=2)
        losses = network.fit(data(network, (4,) * 4), epochs=1, verbose=0).history["loss"]
        network.save(tmp_path / "half.keras")
        twin = keras.saving.load_model(tmp_path / "half.keras")
    finally:
        keras.config.set_dtype_policy("float32")
    for ours, theirs in zip(state(network), state(twin), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    losses += network.fit(data(network, (4,) * 4), epochs=1, verbose=0).history["loss"]
    assert np.isfinite(losses).all() and losses[1] < losses[0]
    assert len(network.optimizers) == (2 if name == "jaal_net" else 1)
    for optimizer in network.optimizers:
        scaled = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
        assert scaled == (policy == "mixed_float16")
        assert int(optimizer.iterations) == 8 or scaled  # loss scaling leaves out steps that overflow
        assert float(optimizer.learning_rate) < 1e-2 * (0.9 if scaled else 1e-4)


def test_overlap_losses_on_the_backbones_map():
    network = build("adstnet")
    network.compile(optimizer="adam", loss=Dice(), jit_compile=False)
    images, labels = next(iter(data(network)))
    logs = network.evaluate(data(network), return_dict=True, verbose=0)
    expected = float(np.mean(Dice().call(labels["mask"], network(images)["logits"])))
    assert logs["backbone_loss"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow
def test_what_was_trained_is_evaluated(discs, tmp_path, monkeypatch):
    """The backbone and the head of AdSTNet, and JAAL-Net's generator."""
    networks = {
        "adstnet": {"backbone": "unet", "width": 4, "depth": 1},
        "jaal_net": {"width": 4, "discriminator_width": 4},
    }
    for name, options in networks.items():
        folder = tmp_path / "checkpoint_best" / name
        kind = model.REGISTRY[name].normalization
        config.save(config.Settings(run=name, model=name, data=str(discs), normalize=kind), folder / "settings.yaml")
        network = model.build(name, (32, 48, 3), **options)
        network.save(folder / "training.keras")
        network.deploy().save(folder / "model.keras")
    monkeypatch.chdir(tmp_path)
    for run, part in (("adstnet", "backbone"), ("adstnet", "head"), ("jaal_net", "backbone")):
        evaluate.main(["--run", run, "--split", "test", "--at", "network", "--output", part])
    with pytest.raises(SystemExit, match="run 'jaal_net' was not trained with a head: score it with --part backbone"):
        evaluate.main(["--run", "jaal_net", "--part", "head"])
    scores = [
        json.loads((tmp_path / f"output/{run}/test_network/metrics.json").read_text())
        for run in ("adstnet", "adstnet_head")
    ]
    assert scores[0]["per_image"] != scores[1]["per_image"]
    assert (tmp_path / "output/jaal_net/test_network/metrics.json").is_file()


def test_what_is_imported_is_what_is_deployed(tmp_path, monkeypatch):
    """Weights of AdSTNet and JAAL-Net become the network that predicts, without head and adversary."""
    monkeypatch.setattr(model, "load_torch_weights", lambda network, path: 1)
    networks = {
        "adstnet": ["backbone=unet", "width=2", "depth=1"],
        "jaal_net": ["width=2", "discriminator_width=4"],
    }
    for name, options in networks.items():
        arguments = [part for option in options for part in ("--option", option)]
        file = tmp_path / f"{name}.keras"
        model.main(["import", "a.pth", "--model", name, "--input_shape", "32x48x3", *arguments, "--out", str(file)])
        masks, probabilities = load_predictor(file)(np.zeros((40, 50, 3), np.uint8))
        assert masks.shape == probabilities.shape == (40, 50, 1)


def test_a_board_that_cannot_be_written_is_said(discs, tmp_path, monkeypatch):
    """As on a full disk: what TensorFlow raises then is no OSError."""
    monkeypatch.chdir(tmp_path)

    def full(folder):
        raise tf.errors.UnknownError(None, None, "Could not initialize\nevents writer.")

    monkeypatch.setattr(tf.summary, "create_file_writer", full)
    message = r"error: output/run/tensorboard cannot be written \(Could not initialize events writer.\): disk full"
    with pytest.raises(SystemExit, match=message):
        train.main(argv(discs, "run", "--epochs", "1"))


def test_the_head_of_an_earlier_run_is_removed(discs, tmp_path, monkeypatch):
    """A name that is trained anew without a head has none."""
    monkeypatch.chdir(tmp_path)
    old = tmp_path / "checkpoint_best/run/training.keras"
    old.parent.mkdir(parents=True)
    old.write_bytes(b"of an earlier run")
    train.main(argv(discs, "run", "--epochs", "1"))
    assert (old.parent / "model.keras").is_file() and not old.exists()


@pytest.mark.parametrize("name", ["isic18_adstnet", "busi_adstnet", "kvasir_adstnet", "isbi16_jaal_net"])
def test_the_published_settings_are_of_networks_there_are(name):
    settings = config.load(Path(__file__).parents[2] / "configs" / f"{name}.yaml")
    assert set(settings.options) <= set(model.REGISTRY[settings.model].defaults())
    assert Path(settings.data).name == settings.data
    if settings.model == "adstnet":
        published = (1e-4, 3e-4, "cosine", 1e-6, 200, 4)
    else:
        published = (1e-4, 0, "cosine", 0, 300, 16)
    names = ("learning_rate", "weight_decay", "schedule", "final_rate", "epochs", "batch_size")
    assert tuple(getattr(settings, key) for key in names) == published
