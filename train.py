"""Step 2: train a network of the registry on prepared arrays.

    python train.py                                        # AS-Net as published, on dataset_isic18
    python train.py --config configs/isic18_cpu.yaml       # a U-Net that two CPU cores can train in 25 minutes
    python train.py --config configs/isic18_cpu.yaml --run mine --epochs 10 --learning_rate 1e-3
    python train.py --config configs/isic18_cpu.yaml --resume
    python train.py --help                                 # every setting

Writes, for the run NAME (default: the configuration file's name, else the network's):

    checkpoint/NAME/epoch_0007.keras   after each epoch: network, optimiser and losses, to go on from
    checkpoint_best/NAME/model.keras   the network of the best epoch (setting `monitor`), to evaluate and deploy
    …/settings.yaml                    beside both: the settings it was trained with
    output/NAME/log.csv, progress.png  losses, per-image mean Dice and Jaccard, learning rate and speed of each epoch

Every GPU is used when there are several. AS-Net on ISIC 2018 at 192 x 256 wants a GPU; the U-Net of width 16 at
128 x 128 trains on 60 images a second on two CPU cores that know bfloat16.
"""

import functools
import math
import os
import resource
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
import keras
import pandas as pd
import tensorflow as tf

import config
import figures
import loss
import metrics
import model
import pipeline
from datasets.prepared import open_split
from optimizers import AdamL2

HIGHER_IS_BETTER = {"val_loss": False, "val_dice": True, "val_jaccard": True, "epoch": True}


# === Set-up ===


def devices():
    """The strategy to build under: all GPUs when TensorFlow sees several, else the default one."""
    several = keras.backend.backend() == "tensorflow" and len(tf.config.list_physical_devices("GPU")) > 1
    return tf.distribute.MirroredStrategy() if several else tf.distribute.get_strategy()


def set_precision(precision):
    """Choose the number format of convolutions and matrix products.

    bfloat16 on CPUs is left to oneDNN's rewriting of the graph: as fast as Keras's policy, and the saved network stays
    float32. Everywhere else it is Keras's mixed-precision policy.
    """
    on_cpu = keras.backend.backend() == "tensorflow" and not tf.config.list_physical_devices("GPU")
    rewrite = on_cpu and precision == "bfloat16"
    tf.config.optimizer.set_experimental_options({"auto_mixed_precision_onednn_bfloat16": rewrite})
    mixed = precision != "float32" and not rewrite
    keras.mixed_precision.set_dtype_policy(f"mixed_{precision}" if mixed else "float32")


def fuse_batch_norm(network):
    """Let TensorFlow's fused kernel compute the batch norms in training; nothing else of the network changes.

    Keras 3 builds batch normalisation from separate products, sums and means, which cost U-Net 16 a third of its step
    on CPUs. The fused kernel gives the same output; its running variance is the unbiased one, as in PyTorch.
    """
    if keras.backend.backend() == "tensorflow":
        for layer in network.layers:
            if type(layer) is keras.layers.BatchNormalization and layer.scale and layer.center:
                layer.call = functools.partial(_fused_call, layer, layer.call)


def _fused_call(layer, unfused, x, training=None, mask=None):
    if not training or not layer.trainable:
        return unfused(x, training=training, mask=mask)
    gamma, beta = (tf.convert_to_tensor(w) for w in (layer.gamma, layer.beta))
    y, mean, variance = tf.compat.v1.nn.fused_batch_norm(x, gamma, beta, epsilon=layer.epsilon, is_training=True)[:3]
    for moving, batch in ((layer.moving_mean, mean), (layer.moving_variance, variance)):
        moving.assign(moving * layer.momentum + batch * (1 - layer.momentum))
    return y


def optimizer(settings, steps):
    """The optimiser of the settings; `steps` is the number of updates in the whole run."""
    rate = settings.learning_rate
    if settings.schedule == "cosine":
        rise = min(settings.warmup_steps, steps - 1)
        rate = keras.optimizers.schedules.CosineDecay(
            0.0 if rise else rate,
            steps - rise,
            alpha=settings.final_rate / rate if rate else 0.0,
            warmup_target=rate if rise else None,
            warmup_steps=rise,
        )
    if settings.optimizer == "adamw":
        return keras.optimizers.AdamW(rate, weight_decay=settings.weight_decay, beta_1=settings.beta_1)
    if settings.weight_decay:
        return AdamL2(rate, l2=settings.weight_decay, beta_1=settings.beta_1)
    return keras.optimizers.Adam(rate, beta_1=settings.beta_1)


