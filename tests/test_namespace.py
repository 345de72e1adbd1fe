"""The public namespaces: what they list, and what they say of names that are missing."""

from __future__ import annotations

import importlib.metadata
import math
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

import tapegrad as tg
from tapegrad import dtypes
from tapegrad.nn import functional as F

ROOT = Path(__file__).parents[1]


def test_the_version_is_the_package_s() -> None:
    assert tg.__version__ == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def test_the_version_of_cuda_is_that_of_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(package: str) -> str:
        assert package == "cuda-bindings"
        return "13.0.3"

    def none(package: str) -> str:
        raise importlib.metadata.PackageNotFoundError(package)

    monkeypatch.setattr(importlib.metadata, "version", version)
    assert tg.version.cuda == "13.0" and tg.version.hip is None and tg.version.__version__ == tg.__version__
    monkeypatch.setattr(importlib.metadata, "version", none)
    assert tg.version.cuda is None
    with pytest.raises(AttributeError, match="no_such"):
        _ = tg.version.no_such


def test_memory_formats_are_accepted() -> None:
    x = tg.ones(2, 3, 4, 5).permute(0, 3, 1, 2)
    assert x.is_contiguous(memory_format=tg.channels_last)
    assert not x.is_contiguous()
    made = x.contiguous(memory_format=tg.contiguous_format), tg.zeros_like(x, memory_format=tg.preserve_format), x.clone(memory_format=tg.channels_last)
    assert all(y.is_contiguous() and y.shape == x.shape for y in made)
    assert tg.rand_like(x, memory_format=tg.preserve_format).shape == x.shape
    assert x.to(memory_format=tg.channels_last) is x
    model = tg.nn.Conv2d(5, 1, 2)
    assert model.to(memory_format=tg.channels_last) is model
    assert repr(tg.channels_last) == "tapegrad.channels_last"


def test_dir_lists_public_names_only() -> None:
    names = dir(tg)
    assert {"tensor", "nn", "optim", "Tensor", "float32", "elementwise", "compile", "testing", "autograd", "__version__"} <= set(names)
    modules = {n for n in names if isinstance(getattr(tg, n), ModuleType)}
    assert modules == {"accelerator", "amp", "autograd", "backends", "cuda", "distributions", "dtypes", "io", "linalg", "nn", "optim", "random", "solver", "special", "testing", "utils", "version"}
    assert [n for n in names if n[0] == "_"] == ["__version__"]
    assert not {"annotations", "Any", "TYPE_CHECKING"} & set(names)


def test_dir_of_nn() -> None:
    assert {"Linear", "Module", "functional", "init"} <= set(dir(tg.nn))
    assert not {"layers", "module", "annotations", "tree"} & set(dir(tg.nn))
    assert {"linear", "cross_entropy", "relu"} <= set(dir(F))
    assert [n for n in dir(F) if n == "annotations" or n[0] == "_" or not callable(getattr(F, n))] == []


def test_a_missing_name_is_called_missing_yet() -> None:
    with pytest.raises(AttributeError, match=r"tapegrad has no 'stft2' \(yet\)") as caught:
        tg.stft2  # noqa: B018
    assert (caught.value.name, caught.value.obj) == ("stft2", tg)  # from which Python suggests like names
    assert not hasattr(tg, "stft2")


def test_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ml_dtypes")
    assert tg.bfloat16 is dtypes.bfloat16
    monkeypatch.delattr(tg, "bfloat16")
    with pytest.raises(AttributeError, match="it needs the package ml_dtypes"):
        tg.bfloat16  # noqa: B018


def test_names_of_dtypes_and_constants() -> None:
    assert [tg.half, tg.float, tg.double] == [tg.float16, tg.float32, tg.float64]
    assert [tg.short, tg.int, tg.long, tg.cfloat, tg.cdouble] == [tg.int16, tg.int32, tg.int64, tg.complex64, tg.complex128]
    assert (tg.pi, tg.e, tg.inf, tg.newaxis) == (math.pi, math.e, math.inf, None) and math.isnan(tg.nan)


def test_what_a_value_is() -> None:
    assert [tg.is_tensor(x) for x in (tg.ones(2), [1.0], 1.0)] == [True, False, False]
    assert [tg.is_floating_point(tg.ones(1, dtype=d)) for d in (tg.float16, tg.complex64, tg.int8)] == [True, False, False]
    assert [tg.is_complex(tg.ones(1, dtype=d)) for d in (tg.float16, tg.complex64, tg.int8)] == [False, True, False]
    assert [tg.is_nonzero(tg.tensor(x)) for x in ([0.5], 0)] == [True, False]


def test_scripts_can_ask_for_a_gpu() -> None:
    assert not (tg.cuda.is_available() or tg.accelerator.is_available() or tg.backends.mps.is_available() or tg.backends.cudnn.is_available())
    assert (tg.cuda.device_count(), tg.accelerator.device_count(), tg.accelerator.current_accelerator()) == (0, 0, None)
    tg.cuda.manual_seed_all(0)
    with pytest.raises(RuntimeError, match="no CUDA device"):
        tg.cuda.synchronize()
    tg.set_default_device(tg.accelerator.current_accelerator() or "cpu")
    assert tg.get_default_device() == tg.device("cpu")
    with pytest.raises(RuntimeError, match="no CUDA device.*(driver|pip install)"):
        tg.set_default_device("cuda")
    tg.backends.cuda.matmul.allow_tf32 = False  # scripts set it without asking
    assert (tg.cuda.max_memory_allocated(), tg.cuda.is_bf16_supported()) == (0, False)
    assert tg.ones(2).get_device() == -1


def test_older_names_of_mixed_precision_do_nothing_without_a_gpu() -> None:
    with pytest.warns(FutureWarning, match="amp.GradScaler.'cuda'"), pytest.warns(UserWarning, match="CUDA is not available"):
        scaler = tg.cuda.amp.GradScaler(init_scale=8.0)
    with pytest.warns(FutureWarning, match="amp.autocast.'cuda'"), pytest.warns(UserWarning, match="CUDA is not available"):
        region = tg.cuda.amp.autocast()
    with region:
        assert (tg.ones(1, 1) @ tg.ones(1, 1)).dtype is tg.float32
    assert not scaler.is_enabled()


def test_settings_that_change_nothing_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tg.backends, "_settings", dict(tg.backends._settings))
    assert (tg.get_float32_matmul_precision(), tg.are_deterministic_algorithms_enabled()) == ("highest", False)
    tg.set_float32_matmul_precision("high")
    tg.use_deterministic_algorithms(True)
    assert (tg.get_float32_matmul_precision(), tg.are_deterministic_algorithms_enabled()) == ("high", True)
    with pytest.warns(UserWarning, match="low is not one of"):
        tg.set_float32_matmul_precision("low")
