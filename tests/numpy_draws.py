"""PyTorch's or tapegrad's random functions replaced by NumPy's numbers, so that both libraries draw the same.

The n-th draw of a law and shape depends on nothing but the seed, so that it makes no difference in which order a library initialises
parameters of different shapes, or how it seeds its samplers.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import numpy as np


class Source:
    """Numbers of a law and shape."""

    def __init__(self, seed: int = 0) -> None:
        self.manual_seed(seed)

    def manual_seed(self, seed: int) -> None:
        self.seed, self.counts = seed, Counter[Any]()

    def _generator(self, law: str, shape: tuple[int, ...]) -> np.random.Generator:
        self.counts[law, shape] += 1
        return np.random.default_rng([self.seed, zlib.crc32(law.encode()), self.counts[law, shape], *shape])

    def uniform(self, shape: Any) -> Any:
        return self._generator("uniform", tuple(shape)).random(tuple(shape))

    def normal(self, shape: Any) -> Any:
        return self._generator("normal", tuple(shape)).standard_normal(tuple(shape))

    def integers(self, low: int, high: int, shape: Any) -> Any:
        return self._generator(f"integers {low} {high}", tuple(shape)).integers(low, high, tuple(shape))

    def permutation(self, n: int) -> Any:
        return self._generator("permutation", (n,)).permutation(n)


def _draws(library: Any, source: Source) -> dict[str, Callable[..., Any]]:
    """What replaces functions of the library; generators and devices are ignored."""

    def new(array: Any, dtype: Any = None, requires_grad: bool = False, **ignored: Any) -> Any:
        made = library.from_numpy(np.array(array)).to(dtype or library.get_default_dtype()).to(library.get_default_device())
        return made.requires_grad_(requires_grad)

    def sizes(args: Any) -> Any:
        return args[0] if len(args) == 1 and not isinstance(args[0], int) else args

    def rand(*size: Any, **options: Any) -> Any:
        return new(source.uniform(sizes(size)), **options)

    def randn(*size: Any, **options: Any) -> Any:
        return new(source.normal(sizes(size)), **options)

    def rand_like(input: Any, **options: Any) -> Any:
        return new(source.uniform(input.shape), **{"dtype": input.dtype, **options})

    def randn_like(input: Any, **options: Any) -> Any:
        return new(source.normal(input.shape), **{"dtype": input.dtype, **options})

    def randint(*args: Any, size: Any = None, **options: Any) -> Any:
        *bounds, size = args if size is None else (*args, size)
        low, high = bounds if len(bounds) == 2 else (0, *bounds)
        return new(source.integers(low, high, size), **{"dtype": library.int64, **options})

    def randperm(n: int, **options: Any) -> Any:
        return new(source.permutation(n), **{"dtype": library.int64, **options})

    def bernoulli(input: Any, *, generator: Any = None) -> Any:
        return (new(source.uniform(input.shape), input.dtype) < input).to(input.dtype)

    def normal(mean: Any, std: Any = 1.0, size: Any = None, **options: Any) -> Any:
        tensors = [x for x in (mean, std) if isinstance(x, library.Tensor)]
        shape = np.broadcast_shapes(*(tuple(x.shape) for x in tensors)) if tensors else size
        return mean + std * new(source.normal(shape), **{"dtype": tensors[0].dtype if tensors else None, **options})

    def multinomial(input: Any, num_samples: int, replacement: bool = False, *, generator: Any = None) -> Any:
        p = input.detach().numpy().astype(np.float64)
        if replacement or num_samples == 1:  # where the cumulative probability passes a uniform number
            levels = np.cumsum(p / p.sum(-1, keepdims=True), axis=-1)
            found = levels[..., None, :] < source.uniform((*p.shape[:-1], num_samples))[..., None]
            chosen = np.minimum(found.sum(-1), p.shape[-1] - 1)
        else:  # a race of exponential arrivals
            arrivals = -np.log(source.uniform(p.shape)) / np.where(p > 0, p, 1e-300)
            chosen = np.argsort(arrivals, axis=-1)[..., :num_samples]
        return new(chosen, library.int64)

    def manual_seed(seed: int) -> None:
        source.manual_seed(seed)

    def masked(shape: Any, input: Any, p: float, training: bool) -> Any:
        return input * new((source.uniform(shape) >= p) / (1 - p), input.dtype) if training and p > 0 else input

    def dropout(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
        return masked(input.shape, input, p, training)

    def dropout2d(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
        return masked((*input.shape[:2], 1, 1), input, p, training)

    def fill(tensor: Any, array: Any) -> Any:
        with library.no_grad():
            return tensor.copy_(library.from_numpy(np.array(array)).reshape(tensor.shape).to(tensor.dtype))

    def uniform_(self: Any, a: float = 0.0, b: float = 1.0, *, generator: Any = None) -> Any:
        return fill(self, a + (b - a) * source.uniform(self.shape))

    def normal_(self: Any, mean: float = 0.0, std: float = 1.0, *, generator: Any = None) -> Any:
        return fill(self, mean + std * source.normal(self.shape))

    def trunc_normal_(tensor: Any, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0, generator: Any = None) -> Any:
        return fill(tensor, np.clip(mean + std * source.normal(tensor.shape), a, b))

    def orthogonal_(tensor: Any, gain: float = 1.0, generator: Any = None) -> Any:
        u, _, vt = np.linalg.svd(source.normal((tensor.shape[0], tensor[0].numel())), full_matrices=False)
        return fill(tensor, gain * (u @ vt))

    def __iter__(self: Any) -> Iterator[int]:  # of RandomSampler
        return iter(source.permutation(len(self.data_source)).tolist())

    return dict(locals())


# Where each function is found under the library's name; all but the methods are replaced wherever a module has imported them.
PLACES = {
    "": ["rand", "randn", "rand_like", "randn_like", "randint", "randperm", "bernoulli", "normal", "multinomial", "manual_seed"],
    "nn.functional": ["dropout", "dropout2d"],
    "nn.init": ["trunc_normal_", "orthogonal_"],
    "Tensor": ["uniform_", "normal_"],
    "utils.data.RandomSampler": ["__iter__"],
}


@contextlib.contextmanager
def numpy_draws(library: Any, seed: int = 0) -> Iterator[None]:
    """While active, what ``library`` (``torch`` or ``tapegrad``) draws comes from NumPy, also where its modules imported a function."""
    draws = _draws(library, Source(seed))
    for path in ("distributions", "utils.data"):  # what is imported later would keep the library's own functions
        importlib.import_module(f"{library.__name__}.{path}")
    modules = [m for key, m in sys.modules.items() if m is not None and key.partition(".")[0] == library.__name__]
    with contextlib.ExitStack() as stack:
        for path, names in PLACES.items():
            owner = functools.reduce(getattr, path.split("."), library) if path else library
            for name in names:
                original = getattr(owner, name)
                owners = [owner] if isinstance(owner, type) else [m for m in modules if vars(m).get(name) is original]
                for place in owners:
                    stack.enter_context(mock.patch.object(place, name, draws[name]))
        yield
