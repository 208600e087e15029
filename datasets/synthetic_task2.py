"""Phantoms with masks of the five attributes (see synthetic.py)."""

from datasets import synthetic

DATASET = synthetic.TASKS[2]
