"""Functions for networks, as ``torch.nn.functional``."""

from __future__ import annotations

from ..ops.elementwise.basic import sigmoid as sigmoid, tanh as tanh
from ..ops.loss.classification import *
from ..ops.loss.cross_entropy import *
from ..ops.loss.ctc import *
from ..ops.loss.embedding_loss import *
from ..ops.loss.margin import *
from ..ops.loss.regression import *
from ..ops.nn.activation import *
from ..ops.nn.attention import *
from ..ops.nn.dropout import *
from ..ops.nn.embedding import *
from ..ops.nn.embedding_bag import *
from ..ops.nn.linear import *
from ..ops.nn.multihead_attention import *
from ..ops.nn.normalization import *
from ..ops.nn.one_hot import *
from ..ops.nn.response_norm import *
from ..ops.nn.similarity import *
from ..ops.nn.smooth_activation import *
from ..ops.nn.softmax import *
from ..ops.vision.conv import *
from ..ops.vision.fold import *
from ..ops.vision.fractional_pool import *
from ..ops.vision.grid_sample import *
from ..ops.vision.interpolate import *
from ..ops.vision.max_pool import *
from ..ops.vision.max_unpool import *
from ..ops.vision.pad import *
from ..ops.vision.pixel import *
from ..ops.vision.pool import *


def __dir__() -> list[str]:
    """The public names."""
    return sorted(name for name in globals() if name[0] != "_" and name != "annotations")
