"""Which devices a run is computed on: all GPUs, some, several CPU devices for tests, or several machines.

Everything is a tf.distribute strategy: the default one for a single device, MirroredStrategy for several of a machine,
MultiWorkerMirroredStrategy for several machines, each of which is started with the same command but for --worker.
"""

import contextlib
import json
import os

import tensorflow as tf

from compute import private_names
from utils.errors import UserError

PATIENCE = 5  # seconds between two checks of the other workers, and for an answer


class WorkerLost(Exception):
    """Another worker is gone."""


def strategy(launch) -> tf.distribute.Strategy:
    """The strategy that --devices, --workers and --worker (or TF_CONFIG) ask for.

    Raises:
        UserError: there are no such devices, or the workers do not make sense.
    """
    names = _names(launch.devices)
    if launch.workers or "TF_CONFIG" in os.environ:
        return _workers(launch)
    if len(names) == 1:
        return tf.distribute.get_strategy()
    reduction = tf.distribute.ReductionToOneDevice() if names[0].startswith("CPU") else None  # GPUs: NCCL
    return tf.distribute.MirroredStrategy(names, reduction)


def _names(devices):
    """The devices by TensorFlow's names, such as ["GPU:0", "GPU:1"]; others are hidden from it."""
    gpus = tf.config.list_physical_devices("GPU")
    kind, _, number = devices.partition(":")
    if kind == "cpu":
        _configure(lambda: tf.config.set_visible_devices([], "GPU") if gpus else None)
        if not number:
            return ["CPU:0"]
        if not number.isdigit() or int(number) < 1:
            raise UserError(f"--devices {devices}: expected cpu or cpu:N, such as cpu:2")
        one = tf.config.LogicalDeviceConfiguration()
        cpu = tf.config.list_physical_devices("CPU")[0]
        if len(tf.config.get_logical_device_configuration(cpu) or []) < int(number):
            _configure(lambda: tf.config.set_logical_device_configuration(cpu, [one] * int(number)))
        return [f"CPU:{i}" for i in range(int(number))]
    if devices == "all":
        return [f"GPU:{i}" for i in range(len(gpus))] or ["CPU:0"]
    chosen = devices.split(",")
    if not all(c.isdigit() and int(c) < len(gpus) for c in chosen) or len(set(chosen)) < len(chosen):
        raise UserError(
            f"--devices {devices}: expected all, cpu, cpu:N or numbers of the {len(gpus)} GPUs, such as 0,1"
        )
    _configure(lambda: tf.config.set_visible_devices([gpus[int(c)] for c in chosen], "GPU"))
    return [f"GPU:{i}" for i in range(len(chosen))]


def _configure(change):
    try:
        change()
    except RuntimeError as error:
        raise UserError(
            f"TensorFlow has begun with other devices: choose --devices in a new process ({error})"
        ) from None


def _workers(launch):
    """The strategy of several machines; returns when all of them are there."""
    if launch.workers:
        workers = launch.workers.split(",")
        if launch.worker is None or not 0 <= launch.worker < len(workers):
            raise UserError(f"--workers names {len(workers)} machines: --worker must be 0 to {len(workers) - 1}")
        task = {"type": "worker", "index": launch.worker}
        os.environ["TF_CONFIG"] = json.dumps({"cluster": {"worker": workers}, "task": task})
    workers, own = addresses()
    print(f"worker {own} of {len(workers)}: waiting for the others", flush=True)
    made = tf.distribute.MultiWorkerMirroredStrategy()
    private_names.check_workers(made, PATIENCE)
    return made


def addresses() -> tuple[list[str], int]:
    """The workers as TF_CONFIG names them, host:port, and which of them this process is; ([], 0) without."""
    try:
        described = json.loads(os.environ.get("TF_CONFIG", '{"cluster": {"worker": []}, "task": {"index": 0}}'))
        return described["cluster"]["worker"], int(described["task"]["index"])
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"TF_CONFIG cannot be read ({error!r}); use --workers and --worker instead") from None


@contextlib.contextmanager
def watching():
    """WorkerLost in place of TensorFlow's errors when another worker is gone."""
    workers, own = addresses()
    try:
        yield
    except (tf.errors.OpError, RuntimeError):
        if not workers:
            raise
        others = ", ".join(f"{i} ({name})" for i, name in enumerate(workers) if i != own)
        raise WorkerLost(
            f"worker {own}: one of the workers {others} is gone; start all of them again with --resume"
        ) from None


def is_first() -> bool:
    """Whether this process writes the files: the only one, or worker 0."""
    return addresses()[1] == 0
