"""The public namespaces: what they list, and what they say of names that are missing."""

from __future__ import annotations

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


def test_dir_lists_public_names_only() -> None:
    names = dir(tg)
    assert {"tensor", "nn", "optim", "Tensor", "float32", "elementwise", "compile", "testing", "autograd", "__version__"} <= set(names)
    modules = {n for n in names if isinstance(getattr(tg, n), ModuleType)}
    assert modules == {"autograd", "dtypes", "nn", "optim", "special", "testing", "utils"}
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
