"""How far elementary functions are from the exact ones: of float32 every one of the 2^32 arguments.

``python -m benchmarks.accuracy [function...] [--step N]`` prints the largest error in units in the last place, and how many special
values (infinities, NaN, zeros and their signs) differ. References for float32 are NumPy's and SciPy's in double precision; all arguments
take about a minute a function on one core, and ``--step 97`` looks at every 97th. Functions of two float32 and functions of float64 are
compared at random points and at edges, the latter with mpmath.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import mpmath
import numpy as np
from scipy import special

import tapegrad as tg

Array = np.ndarray[Any, np.dtype[Any]]

REFERENCES: dict[str, Callable[[Array], Array]] = {
    name: getattr(np, name) for name in "exp exp2 expm1 log log2 log10 log1p sin cos tan sinh cosh tanh".split()
}
REFERENCES |= {name: getattr(np, f"arc{name[1:]}") for name in "asin acos atan asinh acosh atanh".split()}
REFERENCES |= {"sigmoid": special.expit, "erf": special.erf, "erfc": special.erfc, "ndtr": special.ndtr, "rsqrt": lambda x: 1 / np.sqrt(x)}
OF_TWO: dict[str, Callable[[Array, Array], Array]] = {"pow": np.power, "atan2": np.arctan2}
OF_FLOAT64 = "exp exp2 expm1 log log2 log10 log1p sin cos tan sinh cosh tanh asin acos atan asinh acosh atanh sigmoid erf".split()
EDGES = [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.0, 3.0, -3.0, np.inf, -np.inf, np.nan, 1e-40, 3e38, 1e300, 5e-324, 709.7, -745.0]
CHUNK = 1 << 22
POINTS = 20_000


class Worst:
    """The largest error so far, and the number of special values that differ."""

    def __init__(self) -> None:
        self.error, self.at, self.special = 0.0, "nowhere", 0

    def see(self, found: Array, exact: Array, arguments: Callable[[int], object]) -> None:
        """Compare with values of a wider dtype; ``arguments`` names those at an index."""
        kind = np.finfo(found.dtype)
        with np.errstate(all="ignore"):
            expected = exact.astype(found.dtype)
            ordinary = np.isfinite(expected) & (expected != 0) & np.isfinite(found)
            ulp = np.maximum(np.spacing(np.abs(expected)), kind.smallest_subnormal).astype(exact.dtype)
            errors = np.where(ordinary, np.abs(found - exact) / ulp, 0.0)
        # where the exact value rounds to infinity or zero, its neighbour is within an ulp
        near = (np.isinf(expected) & (np.abs(found) == kind.max)) | ((expected == 0) & (np.abs(found) <= kind.smallest_subnormal))
        same = (found == expected) | (np.isnan(found) & np.isnan(expected)) | near
        signs = (found != 0) | (expected != 0) | (np.signbit(found) == np.signbit(expected))
        self.special += int((~ordinary & ~same).sum() + (~signs).sum())
        worst = int(np.argmax(errors))
        if errors[worst] > self.error:
            self.error, self.at = float(errors[worst]), str(arguments(worst))

    def show(self, name: str, dtype: str) -> None:
        print(f"{name:8} {dtype}  {self.error:6.3f} ulp at {self.at}; {self.special} special values wrong", flush=True)


def function(name: str) -> Callable[..., Any]:
    """Ours, on arrays."""
    ours = getattr(tg, name, None) or getattr(tg.special, name)
    return lambda *arrays: ours(*[tg.from_numpy(a) for a in arrays]).numpy()


def of_one_float32(name: str, step: int) -> Worst:
    worst = Worst()
    for start in range(0, 1 << 32, CHUNK * step):
        x = np.arange(start, min(start + CHUNK * step, 1 << 32), step, dtype=np.uint32).view(np.float32)
        with np.errstate(all="ignore"):
            exact = REFERENCES[name](x.astype(np.float64))
        worst.see(function(name)(x), exact, lambda i, x=x: x[i])  # type: ignore[misc]
    return worst


def of_two_float32(name: str) -> Worst:
    rng = np.random.default_rng(0)
    worst = Worst()
    for pairs in _pairs(rng):
        a, b = np.ascontiguousarray(pairs.T)
        with np.errstate(all="ignore"):
            exact = OF_TWO[name](a.astype(np.float64), b.astype(np.float64))
        worst.see(function(name)(a, b), exact, lambda i, pairs=pairs: tuple(pairs[i]))  # type: ignore[misc]
    return worst


def _pairs(rng: np.random.Generator) -> Iterator[Array]:
    with np.errstate(over="ignore"):
        yield np.array(list(itertools.product(EDGES, EDGES))).astype(np.float32)
    for _ in range(20):
        yield rng.integers(0, 1 << 32, (CHUNK // 4, 2), dtype=np.uint32).view(np.float32)
        yield np.stack([np.exp(rng.uniform(-4, 4, CHUNK // 4)), rng.uniform(-30, 30, CHUNK // 4)], 1).astype(np.float32)


def of_float64(name: str) -> Worst:
    """Against mpmath, rounded to NumPy's long double, whose precision is at least that of double."""
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 1 << 64, POINTS, dtype=np.uint64).view(np.float64)
    x = np.concatenate([bits, rng.uniform(-4, 4, POINTS), rng.uniform(-750, 750, POINTS), np.array(EDGES)])
    with np.errstate(all="ignore"):
        rough = REFERENCES[name](x)
    exact = rough.astype(np.longdouble)
    exactly = {"sigmoid": lambda v: 1 / (1 + mpmath.exp(-v)), "exp2": lambda v: mpmath.power(2, v), "log2": lambda v: mpmath.log(v, 2)}
    reference = exactly.get(name) or getattr(mpmath, name)
    with mpmath.workdps(40):
        for i in np.flatnonzero(np.isfinite(rough) & ((rough != 0) | ((x != 0) & (np.abs(x) < 1000)))):
            value = reference(mpmath.mpf(float(x[i])))
            high = float(value)
            exact[i] = np.longdouble(high) + np.longdouble(float(value - high))
    worst = Worst()
    worst.see(function(name)(x), exact, lambda i: x[i])
    return worst


def main() -> None:
    """Print a line per function and dtype."""
    every = [*REFERENCES, *OF_TWO]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("functions", nargs="*", help=f"of {', '.join(every)}; all by default")
    parser.add_argument("--step", type=int, default=1, help="look at every so-manieth argument")
    options = parser.parse_args()
    for name in options.functions or every:
        (of_two_float32(name) if name in OF_TWO else of_one_float32(name, options.step)).show(name, "float32")
        if name in OF_FLOAT64:
            of_float64(name).show(name, "float64")


if __name__ == "__main__":
    main()
