"""utils/startup.py: TensorFlow starts without its greetings, and nothing else is lost."""

import os

import pytest

from utils import startup

GREETINGS = """\
WARNING: All log messages before absl::InitializeLog() is called are written to STDERR
I0000 00:00:1795681329.095709   18715 port.cc:153] oneDNN custom operations are on.
I0000 00:00:1795681329.096178   18715 cudart_stub.cc:31] Could not find cuda drivers on your machine
To enable the following instructions: AVX2 FMA, in other operations, rebuild TensorFlow
E0000 00:00:1.2   31 cuda_dnn.cc:8579] Unable to register cuDNN factory: Attempting to register factory
E0000 00:00:1.2   31 cuda_platform.cc:52] failed call to cuInit: INTERNAL: CUDA error: UNKNOWN ERROR (303)
E0000 00:00:1.2   31 util.cc:131] oneDNN supports DT_INT32 only on platforms with AVX-512. Falling back to the default
"""
OTHERS = """\
W0000 00:00:1.2   31 gpu_device.cc:2343] Cannot dlopen some GPU libraries.
E0000 00:00:1.2   31 cuda_platform.cc:52] failed call to cuInit: CUDA_ERROR_SYSTEM_DRIVER_MISMATCH
"""


def test_greetings_alone_are_left_out(capfd):
    with startup._without_greetings():
        os.write(2, (GREETINGS + OTHERS).encode())
    os.write(2, b"afterwards\n")
    assert capfd.readouterr().err == OTHERS + "afterwards\n"


def test_all_is_shown_where_the_import_fails(capfd):
    with pytest.raises(ImportError), startup._without_greetings():
        os.write(2, GREETINGS.encode())
        raise ImportError
    assert capfd.readouterr().err == GREETINGS


def test_ctrl_c_during_the_import_shows_no_greetings(capfd):
    with pytest.raises(KeyboardInterrupt), startup._without_greetings():
        os.write(2, (GREETINGS + OTHERS).encode())
        raise KeyboardInterrupt
    assert capfd.readouterr().err == OTHERS


def test_a_closed_standard_error_is_left_alone(monkeypatch, capfd):
    monkeypatch.setattr("sys.stderr", None)
    with startup._without_greetings():
        os.write(2, b"to whom it belongs\n")
    assert capfd.readouterr().err == "to whom it belongs\n"
