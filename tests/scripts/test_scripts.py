"""Scripts for PyTorch run with changed imports, and give PyTorch's numbers when both draw the same random ones."""

from __future__ import annotations

import importlib
import re
import warnings
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from numpy_draws import numpy_draws

FOLDER = Path(__file__).parent
SCRIPTS = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "test_scripts")


def source_of(name: str) -> str:
    return (FOLDER / f"{name}.py").read_text(encoding="utf-8")


def source_for(library: str, name: str) -> str:
    """The script's text as a user of ``library`` would have it: only the lines that import torch differ."""
    text = re.sub(r"^import torch$", f"import {library} as torch", source_of(name), flags=re.MULTILINE)
    return re.sub(r"^(import|from) torch\b", rf"\1 {library}", text, flags=re.MULTILINE)


def run(library: str, name: str, **arguments: Any) -> dict[str, Any]:
    """What the script's ``main`` returns: named lists of numbers."""
    script = {"__name__": f"{name}_with_{library}"}
    exec(compile(source_for(library, name), FOLDER / f"{name}.py", "exec"), script)
    assert script["torch"].__name__ == library
    return script["main"](**arguments)


# How much of each script runs beside PyTorch.
COMPARED: dict[str, dict[str, Any]] = {
    "actor_critic": {"episodes": 15},
    "bayes_by_backprop": {"steps": 30},
    "char_gpt": {"steps": 18, "batch": 4},
    "convnet": {"epochs": 6, "batches": 3},
    "dcgan": {"steps": 15, "batch": 8},
    "diffusion": {"iterations": 30, "batch": 16},
    "distillation": {"steps": 12},
    "dqn": {"steps": 120},
    "flow": {"steps": 30, "batch": 16},
    "forward_forward": {"steps": 30},
    "from_scratch": {"steps": 60},
    "gat": {"epochs": 24},
    "gaussian_process": {"steps": 30},
    "gcn": {"epochs": 30},
    "loader_checkpoint": {"epochs": 12},
    "maml": {"steps": 15},
    "mixed_precision": {"steps": 30, "use_amp": False},
    "mlp_classifier": {"steps": 60},
    "neural_ode": {"steps": 30},
    "neural_style": {"steps": 36},
    "pinn": {"steps": 30},
    "reinforce": {"episodes": 15},
    "resnet": {"epochs": 6, "count": 48},
    "seq2seq": {"steps": 24},
    "siamese": {"steps": 18, "batch": 6},
    "sine_lstm": {"steps": 4},
    "speech_ctc": {"steps": 12, "batch": 3},
    "super_resolution": {"steps": 18, "batch": 4},
    "swa": {"epochs": 12},
    "tcn": {"steps": 18, "batch": 8},
    "text_classification": {"epochs": 6},
    "transformer_classifier": {"steps": 24, "batch": 8},
    "translation": {"steps": 18, "batch": 8},
    "unet": {"steps": 12, "batch": 2},
    "vae": {"steps": 30},
    "vision_transformer": {"steps": 18, "batch": 8},
    "wgan_gp": {"steps": 18},
    "word_lstm": {"epochs": 6},
}


def float64_run(library_name: str, name: str) -> tuple[dict[str, Any], set[str]]:
    """What the script returns, and descriptions of all modules that it made."""
    library = importlib.import_module(library_name)
    before, init, modules = library.get_default_dtype(), library.nn.Module.__init__, []

    def noted(self: Any, *args: Any, **kwargs: Any) -> None:
        modules.append(self)
        init(self, *args, **kwargs)

    library.set_default_dtype(library.float64)
    try:
        with numpy_draws(library), mock.patch.object(library.nn.Module, "__init__", noted):
            history = run(library_name, name, **COMPARED[name])
    finally:
        library.set_default_dtype(before)
    return history, {described(m).replace(library_name, "torch") for m in modules}


def described(module: Any) -> str:
    """How a module prints, and its state's names, shapes and dtypes in order."""
    state = "".join(f"\n{key} {tuple(value.shape)} {value.dtype}" for key, value in module.state_dict().items())
    return f"{module}{state}\n{[name for name, _ in module.named_parameters()]}"


@pytest.mark.compare
@pytest.mark.parametrize("name", SCRIPTS)
def test_numbers_and_modules_are_pytorchs(name):
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        theirs, their_modules = float64_run("torch", name)
    with warnings.catch_warnings():
        if warned:  # what PyTorch warns of, tapegrad may
            warnings.simplefilter("ignore")
        mine, my_modules = float64_run("tapegrad", name)
    assert mine.keys() == theirs.keys()
    for key, values in theirs.items():
        if isinstance(values, str):
            assert mine[key] == values
        else:
            assert len(values) > 0 and np.isfinite(values).all()
            np.testing.assert_allclose(mine[key], values, rtol=1e-9, atol=1e-12, err_msg=key)
    assert my_modules == their_modules


def test_only_lines_that_import_torch_differ():
    for name in SCRIPTS:
        theirs, mine = source_of(name).splitlines(), source_for("tapegrad", name).splitlines()
        changed = [(a, b) for a, b in zip(theirs, mine, strict=True) if a != b]
        assert ("import torch", "import tapegrad as torch") in changed
        assert all(a.startswith(("import torch", "from torch")) and b.replace("tapegrad", "torch") in (a, f"{a} as torch") for a, b in changed)


# What is short enough for every day: arguments, which of the results is a loss, and what part of the first may be left at the end.
SHORT: dict[str, tuple[dict[str, Any], str, float]] = {
    "char_gpt": ({"steps": 25}, "loss", 0.85),
    "convnet": ({"epochs": 3, "batches": 8}, "loss", 0.9),
    "gaussian_process": ({"steps": 30}, "loss", 0.5),
    "gcn": ({"epochs": 30}, "loss", 0.5),
    "loader_checkpoint": ({"epochs": 4}, "loss", 0.8),
    "mixed_precision": ({"steps": 30}, "loss", 0.7),
    "mlp_classifier": ({"steps": 100}, "loss", 0.6),
    "neural_ode": ({"steps": 60}, "loss", 0.5),
    "seq2seq": ({"steps": 25}, "loss", 0.9),
    "transformer_classifier": ({"steps": 60}, "loss", 0.7),
    "unet": ({"steps": 20}, "loss", 0.85),
    "vae": ({"steps": 100}, "loss", 0.6),
    "word_lstm": ({"epochs": 8}, "loss", 0.9),
}


@pytest.mark.parametrize("name", SHORT)
def test_the_loss_falls(name):
    arguments, key, left = SHORT[name]
    loss = run("tapegrad", name, **arguments)[key]
    assert np.isfinite(loss).all()
    assert np.mean(loss[-5:]) < left * loss[0]
