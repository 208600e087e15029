"""Benchmarks that compare results, not only times, give them."""

import importlib.util
from pathlib import Path

import pytest

PRECISION = Path(__file__).parents[1] / "benchmarks/precision.py"


@pytest.mark.slow
def test_fifty_steps_in_every_format_end_as_in_float32():
    spec = importlib.util.spec_from_file_location("benchmark_of_precision", PRECISION)
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    exact, *others = (benchmark.last_loss(name) for name in ("float32", "bfloat16", "float16"))
    assert others == pytest.approx([exact] * 2, rel=0.02)
