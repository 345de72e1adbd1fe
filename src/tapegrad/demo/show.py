"""What the demo prints and draws."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import tapegrad as tg
from tapegrad.nn import functional as F

from .models import CLASSES, Classifier
from .training import Part, Result

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table


def progress_bar(console: Console) -> Progress:
    """A bar with loss, accuracy and speed."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    return Progress(
        TextColumn("{task.description:<19}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("loss [cyan]{task.fields[loss]:>5}[/]"),
        TextColumn("acc [green]{task.fields[accuracy]:>6}[/]"),
        TextColumn("[magenta]{task.fields[speed]:>7}[/] samples/s"),
        console=console,
        expand=True,
    )


def summary(results: list[Result]) -> Table:
    """One row per model; the epoch is the one that was kept."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(title="Test set", title_justify="left", box=SIMPLE_HEAD)
    table.add_column("model", no_wrap=True)
    for name in ("parameters", "epoch", "seconds", "accuracy", "required"):
        table.add_column(name, justify="right")
    for r in results:
        color = "green" if r.test_accuracy >= r.model.required else "red"
        table.add_row(
            r.model.title,
            f"{sum(p.numel() for p in r.model.parameters()):,}",
            str(r.best_epoch),
            f"{r.seconds:.2f}",
            f"[{color}]{r.test_accuracy:.1%}[/]",
            f"{100 * r.model.required:g}%",
        )
    return table


def confusion(name: str, predicted: Any, actual: Any) -> Table:
    """How often each digit (row) was taken for each digit (column)."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    counts = np.zeros((CLASSES, CLASSES), np.int64)
    np.add.at(counts, (actual, predicted), 1)
    title = f"Confusion matrix of the {name} (row: digit, column: read as)"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    table.add_column("")
    for digit in range(CLASSES):
        table.add_column(str(digit), justify="right", min_width=3)
    table.add_column("found", justify="right")
    for digit, row in enumerate(counts):
        cells = [
            "[dim]·[/]" if n == 0 else f"[{'green' if i == digit else 'bold red'}]{n}[/]" for i, n in enumerate(row)
        ]
        table.add_row(f"[bold]{digit}[/]", *cells, f"{row[digit] / max(row.sum(), 1):.0%}")
    return table


def draw_losses(results: list[Result], path: Path) -> None:
    """Loss per epoch, on the training and the validation set."""
    from matplotlib.figure import Figure  # without pyplot: no window, no global state

    figure = Figure(figsize=(8, 4.5), dpi=120, layout="constrained")
    axes = figure.subplots()
    for i, r in enumerate(results):
        color = f"C{i}"  # the next of matplotlib's colours
        epochs = range(1, len(r.training_curve) + 1)
        axes.plot(epochs, r.training_curve, color=color, label=f"{r.model.title}, training objective")
        axes.plot(epochs, r.validation_curve, color=color, linestyle="--", label=f"{r.model.title}, validation loss")
        axes.plot(r.best_epoch, r.best_loss, "o", color=color)
    axes.set(
        xlabel="epoch", ylabel="loss", yscale="log", title="Handwritten digits (points: the epochs that were kept)"
    )
    axes.grid(alpha=0.3, which="both")
    axes.legend(frameon=False)
    figure.savefig(path)


def draw_predictions(model: Classifier, test: Part, path: Path) -> None:
    """The test images that the model got wrong, then others, with what it takes them for and how sure it is."""
    from matplotlib.figure import Figure

    with tg.no_grad():
        chances = F.softmax(model(test.x), 1).numpy()
    predicted, actual = chances.argmax(1), test.y.numpy()
    shown = np.argsort(predicted == actual, kind="stable")[:32]
    figure = Figure(figsize=(10, 5.6), dpi=120, layout="constrained")
    for axes, i in zip(figure.subplots(4, 8).flat, shown, strict=True):
        axes.imshow(test.x.numpy()[i].reshape(8, 8), cmap="gray_r", interpolation="nearest")
        right = predicted[i] == actual[i]
        text = f"{predicted[i]} ({chances[i, predicted[i]]:.0%})" + ("" if right else f", is {actual[i]}")
        axes.set_title(text, fontsize=9, color="tab:green" if right else "tab:red")
        axes.set(xticks=[], yticks=[])
    figure.suptitle(f"Test images as the {model.title} reads them: mistakes first")
    figure.savefig(path)


