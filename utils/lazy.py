"""Modules that are loaded when they are first used: TensorFlow takes seconds, and `--help` must not wait for it.

    with lazily():
        import keras                      # loaded when something in it is first asked for
        from training import checkpoints  # modules alone: `from module import name` asks at once

Scripts import so what needs TensorFlow, Keras, pandas or matplotlib, and read their command line before. A module that
is not installed is an error at its first use: predict.py does without TensorFlow. The first use must be in no thread.
"""

import ast
import contextlib
import importlib.util
import sys
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import ClassVar


class _Module(ModuleType):
    """A module that is loaded when it is asked for a name that the import system has not put there itself."""

    def __getattr__(self, name):
        self.__class__ = ModuleType
        try:
            with _Finder.switched(False):  # what it imports in turn is loaded as usual
                self.__spec__.loader.exec_module(self)
        except BaseException:
            self.__class__ = _Module  # it may be tried again: TensorFlow ignores that Keras cannot be loaded before it
            raise
        return getattr(self, name)


class _Loader:
    """Leaves the loading of a module to its first use, by `loader`."""

    def __init__(self, loader):
        self._loader = loader

    def create_module(self, spec):
        return self._loader.create_module(spec)

    def exec_module(self, module):
        module.__spec__.loader = module.__loader__ = self._loader
        module.__class__ = _Module


class _Missing:
    """The loader of a module that there is not."""

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        raise ModuleNotFoundError(f"No module named {module.__name__!r}", name=module.__name__)


class _Finder:
    """Finds modules as Python does, while it is switched on with a _Loader."""

    on = False
    missing: ClassVar[list[str]] = []  # names that were not found

    @classmethod
    @contextlib.contextmanager
    def switched(cls, on):
        before = cls.on
        cls.on = on
        try:
            yield
        finally:
            cls.on = before

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if not cls.on:
            return None
        with cls.switched(False):
            spec = _spec(name)
        if spec is None:
            cls.missing.append(name)
            spec = ModuleSpec(name, _Missing())
        spec.loader = _Loader(spec.loader)
        return spec


def _spec(name):
    """How a module is loaded; None where there is none."""
    try:
        return importlib.util.find_spec(name)
    except ModuleNotFoundError:
        return None


@contextlib.contextmanager
def lazily() -> Iterator[None]:
    """Modules that are imported inside are loaded when they are first used; those that are loaded stay as they are."""
    sys.meta_path.insert(0, _Finder)
    try:
        with _Finder.switched(True):
            yield
    finally:
        sys.meta_path.remove(_Finder)
        while _Finder.missing:  # other libraries ask whether it is there
            sys.modules.pop(_Finder.missing.pop(), None)


def keys(module: str, table: str) -> list[str]:
    """The keys of a dictionary at the top of a module of ours, from its source: the module is not loaded."""
    spec = importlib.util.find_spec(module)
    assert spec is not None and spec.origin is not None
    for node in ast.parse(Path(spec.origin).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == table and isinstance(node.value, ast.Dict):
            return [ast.literal_eval(key) for key in node.value.keys if key is not None]
    raise KeyError(f"{module} has no dictionary {table}")
