"""A module with a bit of everything, for tests of modules and of their state."""

from __future__ import annotations

from typing import Any

import tapegrad as tg
from tapegrad import nn


class Net(nn.Module):
    """Two layers, a buffer that is saved, one that is not, and an attribute that is neither."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.second = nn.Linear(4, 2, bias=False)
        self.register_buffer("scale", tg.ones(2))
        self.register_buffer("scratch", tg.zeros(2), persistent=False)
        self.note = "plain"

    def forward(self, x: Any) -> Any:
        return self.second(self.first(x).relu()) * self.scale


def snapshot(module: nn.Module) -> dict[str, bytes]:
    """The bits of a module's state, to compare."""
    return {name: value.detach().numpy().tobytes() for name, value in module.state_dict().items()}
