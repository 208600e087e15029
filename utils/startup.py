"""The start of TensorFlow, for every script the same: without the lines by which it greets."""

import contextlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator

GREETING = re.compile(  # of TensorFlow 2.20 and 2.21: neither warnings nor errors of this machine's
    r"absl::InitializeLog\(\) is called"
    r"|(port|cudart_stub|cpu_feature_guard|cuda_diagnostics)\.cc:"
    r"|To enable the following instructions"
    r"|Unable to register \w+ (factory|plugin)|computation placer already registered"
    r"|oneDNN supports DT_INT32 only on platforms with AVX-512"
    r"|failed call to cuInit: .*(UNKNOWN ERROR \(303\)|CUDA_ERROR_NO_DEVICE)"  # there is no GPU
)


def start_tensorflow() -> None:
    """Import TensorFlow, and have it look for devices, without its greetings.

    They go past Python to the file descriptor of standard error, and no setting stops those of the import. Everything
    else that is written there meanwhile is shown afterwards, and all of it where the import fails.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if "tensorflow.python" in sys.modules:
        return
    with _without_greetings():
        import tensorflow as tf  # takes seconds

        tf.config.list_physical_devices()


def start_kernels() -> None:
    """Have oneDNN leave a transpose of integers to TensorFlow, which it says once a process and falsely on some
    processors: here, and not in the midst of an epoch. Only after the devices were chosen, which any operation settles.
    """
    import tensorflow as tf

    with _without_greetings():
        tf.transpose(tf.zeros((2, 3), tf.int32))


@contextlib.contextmanager
def _without_greetings() -> Iterator[None]:
    if sys.stderr is None:  # closed
        yield
        return
    before = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        failed = False
        try:
            yield
        except Exception:
            failed = True
            raise
        finally:
            os.dup2(before, 2)
            file.seek(0)
            with os.fdopen(before, "wb") as shown:
                shown.writelines(line for line in file if failed or not GREETING.search(line.decode(errors="replace")))
