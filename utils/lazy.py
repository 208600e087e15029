"""Modules that are loaded when they are first used: TensorFlow takes seconds, and `--help` must not wait for it.

    with lazily():
        import keras                      # loaded when something in it is first asked for
        from training import checkpoints  # modules alone, no `from module import name`

Scripts import so what needs TensorFlow, Keras, pandas or matplotlib, and read their command line before. A module that
is not installed is an error at its first use: predict.py does without TensorFlow.

`importlib.util.LazyLoader` leaves what was not used in sys.modules, where other libraries find it: Matplotlib, which
asks of each array whether it is TensorFlow's, would load that.
"""

import ast
import contextlib
import importlib
import importlib.util
import sys
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import ClassVar


class _Module(ModuleType):
    """Stands for a module, which it imports when it is asked for something in it."""

    def __getattr__(self, name):
        if _Finder.on:  # by an import inside `lazily`
            raise AttributeError(name)
        return getattr(importlib.import_module(self.__name__), name)


class _Finder:
    """While it is on, finds for every name a `_Module`; finder and loader of Python's import system in one."""

    on = False
    made: ClassVar[list[str]] = []  # names

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return ModuleSpec(name, cls, is_package=True) if cls.on else None

    @staticmethod
    def create_module(spec):
        return _Module(spec.name)

    @classmethod
    def exec_module(cls, module):
        cls.made.append(module.__name__)


@contextlib.contextmanager
def lazily() -> Iterator[None]:
    """Modules that are imported inside are loaded when they are first used; those that are loaded stay as they are."""
    sys.meta_path.insert(0, _Finder)
    _Finder.on = True
    try:
        yield
    finally:
        _Finder.on = False
        sys.meta_path.remove(_Finder)
        while _Finder.made:
            name = _Finder.made.pop()
            del sys.modules[name]
            package, _, child = name.rpartition(".")
            if package in sys.modules:
                vars(sys.modules[package]).pop(child, None)


def keys(module: str, table: str) -> list[str]:
    """The keys of a dictionary at the top of a module of ours, from its source: the module is not loaded."""
    spec = importlib.util.find_spec(module)
    assert spec is not None and spec.origin is not None
    for node in ast.parse(Path(spec.origin).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == table and isinstance(node.value, ast.Dict):
            return [ast.literal_eval(key) for key in node.value.keys if key is not None]
    raise KeyError(f"{module} has no dictionary {table}")
