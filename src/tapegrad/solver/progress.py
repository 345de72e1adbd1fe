"""A progress bar: rich's where it is installed, else a line of text now and then."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Advance = Callable[[float, float], None]
_SECONDS = 5.0  # between lines of text


@contextmanager
def progress_bar(done: int, total: int, log: Callable[[str], object]) -> Iterator[Advance]:
    """Show ``done`` of ``total`` iterations; what it gives is called with the loss and the rate after each."""
    if importlib.util.find_spec("rich") is None:
        yield _text(done, total, log)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    numbers = TextColumn("loss [cyan]{task.fields[loss]}[/]  lr {task.fields[lr]}")
    with Progress(BarColumn(bar_width=None), MofNCompleteColumn(), numbers, TimeRemainingColumn(), expand=True) as bar:
        task = bar.add_task("", total=total, completed=done, loss="-", lr="-")
        yield lambda loss, lr: bar.update(task, advance=1, loss=f"{loss:.4g}", lr=f"{lr:.3g}")


def _text(done: int, total: int, log: Callable[[str], object]) -> Advance:
    last = time.monotonic()

    def advance(loss: float, lr: float) -> None:
        nonlocal done, last
        done += 1
        if done == total or time.monotonic() - last >= _SECONDS:
            last = time.monotonic()
            log(f"{done}/{total}  loss {loss:.4g}  lr {lr:.3g}")

    return advance
