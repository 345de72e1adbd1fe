"""Time families of operations beside PyTorch, and JAX where it is installed and natural; print a table of all cases.

``python -m benchmarks gpu --json benchmarks/results/DATE-h200.json`` times those of a GPU.
"""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path

from .harness import Result, settings
from .report import Goal, Summary, plot, summaries, summary_table, table, write_json

FAMILIES = {
    "elementwise": Goal(2.5, 1.0),
    "reductions": Goal(1.5, 1.0),
    "matmul": Goal(1.8, 1.1),
    "conv_pool": Goal(1.1, 0.9),
    "layers": Goal(1.5, 1.0),
    "optimizers": Goal(1.2, 0.9),
    "small_ops": Goal(1.5, 1.1),
    "training_steps": Goal(1.5, 1.1),
    "startup": None,
    "memory": None,
}
ON_REQUEST = ("gpu",)  # not among all, since it needs one
PICTURE = Path(__file__).parent.parent / "docs" / "benchmarks.png"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("families", nargs="*", metavar="family", help=f"any of {', '.join(FAMILIES)} (default: all), or gpu")
    parser.add_argument("--quick", action="store_true", help="few cases and repeats: does it run and do the values agree")
    parser.add_argument("--no-jax", action="store_true", help="leave JAX out, though it is installed")
    parser.add_argument("--seconds", type=float, default=0.0, help="end gpu after these, with what was measured by then (default: 220)")
    parser.add_argument("--json", type=Path, metavar="PATH", help="also write the results here")
    parser.add_argument("--plot", type=Path, metavar="PATH", nargs="?", const=PICTURE, help="also draw a chart (default: docs/benchmarks.png)")
    args = parser.parse_args()
    unknown = set(args.families) - set(FAMILIES) - set(ON_REQUEST)
    if unknown:
        parser.error(f"unknown family {', '.join(sorted(unknown))}; there are {', '.join([*FAMILIES, *ON_REQUEST])}")
    if importlib.util.find_spec("torch") is None:
        parser.error("PyTorch, which all is compared with, is not installed: pip install -e '.[bench]'")
    settings["jax"], settings["seconds"] = not args.no_jax, args.seconds
    results: list[Result] = []

    def summarised(found: list[Result]) -> list[Summary]:
        return summaries(found, {family: goal for family, goal in FAMILIES.items() if goal})

    def keep(more: list[Result]) -> None:  # on disk before all is measured: what was, is not lost
        if args.json:
            write_json(args.json, results + more, summarised(results + more))

    for family in args.families or FAMILIES:
        run = importlib.import_module(f"benchmarks.{family}").run
        results += run(args.quick, keep) if family in ON_REQUEST else run(args.quick)
        keep([])
    lines = summarised(results)
    print(table(results), summary_table(lines), sep="\n\n")
    if args.plot:
        plot(args.plot, results, lines)


if __name__ == "__main__":
    main()
