"""Copies on another device."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...device import device, device_of, kernels_of, on_host, placed
from ...registry import Op, register
from ...samples import Input, Sample

CPU = device("cpu")


def _moved(x: Any, where: device, blocking: bool) -> Any:
    if where.type == "cpu":
        return on_host(x, blocking=blocking) if device_of(x).type != "cpu" else x.copy()
    if device_of(x).type == "cpu":
        return placed(x, where, blocking=blocking)
    return kernels_of(where).from_device(x, where.index)


MOVE = register(
    Op(
        "to_device",
        ("input",),
        lambda B, x, *, device, source, blocking: _moved(x, device, blocking),
        {"input": lambda K, g, device, source: K.to_device(g, device=source, source=device, blocking=True)},
        method=False,
        samples=[Sample((Input(shape),), {"device": CPU, "source": CPU, "blocking": True}) for shape in ((3, 4), ())],
        reference=lambda x, device, source, blocking: np.copy(x),
    )
)
