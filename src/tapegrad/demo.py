"""``tapegrad demo``: two classifiers of handwritten digits, trained, drawn and saved in a few seconds."""

from __future__ import annotations

import math
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

import tapegrad as tg
from tapegrad import nn, optim
from tapegrad.nn import functional as F
from tapegrad.utils.data import DataLoader, TensorDataset

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table

PIXELS, CLASSES = 64, 10
BATCH = 64
TRAINING, VALIDATION = 1197, 240  # of 1797; the rest is the test set


# --------------------------------------------------------------------------------------------------------------- models


class LogisticRegression(nn.Module):
    """One inner product and the softmax loss: the example of Caffe's tutorial."""

    title, required, epochs = "logistic regression", 0.95, 25

    def __init__(self) -> None:
        super().__init__()
        self.inner_product = nn.Linear(PIXELS, CLASSES)

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        """Logits, shape (n, 10), of images, shape (n, 64)."""
        logits: tg.Tensor = self.inner_product(x)
        return logits

    def objective(self, x: tg.Tensor, y: tg.Tensor) -> tg.Tensor:
        """The softmax loss of labels y, shape (n,)."""
        loss: tg.Tensor = F.cross_entropy(self(x), y)
        return loss

    def optimizer(self) -> optim.Optimizer:
        """Gradient descent with momentum, as Caffe's solver."""
        return optim.SGD(self.parameters(), lr=0.5, momentum=0.9)


class Perceptron(nn.Module):
    """One hidden layer, no bias, and L2 regularisation: J = L + lambda/2 (|W1|^2 + |W2|^2)."""

    title, required, epochs = "perceptron", 0.97, 50
    hidden: ClassVar[int] = 64
    decay: ClassVar[float] = 1e-3  # lambda

    def __init__(self) -> None:
        super().__init__()
        self.W1 = nn.Parameter(nn.init.kaiming_normal_(tg.empty(self.hidden, PIXELS), nonlinearity="relu"))
        self.W2 = nn.Parameter(nn.init.xavier_normal_(tg.empty(CLASSES, self.hidden)))

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        """Logits, shape (n, 10), of images, shape (n, 64)."""
        z = x @ self.W1.T
        h: tg.Tensor = z.relu()
        logits: tg.Tensor = h @ self.W2.T
        return logits

    def objective(self, x: tg.Tensor, y: tg.Tensor) -> tg.Tensor:
        """J, as in the formula, of labels y, shape (n,)."""
        L = F.cross_entropy(self(x), y)
        s = self.decay / 2 * ((self.W1**2).sum() + (self.W2**2).sum())
        J: tg.Tensor = L + s
        return J

    def optimizer(self) -> optim.Optimizer:
        """Adam."""
        return optim.Adam(self.parameters(), lr=3e-3)


Model = LogisticRegression | Perceptron
MODELS: tuple[type[Model], ...] = (LogisticRegression, Perceptron)


# ----------------------------------------------------------------------------------------------------------------- data


@dataclass
class Part:
    """Images, shape (n, 64), in [0, 1], and labels, shape (n,)."""

    x: tg.Tensor
    y: tg.Tensor

    def evaluate(self, model: Model) -> tuple[float, float]:
        """(cross entropy, accuracy)."""
        with tg.no_grad():
            logits = model(self.x)
            hits = logits.argmax(1) == self.y
            return float(F.cross_entropy(logits, self.y)), float(hits.float().mean())


def load_digits() -> tuple[Part, Part, Part]:
    """scikit-learn's digits as training, validation and test set; the same split every time."""
    from sklearn.datasets import load_digits as load

    images, labels = load(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(images))
    x, y = (images[order] / 16).astype(np.float32), labels[order].astype(np.int64)
    cuts = [TRAINING, TRAINING + VALIDATION]
    train, validation, test = (
        Part(tg.tensor(a), tg.tensor(b)) for a, b in zip(np.split(x, cuts), np.split(y, cuts), strict=True)
    )
    return train, validation, test


# ------------------------------------------------------------------------------------------------------------- training


@dataclass
class Result:
    """What came of training one model. The model is left at its best epoch."""

    model: Model
    seconds: float = 0.0
    best_epoch: int = 0
    best_loss: float = math.inf  # on the validation set
    test_accuracy: float = 0.0
    training_curve: list[float] = field(default_factory=list)
    validation_curve: list[float] = field(default_factory=list)


