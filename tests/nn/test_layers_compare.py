"""Every layer beside PyTorch's: signature, repr, parameters from a safetensors file, outputs, gradients and running statistics."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
from beside_pytorch import arguments
from layer_cases import CASES, Case, prepared

import tapegrad as tg
from tapegrad import nn

pytestmark = [pytest.mark.compare, pytest.mark.filterwarnings("ignore")]



def close(a: Any, b: Any, what: str, rtol: float = 1e-9) -> None:
    """Equal values, shapes and dtypes of a tapegrad and a PyTorch result, whatever it is made of."""
    if isinstance(b, (tuple, list)):
        assert len(a) == len(b), what
        for x, y in zip(a, b, strict=True):
            close(x, y, what, rtol)
        return
    if b is None:
        assert a is None, what
        return
    x, y = a.detach().numpy(), b.detach().numpy()
    assert (x.dtype, x.shape) == (y.dtype, y.shape), what
    np.testing.assert_allclose(x, y, rtol=rtol, atol=1e-11, err_msg=what)


def total(output: Any, lib: Any) -> Any:
    """A number that depends on all elements of the floating-point outputs, each in its own way."""
    parts = output if isinstance(output, tuple) else (output,)
    floating = [p for p in parts if p.is_floating_point()]
    return sum((p * lib.arange(1, p.numel() + 1, dtype=lib.float64).reshape(p.shape).cos()).sum() for p in floating)


@pytest.mark.parametrize("case", CASES, ids=[c.text for c in CASES])
def test_layer(case: Case, tmp_path: Any, torch: Any) -> None:
    from safetensors.torch import save_file

    torch.manual_seed(0)
    ours, theirs = case.build(tg), case.build(torch)
    assert repr(ours) == repr(theirs)
    if "Lazy" in case.text:
        sample = case.arrays()[0]
        ours(tg.tensor(sample, dtype=tg.float32)), theirs(torch.tensor(sample, dtype=torch.float32))
        assert repr(ours) == repr(theirs)
    theirs.double()
    assert ours.double() is ours
    state = theirs.state_dict()
    assert [(k, tuple(v.shape)) for k, v in ours.state_dict().items()] == [(k, tuple(v.shape)) for k, v in state.items()]
    assert [k for k, _ in ours.named_parameters()] == [k for k, _ in theirs.named_parameters()]
    assert [k for k, _ in ours.named_modules()] == [k for k, _ in theirs.named_modules()]
    save_file({k: v.contiguous() for k, v in state.items()}, tmp_path / "layer.safetensors")
    ours.load_state_dict(tg.load(tmp_path / "layer.safetensors", foreign=True))
    for mode in case.modes:
        ours.train(mode == "t"), theirs.train(mode == "t")
        arrays = case.arrays()
        x = [tg.tensor(a) for a in arrays]
        y = [torch.tensor(a) for a in arrays]
        for i in range(len(arrays) if not isinstance(theirs, torch.nn.modules.loss._Loss) else 1):
            if arrays[i].dtype.kind == "f":
                x[i].requires_grad_(), y[i].requires_grad_()
        a, b = ours(*prepared(case, x)), theirs(*prepared(case, y))
        close(a, b, "output")
        ours.zero_grad(), theirs.zero_grad()
        s, t = total(a, tg), total(b, torch)
        assert s.requires_grad == t.requires_grad
        if t.requires_grad:
            s.backward(), t.backward()
        for (name, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
            close(p.grad, q.grad, f"{mode}: gradient of {name}")
        for p, q in zip(x, y, strict=True):
            close(p.grad, q.grad, f"{mode}: gradient of an input", case.rtol)
    for (name, p), q in zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True):
        close(p, q, name)


LARGE = [
    "nn.Linear(300, 200)", "nn.Bilinear(30, 20, 50)", "nn.Conv1d(60, 80, 5, groups=2)", "nn.Conv2d(30, 40, 3)", "nn.ConvTranspose2d(30, 40, 3)",
    "nn.Embedding(200, 100, padding_idx=3)", "nn.EmbeddingBag(200, 100)", "nn.PReLU(5)", "nn.BatchNorm2d(5)", "nn.LayerNorm(5)", "nn.GroupNorm(1, 5)",
    "nn.InstanceNorm2d(5, affine=True)", "nn.RMSNorm(5)", "nn.AdaptiveLogSoftmaxWithLoss(200, 600, [100, 300], 2.0)",
]  # fmt: skip


@pytest.mark.parametrize("text", LARGE)
def test_start(text: str, torch: Any) -> None:
    """Parameters and buffers start from the same laws: equal mean, spread and bounds, within what chance allows."""
    torch.manual_seed(0)
    ours, theirs = Case(text).build(tg), Case(text).build(torch)
    for (name, p), q in zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True):
        a, b = p.numpy().astype(float), q.numpy().astype(float)
        spread = b.std()
        chance = 6 * spread / np.sqrt(b.size)
        assert abs(a.mean() - b.mean()) <= 2 * chance, name
        assert abs(a.std() - spread) <= 2 * chance, name
        if "Embedding" not in text:  # normal numbers have no bounds
            assert abs(np.abs(a).max() - np.abs(b).max()) <= max(chance, 0.05 * spread), name


# What PyTorch has beyond this library.
NOT_HERE = {"Container", "CrossMapLRN2d", "DataParallel", "LinearCrossEntropyLoss", "LinearCrossEntropyOptions", "NLLLoss2d", "SyncBatchNorm"}  # fmt: skip
# Explicit here, where PyTorch has ``*args``.
EXPLICIT = {"GRU", "LSTM", "RNN", "RNNBase"}
CLASSES = [n for n, c in vars(nn).items() if inspect.isclass(c) and n not in EXPLICIT]


def test_no_class_is_missing(torch: Any) -> None:
    theirs = {n for n, c in vars(torch.nn).items() if inspect.isclass(c)}
    assert theirs - NOT_HERE == {n for n, c in vars(nn).items() if inspect.isclass(c)}


@pytest.mark.parametrize("name", CLASSES)
def test_signature(name: str, torch: Any) -> None:
    ours, theirs = getattr(nn, name), getattr(torch.nn, name)
    assert arguments(ours) == arguments(theirs)
    if issubclass(ours, nn.Module):
        assert arguments(ours.forward) == arguments(theirs.forward)
        for method in ("from_pretrained", "log_prob", "predict", "reset_parameters"):
            if hasattr(theirs, method):
                assert arguments(getattr(ours, method)) == arguments(getattr(theirs, method))
    assert ours.__doc__


# Machinery that this library does without; ``to`` is explicit here.
NO_METHODS = {"T_destination", "dump_patches", "compile", "share_memory", "ipu", "mtia", "xpu", "to"}


def test_methods_of_module(torch: Any) -> None:
    theirs = {n: m for n, m in vars(torch.nn.Module).items() if n[0] != "_" and n not in NO_METHODS}
    for name, method in theirs.items():
        assert hasattr(nn.Module, name), name
        if callable(method):
            assert arguments(getattr(nn.Module, name)) == arguments(getattr(torch.nn.Module, name)), name


@pytest.mark.parametrize("name", ["Sequential", "ModuleList", "ModuleDict", "ParameterList", "ParameterDict"])
def test_methods_of_containers(name: str, torch: Any) -> None:
    theirs = {n for n, m in vars(getattr(torch.nn, name)).items() if callable(m) and (n[0] != "_" or n[:2] == "__")}
    assert not {n for n in theirs if not hasattr(getattr(nn, name), n)}
