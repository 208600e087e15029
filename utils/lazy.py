"""Modules that are imported when they are first used: TensorFlow takes seconds, and much can be done without it."""

import importlib


class LazyModule:
    """Stands for a module: `tf = LazyModule("tensorflow")`."""

    def __init__(self, name: str):
        self._name = name

    def __getattr__(self, attribute: str):
        return getattr(importlib.import_module(self._name), attribute)
