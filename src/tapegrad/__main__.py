"""The ``tapegrad`` command, also ``python -m tapegrad``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def installed_version() -> str:
    """The installed version, or "unknown" for a source tree that was never installed."""
    try:
        return version("tapegrad")
    except PackageNotFoundError:
        return "unknown"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tapegrad", description="Tape-based automatic differentiation in Python.")
    parser.add_argument("--version", action="version", version=f"tapegrad {installed_version()}")
    commands = parser.add_subparsers(dest="command", metavar="command")
    demo = commands.add_parser("demo", help="train classifiers of handwritten digits, or a small language model, and show the results")
    demo.add_argument(
        "--out", type=Path, default=Path("runs/demo"), help="where pictures and checkpoint go, over those of an earlier run (%(default)s)"
    )
    demo.add_argument("--seed", type=int, default=0, help="random starting point (%(default)s)")
    demo.add_argument("--lm", action="store_true", help="instead, train a character-level GPT on Python's standard library for two minutes")
    demo.add_argument("--quick", action="store_true", help="train for two epochs (--lm: three steps) and require no accuracy")
    commands.add_parser("doctor", help="print what a bug report needs: versions, CPU, threads, kernel cache, GPU")
    listed = commands.add_parser("ops", help="print the table of operations: dtypes, devices and orders of derivatives that are checked")
    listed.add_argument("name", nargs="?", default="", help="only those whose name contains this")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.print_help(sys.stderr)
        return 2
    try:
        status = _run(options)
        sys.stdout.flush()  # or a closed pipe would be noticed when the interpreter ends
        return status
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # as of "| head"
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is still buffered goes there
        return 141


def _run(options: argparse.Namespace) -> int:
    if options.command == "doctor":
        from . import doctor

        print(doctor.report())
        return 0
    if options.command == "ops":
        from . import catalog

        found = [row for row in catalog.rows() if options.name in row.name]
        if not found:
            print(f"no function's name contains {options.name!r}", file=sys.stderr)
            return 1
        print(catalog.table(found))
        return 0
    from .demo import digits, language

    run = language.run if options.lm else digits.run
    return run(options.out, options.seed, options.quick)


if __name__ == "__main__":
    sys.exit(main())
