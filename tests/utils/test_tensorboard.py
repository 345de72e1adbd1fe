"""The writer of logs."""

from __future__ import annotations

import json
import sys
from types import ModuleType

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.utils.tensorboard import SummaryWriter, read_events


def test_what_is_added_can_be_read(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with SummaryWriter(tmp_path / "run") as writer:
        writer.add_scalar("loss", tg.tensor(0.25, requires_grad=True), tg.tensor(3))
        writer.add_scalar("loss", float("nan"), 4, walltime=12.5)
        writer.add_scalars("acc", {"train": np.float32(0.5), "test": 1}, 5)
        writer.add_histogram("w", tg.tensor([0.0, 1.0, 1.0, float("inf")]), bins=2)
        writer.add_text("note", "<b>äöü</b>\nline", 0)
        writer.add_image("digit", tg.arange(24.0).reshape(3, 2, 4), 1)
        writer.add_hparams({"lr": 0.1, "name": "sgd", "nesterov": True}, {"loss": tg.tensor(2.0)})
        writer.add_graph(None)
        assert writer.get_logdir() == str(tmp_path / "run")
        writer.flush()
        events = read_events(tmp_path / "run")
    seen = [(e["kind"], e["tag"], e["value"], e["step"]) for e in events]
    assert seen[:4] == [("scalar", "loss", 0.25, 3), ("scalar", "loss", "nan", 4), ("scalar", "acc/train", 0.5, 5), ("scalar", "acc/test", 1, 5)]
    assert events[1]["time"] == 12.5
    assert seen[4] == ("histogram", "w", [1, 2], None)
    assert events[4]["limits"] == [0, 0.5, 1]
    assert seen[5] == ("text", "note", "<b>äöü</b>\nline", 0)
    assert np.load(tmp_path / "run" / seen[6][2], allow_pickle=False).shape == (2, 4, 3)
    assert seen[7][2] == {"lr": 0.1, "name": "sgd", "nesterov": True}
    assert events[7]["metrics"] == {"loss": 2}
    with pytest.raises(ValueError, match="is closed"):
        writer.add_scalar("loss", 1)
    with SummaryWriter(tmp_path / "run") as again:
        again.add_scalar("loss", 1)
    assert len(read_events(tmp_path / "run")) == 9


def test_mistakes(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with SummaryWriter(tmp_path) as writer:
        with pytest.raises(ValueError, match=r"expected one number, got shape \(2,\)"):
            writer.add_scalar("x", tg.ones(2))
        with pytest.raises(ValueError, match="no finite values"):
            writer.add_histogram("x", [float("nan")])
        with pytest.raises(ValueError, match=r"'CHW' does not describe an array of shape \(2, 2\)"):
            writer.add_image("x", tg.ones(2, 2))


def test_the_default_folder(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    monkeypatch.chdir(tmp_path)
    SummaryWriter(comment="-lr").close()
    (run,) = (tmp_path / "runs").iterdir()
    assert run.name.endswith("-lr")


def test_tensorboardx_writes_beside(tmp_path, monkeypatch):
    calls = []

    class Other:
        def __init__(self, *args, **kwargs):
            calls.append(("init", args))

        def __getattr__(self, name):
            return lambda *args, **kwargs: calls.append((name, args))

    module = ModuleType("tensorboardX")
    module.SummaryWriter = Other
    monkeypatch.setitem(sys.modules, "tensorboardX", module)
    with SummaryWriter(tmp_path) as writer:
        writer.add_scalar("loss", tg.tensor(0.5), 1)
    assert calls == [("init", (str(tmp_path),)), ("add_scalar", ("loss", 0.5, 1, None)), ("close", ())]
    assert json.loads((tmp_path / "events.jsonl").read_text())["value"] == 0.5
