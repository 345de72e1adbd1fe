"""The states of all generators of random numbers that a training run draws from, to save and to set."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterable
from typing import Any

from ..cuda import device_count
from ..device import device
from ..ops.create import tensor
from ..ops.random.generator import Generator, default_generator, default_generator_of, gpu_generators

State = dict[str, Any]


class Randomness:
    """The default generators of the CPU and of GPUs, those of loaders and their samplers, and the global ones of Python and (where it is in use) NumPy.

    States are nestings that :func:`tapegrad.save` accepts, and compare with ``==``.
    """

    def __init__(self, loaders: Iterable[Any]) -> None:
        found = [default_generator]
        for loader in loaders:
            batches = getattr(loader, "batch_sampler", None)
            owners = (loader, getattr(loader, "sampler", None), batches, getattr(batches, "sampler", None))
            found += [g for owner in owners if isinstance(g := getattr(owner, "generator", None), Generator)]
        self._generators = list(dict.fromkeys(found))

    def own(self) -> State:
        """The states of tapegrad's generators, which take a microsecond to read."""
        return {name: tuple(g.get_state().tolist()) for name, g in self._here().items()}

    def _here(self) -> dict[str, Generator]:
        named = {f"generator {i}": g for i, g in enumerate(self._generators)}
        return named | {f"cuda {number}": g for number, g in gpu_generators().items()}

    def get(self) -> State:
        """The states now, by name."""
        state = self.own()
        state["python"] = random.getstate()
        if "numpy.random" in sys.modules:
            name, key, *rest = sys.modules["numpy.random"].get_state()
            state["numpy"] = (str(name), tuple(key.tolist()), *rest)
        return state

    def set(self, state: State) -> None:
        """Go on from a state, or from a part of one.

        Raises:
            ValueError: for a generator that is not here.
        """
        numbers = {name: int(name.removeprefix("cuda ")) for name in state if name.startswith("cuda ")}
        if numbers:
            present = device_count()
            state = {name: value for name, value in state.items() if numbers.get(name, -1) < present}  # the run may go on without the GPU
            for number in numbers.values():
                if number < present:
                    default_generator_of(device("cuda", number))  # which makes it, where it was not used yet
        here = self._here()
        unknown = sorted(name for name in state if name not in here and name not in ("python", "numpy"))
        if unknown:
            raise ValueError(f"the state has {', '.join(unknown)}, but the solver's loaders use {len(here)} generators")
        for name, value in state.items():
            if name == "python":
                random.setstate(value)
            elif name == "numpy":
                import numpy.random

                numpy.random.set_state(value)
            else:
                here[name].set_state(tensor(list(value), device="cpu"))
