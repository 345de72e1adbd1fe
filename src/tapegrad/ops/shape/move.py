"""Copies on another device."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...device import device, device_of, kernels_of, on_host, placed
from ...registry import Op, register
from ...samples import Input, Sample

CPU = device("cpu")


def _moved(x: Any, where: device) -> Any:
    if where.type == "cpu":
        return on_host(x) if device_of(x).type != "cpu" else x.copy()
    if device_of(x).type == "cpu":
        return placed(x, where)
    return kernels_of(where).from_device(x, where.index)


MOVE = register(
    Op(
        "to_device",
        ("input",),
        lambda B, x, *, device, source: _moved(x, device),
        {"input": lambda K, g, device, source: K.to_device(g, device=source, source=device)},
        method=False,
        samples=[Sample((Input((3, 4)),), {"device": CPU, "source": CPU}), Sample((Input(()),), {"device": CPU, "source": CPU})],
        reference=lambda x, device, source: np.copy(x),
    )
)