def compiled(settings, split, steps):
    """The network of the settings for the images and classes of a split, compiled."""
    options = dict(settings.options)
    if "classes" in model.REGISTRY[settings.model].defaults():
        options.setdefault("classes", len(split.classes))
    if settings.weights is not None:
        options["weights"] = settings.weights
    network = model.build(settings.model, input_shape=split.images.shape[1:], **options)
    if settings.mixup and hasattr(network, "deploy"):
        raise ValueError(f"{settings.model} learns from masks of {{0, 1}}, and mixup makes soft ones: use cutmix")
    if isinstance(network.output, dict):
        raise ValueError(f"{settings.model} gives several maps and needs a training step that is not there yet")
    if network.output_shape[1:] != split.masks.shape[1:]:
        raise ValueError(
            f"{settings.model} gives maps of {network.output_shape[1:]}, the masks are {split.masks.shape[1:]}: "
            f"choose other data or other --options (the masks' classes: {', '.join(split.classes)})"
        )
    network.compile(
        optimizer=optimizer(settings, steps),
        loss=loss.build(settings.loss),
        metrics=[metrics.ImageDice(threshold=settings.threshold), metrics.ImageJaccard(threshold=settings.threshold)],
        jit_compile=False if keras.backend.backend() == "tensorflow" else "auto",
    )
    return network


# === What a run keeps and writes ===


class Average(keras.callbacks.Callback):
    """A moving average of all weights, the running statistics of batch norms included, in place while validating.

    Keras's own average leaves the statistics out, and weights that do not belong to them are of no use for epochs.
    `weights`: the average to go on from.
    """

    EVERY = 8  # steps

    def __init__(self, momentum, weights=None):
        super().__init__()
        self.momentum, self.weights = momentum, weights

    def on_train_begin(self, logs=None):
        self.weights = self.weights or self.model.get_weights()

    def on_train_batch_end(self, batch, logs=None):
        if (batch + 1) % self.EVERY:
            return
        if keras.backend.backend() == "jax":
            self.model.jax_state_sync()
        updates = int(self.model.optimizer.iterations) / self.EVERY
        keep = min(self.momentum**self.EVERY, updates / (updates + 10))  # a short memory at first
        for average, weight in zip(self.weights, self.model.get_weights(), strict=True):
            average *= keep
            average += (1 - keep) * weight

    def swap(self):
        """Exchange the network's weights and their average."""
        weights = self.model.get_weights()
        self.model.set_weights(self.weights)
        self.weights = weights

    def on_test_begin(self, logs=None):
        self.swap()

    def on_test_end(self, logs=None):
        self.swap()


class Recorder(keras.callbacks.Callback):
    """After each epoch: the log, its figure, the best network, the checkpoint, in this order and each at once.

    The checkpoint comes last and is the only truth of how far a run is: whatever a run that dies has written after
    its last checkpoint is written again, the same, when it goes on.
    """

    def __init__(self, settings, images, rows=(), average=None):
        super().__init__()
        self.settings, self.images, self.rows, self.average = settings, images, list(rows), average
        self.output = Path("output", settings.run)
        self.output.mkdir(parents=True, exist_ok=True)

    def on_epoch_begin(self, epoch, logs=None):
        self.start = time.perf_counter()

    def on_test_begin(self, logs=None):
        self.trained = time.perf_counter()  # the epoch's own steps end where its validation begins

    def on_epoch_end(self, epoch, logs=None):
        row = {"epoch": epoch + 1, **{name: float(value) for name, value in logs.items()}}
        if not math.isfinite(row["loss"]):
            raise ValueError(
                f"epoch {epoch + 1}: the loss is {row['loss']}; lower --learning_rate, or go on from the epoch before "
                "with --resume"
            )
        row["learning_rate"] = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        row["seconds"] = time.perf_counter() - self.start
        row["images_per_second"] = self.images / (self.trained - self.start)
        self.rows.append(row)
        log = self.output / "log.csv"
        pd.DataFrame(self.rows).to_csv(f"{log}.tmp", index=False)
        os.replace(f"{log}.tmp", log)
        figures.curves(log, self.output / "progress.png", self.settings.run)
        bare = keras.Model(self.model.input, self.model.output, name=self.model.name)  # no loss, no optimiser
        folder = Path("checkpoint", self.settings.run)
        names = [f"epoch_{epoch + 1:04}.keras"]
        if self.average:
            self.average.swap()
            names.append(f"average_{epoch + 1:04}.keras")
            write_network(bare, self.settings, folder / names[1])
        if self.best() is row:
            write_network(bare, self.settings, Path("checkpoint_best", self.settings.run, "model.keras"))
        if self.average:
            self.average.swap()
        write_network(self.model, self.settings, folder / names[0])
        for older in folder.glob("*_????.keras"):
            if older.name not in names:
                older.unlink()

    def best(self):
        """The row of the best epoch so far, the earliest of equals."""
        name = self.settings.monitor
        sign = 1 if HIGHER_IS_BETTER[name] else -1
        return max(self.rows, key=lambda row: -math.inf if math.isnan(row[name]) else sign * row[name])


