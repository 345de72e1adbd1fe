"""The ``tapegrad`` command."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import __main__ as command, doctor
from tapegrad.demo import language, models

SOURCE = str(Path(tg.__file__).parents[1])


def run(*arguments: str, code: str = "", cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """``python -m tapegrad``, or some code, in a process of its own, from this source tree."""
    start = [sys.executable, "-c", code] if code else [sys.executable, "-m", "tapegrad"]
    path = f"import sys; sys.path.insert(0, {SOURCE!r})\n"
    if code:
        start[2] = path + code
    else:
        start = [sys.executable, "-c", path + "from tapegrad.__main__ import main; sys.exit(main())"]
    return subprocess.run([*start, *arguments], capture_output=True, text=True, timeout=300, cwd=cwd)


def test_quick_demo(tmp_path):
    pytest.importorskip("sklearn")
    pytest.importorskip("rich")
    pytest.importorskip("matplotlib")
    done = run("demo", "--quick", "--out", "here", "--seed", "3", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    for text in ("logistic regression", "perceptron", "convolutional net", "2/2", "samples/s", "Confusion matrix", "same bits"):
        assert text in done.stdout
    assert "\x1b" not in done.stdout  # no colours in a pipe
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "nan" not in done.stdout
    for name in ("losses.png", "predictions.png"):
        assert (tmp_path / "here" / name).read_bytes().startswith(b"\x89PNG")
    loaded = tg.load(tmp_path / "here" / "best.safetensors")
    assert loaded["model"] in {"logistic regression", "perceptron", "convolutional net"}


def test_quick_language_model(tmp_path):
    pytest.importorskip("rich")
    done = run("demo", "--lm", "--quick", "--out", "here", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "3 steps; loss on text it has not read" in done.stdout
    loaded = tg.load(tmp_path / "here" / "gpt.safetensors")
    assert loaded["state"]["token.weight"].shape[0] == len(loaded["characters"])


def test_the_language_models_text_has_no_rulers():
    source = "class A:\n    # ------\n    def f(self):\n            return 1\n" + "x" * 100
    assert language.plain(source) == "class A:\n\tdef f(self):\n\t\t\treturn 1"


def test_objective_is_the_formula():
    tg.manual_seed(0)
    model = models.Perceptron()
    x, y = tg.rand(5, 64), tg.tensor([0, 1, 2, 3, 4])
    w1, w2 = model.W1.detach().numpy().astype(float), model.W2.detach().numpy().astype(float)
    logits = np.maximum(x.numpy() @ w1.T, 0) @ w2.T
    loss = (np.log(np.exp(logits).sum(1)) - logits[np.arange(5), y.numpy()]).mean()
    expected = loss + 1e-3 / 2 * ((w1**2).sum() + (w2**2).sum())
    assert model.objective(x, y).item() == pytest.approx(expected, rel=1e-5)


def test_missing_extra_is_named():
    code = "sys.modules['rich'] = None; sys.modules['rich.console'] = None\n"
    done = run(code=code + "from tapegrad.__main__ import main; sys.exit(main(['demo']))")
    assert done.returncode == 2
    assert "pip install 'tapegrad[demo]'" in done.stderr
    assert "rich" in done.stderr


def test_importing_stays_light():
    heavy = "{'rich', 'matplotlib', 'sklearn', 'argparse', 'numba.cuda', 'tapegrad.demo', 'tapegrad.doctor'}"
    done = run(code=f"import tapegrad; print(sorted({heavy} & set(sys.modules)))")
    assert done.stdout.strip() == "[]"


def test_doctor(capsys):
    assert command.main(["doctor"]) == 0
    text = capsys.readouterr().out
    for label in ("tapegrad:", "Python:", "NumPy:", "Numba:", "llvmlite:", "processor:", "features:", "threads:", "GPU:", "GPU's packages:"):
        assert label in text
    assert "numba-cuda" in text
    assert "kernels" in text
    assert "not found out" not in text
    assert max(map(len, text.splitlines())) <= 120


def test_doctor_never_fails(monkeypatch):
    def broken() -> str:
        raise ImportError("no such thing")

    monkeypatch.setitem(doctor._ITEMS, "threads", broken)
    assert "threads:        not found out (ImportError: no such thing)" in doctor.report()


def test_doctor_does_not_start_cuda():
    done = run(code="from tapegrad import doctor; doctor.report(); print(any(name in sys.modules for name in ('numba.cuda', 'cuda.bindings')))")
    assert done.stdout.strip() == "False"


def test_command_line(capsys):
    with pytest.raises(SystemExit) as done:
        command.main(["--version"])
    assert done.value.code == 0
    assert "tapegrad" in capsys.readouterr().out
    assert command.main([]) == 2
    assert "print the table of operations" in capsys.readouterr().err


def test_table_of_operations(capsys):
    assert command.main(["ops", "log_softmax"]) == 0
    assert "log_softmax" in capsys.readouterr().out
    assert command.main(["ops", "zzz"]) == 1
    assert "no function's name contains 'zzz'" in capsys.readouterr().err


def test_a_closed_pipe_ends_quietly():
    code = f"import sys; sys.path.insert(0, {SOURCE!r}); from tapegrad.__main__ import main; sys.exit(main(['ops']))"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 141


def test_no_numbers_before_there_are_any():
    pytest.importorskip("rich")
    from rich.console import Console

    from tapegrad.demo import show

    console = Console(width=80, record=True, file=io.StringIO())
    with show.progress_bar(console) as progress:
        progress.add_task("a model", total=20, loss="-", accuracy="-", speed="-")
    assert "loss     - acc      -       - samples/s" in console.export_text()
