"""How far vectorised elementary functions of float32 are from the exact ones: every one of the 2^32 arguments.

``python -m benchmarks.accuracy [function...] [--step N]`` prints the largest error in units in the last place, and how many special
values (infinities, NaN, zeros and their signs) differ. References are NumPy's and SciPy's in double precision. All arguments take
about two minutes a function on one core; ``--step 97`` looks at every 97th.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from scipy import special

import tapegrad as tg

REFERENCES: dict[str, Any] = {
    "exp": np.exp,
    "expm1": np.expm1,
    "log": np.log,
    "log1p": np.log1p,
    "sigmoid": special.expit,
    "tanh": np.tanh,
}
CHUNK = 1 << 22
SMALLEST = 2.0**-149


def errors(name: str, x: np.ndarray) -> tuple[float, float, int]:
    """(the largest error in ulp, where, how many special values are wrong) for float32 arguments."""
    found = getattr(tg, name)(tg.from_numpy(x)).numpy()
    with np.errstate(all="ignore"):
        exact = REFERENCES[name](x.astype(np.float64))
        expected = exact.astype(np.float32)
        ordinary = np.isfinite(expected) & (expected != 0) & np.isfinite(found)
        ulp = np.maximum(np.spacing(np.abs(expected)), SMALLEST).astype(np.float64)
        wrong = np.where(ordinary, np.abs(found - exact) / ulp, 0.0)
    # where the exact value rounds to infinity or zero, its neighbour is within an ulp
    near = (np.isinf(expected) & (np.abs(found) == np.finfo(np.float32).max)) | ((expected == 0) & (np.abs(found) <= SMALLEST))
    same = (found == expected) | (np.isnan(found) & np.isnan(expected)) | near
    signs = (found != 0) | (expected != 0) | (np.signbit(found) == np.signbit(expected))
    worst = int(np.argmax(wrong))
    return float(wrong[worst]), float(x[worst]), int((~ordinary & ~same).sum() + (~signs).sum())


def main() -> None:
    """Print a line per function."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("functions", nargs="*", help=f"of {', '.join(REFERENCES)}; all by default")
    parser.add_argument("--step", type=int, default=1, help="look at every so-manieth argument")
    options = parser.parse_args()
    for name in options.functions or REFERENCES:
        worst, at, special_values = 0.0, 0.0, 0
        for start in range(0, 1 << 32, CHUNK * options.step):
            x = np.arange(start, min(start + CHUNK * options.step, 1 << 32), options.step, dtype=np.uint32).view(np.float32)
            error, where, wrong = errors(name, x)
            special_values += wrong
            if error > worst:
                worst, at = error, where
        print(f"{name:8}  {worst:6.3f} ulp at {at!r}; {special_values} special values wrong", flush=True)


if __name__ == "__main__":
    main()
