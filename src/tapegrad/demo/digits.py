"""``tapegrad demo``: classifiers of handwritten digits, trained, drawn and saved in a few seconds."""

from __future__ import annotations

import sys
from pathlib import Path

import tapegrad as tg

from .models import MODELS
from .show import confusion, draw_losses, draw_predictions, progress_bar, summary
from .training import check_checkpoint, fit, load_digits, warm_up


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
    train, validation, test = load_digits()
    console.print("[bold]Handwritten digits[/], 8 x 8 pixels, from scikit-learn")
    sizes = f"{len(train.x)} images to train, {len(validation.x)} to choose the best epoch, {len(test.x)} to test"
    console.print(f"{sizes}; seed {seed}\n")
    warm_up()
    tg.manual_seed(seed)
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
        console.print(f"[red]The {r.model.title} reached {r.test_accuracy:.1%}, less than {100 * r.model.required:g}%[/]")
    return 0 if same and not missed else 1