def write_network(network, settings, file):
    """Save a network, and its settings beside it, each under a temporary name first."""
    config.save(settings, file.parent / "settings.yaml")
    network.save(file.with_name("writing.keras"))
    os.replace(file.with_name("writing.keras"), file)


def last_checkpoint(settings, steps):
    """The network to go on from, with its optimiser, the log rows up to it, and the average of its weights or None.

    Raises:
        FileNotFoundError, ValueError: there is none; it was made with other settings, or by other data.
    """
    folder = Path("checkpoint", settings.run)
    files = sorted(folder.glob("epoch_*.keras"))
    if not files:
        raise FileNotFoundError(f"nothing to resume in '{folder}': start the run without --resume")
    before = config.load(folder / "settings.yaml")
    for name in config.NAMES:
        if getattr(before, name) != getattr(settings, name):
            raise ValueError(
                f"run '{settings.run}' was trained with {name} {getattr(before, name)}, now it is "
                f"{getattr(settings, name)}: resume with the same settings, or start another --run"
            )
    done = int(files[-1].stem.removeprefix("epoch_"))
    network = keras.saving.load_model(files[-1])
    skipped = done * steps - int(network.optimizer.iterations)
    if skipped and settings.precision != "float16":  # loss scaling leaves out steps that overflow
        raise ValueError(f"'{folder}' was trained on another number of images: resume with the data it began with")
    log = Path("output", settings.run, "log.csv")
    rows = pd.read_csv(log).to_dict("records")[:done] if log.is_file() else []
    if len(rows) < done:
        raise FileNotFoundError(f"'{log}' does not hold the {done} epochs of '{folder}': start another --run")
    average = files[-1].with_name(files[-1].name.replace("epoch", "average"))
    return network, rows, keras.saving.load_model(average).get_weights() if settings.ema else None


# === The run ===


def train(settings, resume=False):
    """Train as the settings say; returns the log as a list of rows, one per epoch.

    Raises:
        FileNotFoundError, ValueError, FileExistsError: data, settings or checkpoints that do not fit.
    """
    # 1. data
    if settings.model not in model.REGISTRY:
        raise ValueError(f"no network named '{settings.model}'; there are: {', '.join(model.names())}")
    settings.normalize = settings.normalize or model.REGISTRY[settings.model].normalization
    images, validation = open_split(settings.data, "train"), open_split(settings.data, "val")
    for name, split in (("train", images), ("val", validation)):
        if split.masks is None:
            raise ValueError(f"{settings.data}: the {name} split has no masks: prepare it with its ground truth")
    steps = pipeline.steps_per_epoch(images, settings)
    if not resume and any(Path("checkpoint", settings.run).glob("epoch_*.keras")):
        raise FileExistsError(f"run '{settings.run}' exists: go on with --resume, or choose another name with --run")

    # 2. network
    set_precision(settings.precision)
    keras.utils.set_random_seed(settings.seed)
    strategy = devices()
    with strategy.scope():
        if resume:
            network, rows, weights = last_checkpoint(settings, steps)
        else:
            network, rows, weights = compiled(settings, images, steps * settings.epochs), [], None
    fuse_batch_norm(network)
    if len(rows) == settings.epochs:
        raise ValueError(f"run '{settings.run}' is finished, all {settings.epochs} epochs: start another --run")

    # 3. training
    average = Average(settings.ema, weights) if settings.ema else None
    recorder = Recorder(settings, len(images.ids), rows, average)
    print(
        f"{settings.run}: {settings.model}, {network.count_params():,} parameters, {len(images.ids)} images of "
        f"{images.images.shape[1]} x {images.images.shape[2]}, {steps} steps an epoch"
    )
    start = time.perf_counter()
    network.fit(
        pipeline.training(images, settings, len(rows) * steps, fill=strategy.num_replicas_in_sync > 1),
        validation_data=pipeline.evaluation(validation, settings),
        initial_epoch=len(rows),
        epochs=settings.epochs,
        steps_per_epoch=steps,
        callbacks=[average, recorder] if average else [recorder],
        shuffle=False,
        verbose=1 if sys.stdout.isatty() else 2,
    )

    # 4. summary
    best, seconds = recorder.best(), time.perf_counter() - start
    speed = pd.Series([row["images_per_second"] for row in recorder.rows]).median()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"best epoch {best['epoch']}: val_loss {best['val_loss']:.4f}, val_dice {best['val_dice']:.4f}, "
        f"val_jaccard {best['val_jaccard']:.4f}; {seconds:.0f} s, {speed:.1f} images/s, peak memory {memory:.1f} GiB\n"
        f"next: python evaluate.py --run {settings.run} --split test"
    )
    return recorder.rows


def main(argv=None):
    settings, launch = config.parse(argv)
    try:
        train(settings, bool(launch.resume))
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