def fit(model: Model, epochs: int, train: Part, validation: Part, progress: Progress) -> Result:
    """Train a model, and leave it with the weights of the epoch that did best on the validation set."""
    result = Result(model)
    best = model.state_dict()
    optimizer = model.optimizer()
    loader = DataLoader(TensorDataset(train.x, train.y), BATCH, shuffle=True)
    task = progress.add_task(model.title, total=epochs, loss=math.nan, accuracy=math.nan, speed=0.0)
    for epoch in range(1, epochs + 1):
        start, total = time.perf_counter(), 0.0
        for x, y in loader:
            optimizer.zero_grad()
            J = model.objective(x, y)
            J.backward()
            optimizer.step()
            total += float(J.detach()) * len(x)
        result.seconds += time.perf_counter() - start
        loss, accuracy = validation.evaluate(model)
        result.training_curve.append(total / TRAINING)
        result.validation_curve.append(loss)
        if loss < result.best_loss:
            result.best_loss, result.best_epoch = loss, epoch
            best = {name: value.clone() for name, value in model.state_dict().items()}
        speed = epoch * TRAINING / result.seconds
        progress.update(task, advance=1, loss=total / TRAINING, accuracy=accuracy, speed=speed)
    model.load_state_dict(best)
    return result


def warm_up() -> None:
    """Have every kernel compiled or loaded, which must not count as training time."""
    part = Part(tg.zeros(BATCH, PIXELS), tg.zeros(BATCH, dtype=tg.int64))
    for kind in MODELS:
        model = kind()
        optimizer = model.optimizer()
        for x, y in DataLoader(TensorDataset(part.x, part.y), BATCH // 2, shuffle=True):
            optimizer.zero_grad()
            model.objective(x, y).backward()
            optimizer.step()
        part.evaluate(model)


def check_checkpoint(result: Result, path: Path, test: Part) -> bool:
    """Save the model, load it into a fresh one, and tell whether both give the same bits."""
    title = result.model.title
    tg.save({"model": title, "epoch": result.best_epoch, "state": result.model.state_dict()}, path)
    loaded = tg.load(path)
    fresh = next(kind for kind in MODELS if kind.title == loaded["model"])()
    fresh.load_state_dict(loaded["state"])
    with tg.no_grad():
        return bool(result.model(test.x).numpy().tobytes() == fresh(test.x).numpy().tobytes())


# -------------------------------------------------------------------------------------------------------------- showing


def progress_bar(console: Console) -> Progress:
    """A bar with loss, accuracy and speed."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    return Progress(
        TextColumn("{task.description:<19}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("loss [cyan]{task.fields[loss]:.3f}[/]"),
        TextColumn("acc [green]{task.fields[accuracy]:6.1%}[/]"),
        TextColumn("[magenta]{task.fields[speed]:>7,.0f}[/] samples/s"),
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
            f"{r.model.required:.0%}",
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
    for r, color in zip(results, ("tab:blue", "tab:orange"), strict=True):
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


def draw_predictions(model: Model, test: Part, path: Path) -> None:
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


# ----------------------------------------------------------------------------------------------------------------- main


def run(out: Path, seed: int, quick: bool) -> int:
    """Train, show and save; the process's exit status. ``quick`` trains for 2 epochs and requires no accuracy."""
    try:
        import matplotlib.figure  # noqa: F401
        import sklearn.datasets  # noqa: F401
        from rich.console import Console
    except ImportError as error:
        print(
            f"tapegrad demo needs {error.name}, which is not installed: pip install 'tapegrad[demo]'", file=sys.stderr
        )
        return 2
    console = Console(highlight=False)
    warm_up()
    tg.manual_seed(seed)
    train, validation, test = load_digits()
    console.print("[bold]Handwritten digits[/], 8 x 8 pixels, from scikit-learn")
    sizes = f"{len(train.x)} images to train, {len(validation.x)} to choose the best epoch, {len(test.x)} to test"
    console.print(f"{sizes}; seed {seed}\n")
    with progress_bar(console) as progress:
        results = [fit(kind(), 2 if quick else kind.epochs, train, validation, progress) for kind in MODELS]
    for r in results:
        _, r.test_accuracy = test.evaluate(r.model)
    best = min(results, key=lambda r: r.best_loss)
    with tg.no_grad():
        predicted = best.model(test.x).argmax(1).numpy()
    console.print()
    console.print(summary(results))
    console.print()
    console.print(confusion(best.model.title, predicted, test.y.numpy()))
    console.print()
    out.mkdir(parents=True, exist_ok=True)
    draw_losses(results, out / "losses.png")
    draw_predictions(best.model, test, out / "predictions.png")
    console.print(f"Pictures:   {out / 'losses.png'}, {out / 'predictions.png'}", soft_wrap=True)
    same = check_checkpoint(best, out / "best.safetensors", test)
    told = "same bits" if same else "[red]other values[/]"
    console.print(f"Checkpoint: {out / 'best.safetensors'} (in a fresh model: {told})", soft_wrap=True)
    missed = [] if quick else [r for r in results if r.test_accuracy < r.model.required]
    for r in missed:
        console.print(f"[red]The {r.model.title} reached {r.test_accuracy:.1%}, less than {r.model.required:.0%}[/]")
    return 0 if same and not missed else 1
