"""Every layer, in the file of its family; ``module`` has what they all are."""

from __future__ import annotations

from .module import Module as Module
