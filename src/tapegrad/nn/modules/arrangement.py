"""What a compiled replay of modules depends on besides the values in tensors: parts, hooks, whether they were in training."""

from __future__ import annotations

from operator import is_
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from .hooks import ON_ALL

if TYPE_CHECKING:
    from ...modes import Tracer
    from .module import Module

_TABLES = ("_parameters", "_buffers", "_modules", "_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")


class Arrangement:
    """Of the modules that a trace has called. Called before every replay, so it compares identities, and of whole tables at once."""

    def __init__(self) -> None:
        self._modules: dict[int, Module] = {}  # held, so that ids stay unique
        self._attributes: list[dict[str, Any]] = []
        self._training: list[bool] = []
        self._empty: list[dict[Any, Any]] = []
        self._full: list[tuple[dict[Any, Any], tuple[Any, ...]]] = []
        self._changed = False  # within the trace
        self._add_table(ON_ALL)

    def add(self, module: Module) -> None:
        """Note the module as it is now."""
        if id(module) in self._modules:
            self._changed = self._changed or not self()
            return
        self._modules[id(module)] = module
        attributes = module.__dict__
        self._attributes.append(attributes)
        self._training.append(module.training)
        for name in _TABLES:
            self._add_table(attributes[name])

    def _add_table(self, table: dict[Any, Any]) -> None:
        if table:
            self._full.append((table, tuple(table.values())))
        else:
            self._empty.append(table)

    def __call__(self) -> bool:
        """Whether all is as it was noted."""
        if self._changed or any(self._empty):
            return False
        for table, values in self._full:
            if len(table) != len(values) or not all(map(is_, table.values(), values)):
                return False
        return [attributes["training"] for attributes in self._attributes] == self._training


_of: WeakKeyDictionary[Tracer, Arrangement] = WeakKeyDictionary()


def watch(tracer: Tracer, module: Module) -> None:
    """Have replays of what the tracer traces depend on the module's arrangement."""
    arrangement = _of.get(tracer)
    if arrangement is None:
        arrangement = _of[tracer] = Arrangement()
        tracer.guard(arrangement)
    arrangement.add(module)
