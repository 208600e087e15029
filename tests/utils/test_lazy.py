"""utils/lazy.py, and the settings, which can be read without TensorFlow."""

import subprocess
import sys

from utils.lazy import LazyModule


def test_a_lazy_module_is_the_module():
    import fractions

    assert LazyModule("fractions").Fraction is fractions.Fraction


def test_settings_are_read_without_tensorflow_and_keras():
    code = "import sys, config, runs; print([m for m in ('tensorflow', 'keras', 'jax') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
