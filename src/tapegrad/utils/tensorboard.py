"""Logs of training, with the methods of ``torch.utils.tensorboard.SummaryWriter``.

The log is JSON lines that any tool reads, ``events.jsonl`` in the log's folder; where the package ``tensorboardX`` is installed,
its event files are written beside, so that ``tensorboard --logdir`` shows the run.
"""

from __future__ import annotations

import importlib
import json
import math
import os
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from ..tensor import Tensor

__all__ = ["SummaryWriter", "read_events"]

_FILE = "events.jsonl"


class SummaryWriter:
    """Writes what is added to ``<log_dir>/events.jsonl``, an object a line with ``kind``, ``tag``, ``value``, ``step``, ``time``.

    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> with SummaryWriter(folder) as writer:
    ...     writer.add_scalar("loss", 0.5, 10)
    >>> [(e["kind"], e["tag"], e["value"], e["step"]) for e in read_events(folder)]
    [('scalar', 'loss', 0.5, 10)]

    Tensors, NumPy arrays and numbers are taken alike. ``time`` is in seconds since 1970. A log that exists is continued.

    Args:
        log_dir: the folder; by default a new one for every run, ``runs/<date and time><comment>``.
        comment: a suffix of the default folder's name.
        purge_step, max_queue, filename_suffix: handed to tensorboardX.
        flush_secs: the file is flushed at the first event after as many seconds.
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str] | None = None,
        comment: str = "",
        purge_step: int | None = None,
        max_queue: int = 10,
        flush_secs: float = 120,
        filename_suffix: str = "",
    ) -> None:
        name = datetime.now().strftime("%b%d_%H-%M-%S") + comment
        folder = Path("runs", name) if not log_dir else Path(log_dir)
        self.log_dir = str(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self._file = open(folder / _FILE, "a", encoding="utf-8")  # noqa: SIM115  # close() is a method of ours
        self._flush_secs, self._flushed = flush_secs, time.monotonic()
        self._other: Any = None
        try:
            other = importlib.import_module("tensorboardX")
        except ImportError:
            return
        self._other = other.SummaryWriter(
            self.log_dir, purge_step=purge_step, max_queue=max_queue, flush_secs=flush_secs, filename_suffix=filename_suffix
        )

    def _write(self, kind: str, tag: str, value: Any, step: Any, walltime: float | None, **more: Any) -> None:
        if self._file.closed:
            raise ValueError(f"SummaryWriter: the log in {self.log_dir!r} is closed")
        step = None if step is None else int(_plain(step))
        event = {"kind": kind, "tag": tag, "value": value, "step": step, "time": time.time() if walltime is None else walltime, **more}
        self._file.write(json.dumps(event) + "\n")
        if time.monotonic() - self._flushed > self._flush_secs:
            self.flush()

    def _tell(self, method: str, *args: Any, **kwargs: Any) -> None:
        """Have tensorboardX write the same, which knows NumPy arrays."""
        if self._other is not None:
            getattr(self._other, method)(*args, **kwargs)

    def add_scalar(
        self,
        tag: str,
        scalar_value: Any,
        global_step: int | None = None,
        walltime: float | None = None,
        new_style: bool = False,
        double_precision: bool = False,
    ) -> None:
        """A number: ``value`` (NaN and infinities as text)."""
        value = _number(scalar_value, "add_scalar")
        self._write("scalar", tag, _finite(value), global_step, walltime)
        self._tell("add_scalar", tag, value, global_step, walltime)

    def add_scalars(
        self, main_tag: str, tag_scalar_dict: Mapping[str, Any], global_step: int | None = None, walltime: float | None = None
    ) -> None:
        """Several numbers: one scalar each, with the tag ``main_tag/key``."""
        for key, value in tag_scalar_dict.items():
            self.add_scalar(f"{main_tag}/{key}", value, global_step, walltime)

    def add_histogram(
        self,
        tag: str,
        values: Any,
        global_step: int | None = None,
        bins: Any = "tensorflow",
        walltime: float | None = None,
        max_bins: int | None = None,
    ) -> None:
        """How many values lie where: ``value`` are the counts, ``limits`` the bounds of the bins, one more.

        ``bins`` is a number, bounds, or one of NumPy's rules; "tensorflow" means 30 bins here. Non-finite values are left out.

        Raises:
            ValueError: for no finite values.
        """
        array = np.asarray(_plain(values), np.float64).ravel()
        array = array[np.isfinite(array)]
        if not array.size:
            raise ValueError(f"add_histogram: {tag!r} has no finite values")
        counts, limits = np.histogram(array, 30 if bins == "tensorflow" else bins)
        self._write("histogram", tag, counts.tolist(), global_step, walltime, limits=limits.tolist())
        self._tell("add_histogram", tag, array, global_step, bins, walltime, max_bins)

    def add_text(self, tag: str, text_string: str, global_step: int | None = None, walltime: float | None = None) -> None:
        """Text."""
        self._write("text", tag, str(text_string), global_step, walltime)
        self._tell("add_text", tag, text_string, global_step, walltime)

    def add_image(
        self, tag: str, img_tensor: Any, global_step: int | None = None, walltime: float | None = None, dataformats: str = "CHW"
    ) -> None:
        """An image: ``value`` is the name of a file ``.npy`` beside the log, of uint8 (0 to 255) or floats (0 to 1), height x width x channels.

        Raises:
            ValueError: when ``dataformats`` (letters C, H, W, in the order of the dimensions) does not fit the array.
        """
        array = np.asarray(_plain(img_tensor))
        letters = dataformats.upper()
        if sorted(letters) not in (["C", "H", "W"], ["H", "W"]) or len(letters) != array.ndim:
            raise ValueError(f"add_image: dataformats {dataformats!r} does not describe an array of shape {array.shape}; 'CHW', 'HWC' or 'HW' do")
        image = array.transpose([letters.index(c) for c in "HWC" if c in letters])
        image = image if image.ndim == 3 else image[..., None]
        name = f"image-{time.time_ns()}.npy"
        np.save(Path(self.log_dir, name), image, allow_pickle=False)
        self._write("image", tag, name, global_step, walltime)
        self._tell("add_image", tag, array, global_step, walltime, dataformats)

    def add_hparams(
        self,
        hparam_dict: Mapping[str, bool | str | float],
        metric_dict: Mapping[str, Any],
        hparam_domain_discrete: Any = None,
        run_name: str | None = None,
        global_step: int | None = None,
    ) -> None:
        """The run's settings and what came of them: ``value`` are the settings, ``metrics`` the numbers."""
        settings = {k: v if isinstance(v, (str, bool)) else _finite(_number(v, "add_hparams")) for k, v in hparam_dict.items()}
        metrics = {k: _number(v, "add_hparams") for k, v in metric_dict.items()}
        self._write("hparams", run_name or "", settings, global_step, None, metrics={k: _finite(v) for k, v in metrics.items()})
        self._tell("add_hparams", dict(hparam_dict), metrics, run_name, global_step)

    def add_graph(self, model: Any, input_to_model: Any = None, verbose: bool = False, use_strict_trace: bool = True) -> None:
        """Accepted and left out; ``print(output.tape())`` shows what a model computes."""

    def get_logdir(self) -> str:
        """The folder."""
        return self.log_dir

    def flush(self) -> None:
        """Have what was added reach the file."""
        if not self._file.closed:
            self._file.flush()
        self._flushed = time.monotonic()
        self._tell("flush")

    def close(self) -> None:
        """Flush and close the log; nothing can be added afterwards."""
        self._file.close()
        self._tell("close")
        self._other = None

    def __enter__(self) -> SummaryWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()


def read_events(log_dir: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """The events of a log, oldest first."""
    with open(Path(log_dir, _FILE), encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def _plain(value: Any) -> Any:
    """A tensor's values as NumPy has them."""
    return value.detach().cpu().numpy() if isinstance(value, Tensor) else value


def _number(value: Any, what: str) -> float:
    array = np.asarray(_plain(value))
    if array.size != 1:
        raise ValueError(f"{what}: expected one number, got shape {array.shape}")
    return float(array.reshape(())) if array.dtype.kind not in "biu" else int(array.reshape(()))


def _finite(value: float) -> float | str:
    """The number, or its name where JSON has no such number."""
    return value if math.isfinite(value) else str(value)
