"""Functions for networks, as ``torch.nn.functional``."""

from __future__ import annotations

from ..ops.activation import *
from ..ops.dropout import *
from ..ops.elementwise import sigmoid as sigmoid, tanh as tanh
from ..ops.embedding import *
from ..ops.linear import *
from ..ops.loss import *
from ..ops.softmax import *
