"""Run benchmark families and print their table."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

from .harness import Result, table, write_json

FAMILIES = ("small_ops", "training_step", "startup", "memory")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("families", nargs="*", metavar="family", help=f"any of {', '.join(FAMILIES)} (default: all)")
    parser.add_argument("--quick", action="store_true", help="few repeats: does it run and do the values agree")
    parser.add_argument("--json", type=Path, help="also write the results here")
    args = parser.parse_args()
    unknown = set(args.families) - set(FAMILIES)
    if unknown:
        parser.error(f"unknown family {', '.join(sorted(unknown))}; there are {', '.join(FAMILIES)}")
    results: list[Result] = []
    for family in args.families or FAMILIES:
        results += importlib.import_module(f"benchmarks.{family}").run(args.quick)
    print(table(results))
    if args.json:
        write_json(args.json, results)


if __name__ == "__main__":
    main()
