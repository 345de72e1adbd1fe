"""Functions for networks, as ``torch.nn.functional``."""

from __future__ import annotations

from ..ops.activation import *
from ..ops.attention import *
from ..ops.classification_loss import *
from ..ops.conv import *
from ..ops.ctc import *
from ..ops.dropout import *
from ..ops.elementwise import sigmoid as sigmoid, tanh as tanh
from ..ops.embedding import *
from ..ops.embedding_bag import *
from ..ops.embedding_loss import *
from ..ops.fold import *
from ..ops.grid_sample import *
from ..ops.interpolate import *
from ..ops.linear import *
from ..ops.loss import *
from ..ops.margin_loss import *
from ..ops.max_pool import *
from ..ops.normalization import *
from ..ops.one_hot import *
from ..ops.pad import *
from ..ops.pixel import *
from ..ops.pool import *
from ..ops.regression_loss import *
from ..ops.response_norm import *
from ..ops.similarity import *
from ..ops.smooth_activation import *
from ..ops.softmax import *


def __dir__() -> list[str]:
    """The public names."""
    return sorted(name for name in globals() if name[0] != "_" and name != "annotations")
