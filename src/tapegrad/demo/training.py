"""The handwritten digits, and how the demo trains a model on them."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import tapegrad as tg
from tapegrad.nn import functional as F
from tapegrad.optim.lr_scheduler import LinearLR
from tapegrad.utils.data import DataLoader, TensorDataset

from .models import MODELS, PIXELS, Classifier

if TYPE_CHECKING:
    from rich.progress import Progress

BATCH = 64
TRAINING, VALIDATION = 1197, 240  # of 1797; the rest is the test set


# ----------------------------------------------------------------------------------------------------------------- data


@dataclass
class Part:
    """Images, shape (n, 64), in [0, 1], and labels, shape (n,)."""

    x: tg.Tensor
    y: tg.Tensor

    def evaluate(self, model: Classifier) -> tuple[float, float]:
        """(cross entropy, accuracy); leaves the model in eval mode."""
        model.eval()
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

    model: Classifier
    seconds: float = 0.0
    best_epoch: int = 0
    best_loss: float = math.inf  # on the validation set
    test_accuracy: float = 0.0
    training_curve: list[float] = field(default_factory=list)
    validation_curve: list[float] = field(default_factory=list)


def fit(model: Classifier, epochs: int, train: Part, validation: Part, progress: Progress) -> Result:
    """Train a model, at a rate that falls to a twentieth; leave it with the weights that did best on the validation set."""
    result = Result(model)
    best = model.state_dict()
    optimizer = model.optimizer()
    scheduler = LinearLR(optimizer, start_factor=1.0, end_factor=0.05, total_iters=epochs)
    loader = DataLoader(TensorDataset(train.x, train.y), BATCH, shuffle=True)
    task = progress.add_task(model.title, total=epochs, loss="-", accuracy="-", speed="-")
    for epoch in range(1, epochs + 1):
        start, total = time.perf_counter(), 0.0
        model.train()
        for x, y in loader:
            optimizer.zero_grad()
            J = model.objective(x, y)
            J.backward()
            optimizer.step()
            total += float(J.detach()) * len(x)
        scheduler.step()
        result.seconds += time.perf_counter() - start
        loss, accuracy = validation.evaluate(model)
        result.training_curve.append(total / TRAINING)
        result.validation_curve.append(loss)
        if loss < result.best_loss:
            result.best_loss, result.best_epoch = loss, epoch
            best = {name: value.clone() for name, value in model.state_dict().items()}
        speed = epoch * TRAINING / result.seconds
        progress.update(task, advance=1, loss=f"{total / TRAINING:.3f}", accuracy=f"{accuracy:.1%}", speed=f"{speed:,.0f}")
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
    fresh.eval()
    with tg.no_grad():
        return bool(result.model(test.x).numpy().tobytes() == fresh(test.x).numpy().tobytes())
