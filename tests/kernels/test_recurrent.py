"""Kernels of recurrent layers as machine code; their values are tested with the layers."""

from __future__ import annotations

from typing import Any

import pytest

from tapegrad.kernels.native import cache


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_a_warm_process_needs_nothing_of_numba_for_them(direction: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from tapegrad.kernels.cpu.nn import recurrent_kernels

    needed: list[str] = []

    def write(name: str, meta: dict[str, Any], code: bytes) -> None:
        needed.extend(meta["needs"])

    monkeypatch.setattr(cache, "_write", write)
    cache._compile(f"LSTM {direction}", lambda: getattr(recurrent_kernels, direction)("LSTM", "float32"), (), False)
    assert needed
    assert [name for name in needed if name.startswith(("numba_", "NRT_")) and name not in cache._UNREACHED] == []
