"""Solver: forward, backward and update over a model, a loss and its data."""

from __future__ import annotations

import copy
import itertools
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

from .. import dtypes
from ..io import load, save
from ..modes import no_grad
from ..nn.modules.module import Module
from ..nn.utils import clip_grad_norm_
from ..ops.create import tensor
from ..optim import Optimizer
from ..optim.lr_scheduler.scheduler import assign
from ..tensor import Tensor
from .batches import Batches
from .callbacks import AfterStep, Callback
from .config import SolverConfig
from .kinds import make_optimizer
from .policies import rate_factor
from .progress import progress_bar
from .randomness import Randomness

_FORMAT = "tapegrad.solver/1"


class Solver:
    """Trains a model, as Caffe's Solver does: with a learning-rate policy, tests, snapshots that go on bit for bit, and a log.

    >>> import tapegrad as tg
    >>> from tapegrad.solver import Solver
    >>> from tapegrad.utils.data import DataLoader, TensorDataset
    >>> x = tg.linspace(-1, 1, 32).unsqueeze(1)
    >>> loader = DataLoader(TensorDataset(x, 3 * x + 1), batch_size=8, shuffle=True)
    >>> solver = Solver(tg.nn.Linear(1, 1), tg.nn.MSELoss(), loader, base_lr=0.3, lr_policy="inv", gamma=0.01, power=0.75, max_iter=200)
    >>> solver.solve()
    >>> bool(solver.history["loss"][-1][1] < 1e-3)
    True

    An iteration takes ``iter_size`` batches, averages their gradients, clips and regularises them, and updates the parameters. The
    model's training flags are left as they are, but for tests, which run in ``eval()`` and set every flag back.

    Args:
        model: what is trained.
        loss_fn: ``loss_fn(output, target)``, a scalar. A batch is ``(input, ..., target)``; override :meth:`forward` for others.
        train_loader: an iterable of batches; at its end a new pass begins.
        test_loaders: a loader, or loaders by name. One loader's name is "test".
        metrics: further test results: functions of output and target, averaged over the samples.
        optimizer: instead of one that ``type`` and its options describe.
        param_groups: parameter groups for that one; ``lr_mult`` and ``decay_mult`` in a group multiply its learning rate and its
            weight decay. By default all parameters of the model.
        callbacks: :class:`Callback` objects, or functions that are called with the solver after each update.
        config: the options, or give them one by one as keywords: see :class:`SolverConfig`.
        progress: show a progress bar.
        log: what is called with each line of text.

    Attributes:
        iteration: updates made so far.
        epoch: complete passes over ``train_loader``.
        history: lists of (iteration, value) by name: "loss" and "lr" of each iteration, "test/loss", "test/accuracy"... of each test.
        stopped: why training was stopped early, or "".

    Raises:
        ValueError: naming all options that are wrong or lacking.
        TypeError: for options that don't exist.

    What differs from Caffe: the velocity of SGD does not contain the learning rate, as in PyTorch (equal while the rate is); Adam's
    delta is added after the correction of the second moment; gradients are averaged over ``iter_size`` before they are clipped.
    """

    def __init__(
        self,
        model: Module,
        loss_fn: Callable[[Any, Any], Tensor],
        train_loader: Iterable[Any],
        test_loaders: Iterable[Any] | Mapping[str, Iterable[Any]] | None = None,
        *,
        metrics: Mapping[str, Callable[[Any, Any], Any]] | None = None,
        optimizer: Optimizer | None = None,
        param_groups: Iterable[dict[str, Any]] | None = None,
        callbacks: Sequence[Callback | Callable[[Solver], object]] = (),
        config: SolverConfig | None = None,
        progress: bool = False,
        log: Callable[[str], object] = print,
        **options: Any,
    ) -> None:
        if config is not None and options:
            raise TypeError(f"Solver: give config or options, not both: {', '.join(options)}")
        self.config = SolverConfig(**options) if config is None else config
        self.model, self.loss_fn, self.progress, self.log = model, loss_fn, progress, log
        tests = {} if test_loaders is None else test_loaders if isinstance(test_loaders, Mapping) else {"test": test_loaders}
        self.test_loaders: dict[str, Iterable[Any]] = dict(tests)
        self.metrics = dict(metrics or {})
        self.callbacks = [c if isinstance(c, Callback) else AfterStep(c) for c in callbacks]
        self.optimizer = self._optimizer(optimizer, param_groups)
        base = self.config.base_lr
        self._base_lrs = [float(group["lr"]) if base is None else base for group in self.optimizer.param_groups]
        self.iteration = 0
        self.history: dict[str, list[tuple[int, float]]] = {}
        self.stopped = ""
        self._tested = -1  # the iteration of the last test that was due
        self._randomness = Randomness([train_loader, *self.test_loaders.values()])
        self._batches = Batches(train_loader, self._randomness)

    def _optimizer(self, given: Optimizer | None, param_groups: Iterable[dict[str, Any]] | None) -> Optimizer:
        problems = []
        if self.config.test_interval and not self.test_loaders:
            problems.append(f"test_interval={self.config.test_interval} needs test_loaders")
        if given is None and self.config.base_lr is None:
            problems.append("base_lr must be given where no optimizer is")
        if given is not None:
            own = ("type", "momentum", "momentum2", "rms_decay", "delta")
            default = SolverConfig()
            changed = [name for name in own if getattr(self.config, name) != getattr(default, name)]
            problems += [f"{name} belongs to the optimizer that was given" for name in changed]
            if param_groups is not None:
                problems.append("param_groups belong to the optimizer that was given")
        if problems:
            raise ValueError("Solver:\n\t" + "\n\t".join(problems))
        return given or make_optimizer(self.config, self.model.parameters() if param_groups is None else param_groups)

    @property
    def epoch(self) -> int:
        """Complete passes over the training data."""
        return self._batches.epoch

    # ------------------------------------------------------------------------------------------------------- training

    def solve(self) -> None:
        """Train until ``max_iter`` iterations are done, or something stops it; then take a last snapshot and test.

        Raises:
            ValueError: without ``max_iter``.
        """
        c = self.config
        if c.max_iter is None:
            raise ValueError("solve() needs max_iter; step(n) makes n iterations")
        self.step(c.max_iter - self.iteration)
        if c.snapshot_after_train and c.snapshot_prefix is not None and (not c.snapshot or self.iteration % c.snapshot):
            self.snapshot()
        if self.stopped:
            self.log(f"iteration {self.iteration}, stopped: {self.stopped}")
        elif self._test_is_due():
            self.test()
        self._call("on_end")

    def step(self, iterations: int = 1) -> None:
        """Make some iterations, with the tests and snapshots that are due, until something stops it."""
        self.stopped = ""
        stop = self.iteration + iterations
        with progress_bar(self.iteration, stop, self.log) if self.progress else nullcontext(_nothing) as advance:
            while self.iteration < stop:
                if self._test_is_due():
                    self._tested = self.iteration
                    self.test()
                if self.stopped:
                    break
                advance(*self._iterate())
                self._call("on_step")
                if self.config.snapshot and self.iteration % self.config.snapshot == 0:
                    self.snapshot()
                if self.stopped:
                    break

    def stop(self, reason: str = "stop() was called") -> None:
        """End training after the current iteration or test; for callbacks."""
        self.stopped = reason

    def forward(self, batch: Any) -> tuple[Tensor, Any, Any]:
        """The loss, the output and the target of a batch ``(input, ..., target)``; override it for batches of another form.

        Raises:
            TypeError: for other batches.
        """
        if not isinstance(batch, (tuple, list)) or len(batch) < 2:
            raise TypeError(f"Solver expects batches (input, ..., target), got {type(batch).__name__}; override Solver.forward for others")
        *inputs, target = batch
        output = self.model(*inputs)
        return self.loss_fn(output, target), output, target

    def _iterate(self) -> tuple[float, float]:
        """One iteration; its loss and its learning rate."""
        c = self.config
        self.optimizer.zero_grad()
        total = 0.0
        for _ in range(c.iter_size):
            loss = self.forward(self._batches.next())[0]
            loss.backward()
            total += float(loss)
        self._finish_gradients()
        factor = rate_factor(c, self.iteration)
        for group, base in zip(self.optimizer.param_groups, self._base_lrs, strict=True):
            assign(group, "lr", base * factor * group.get("lr_mult", 1.0))
        rate = self._base_lrs[0] * factor
        mean = total / c.iter_size
        self._note({"loss": mean, "lr": rate})
        if c.display and self.iteration % c.display == 0:
            recent = [value for _, value in self.history["loss"][-c.average_loss :]]
            self.log(f"iteration {self.iteration}, lr {rate:.4g}, loss {sum(recent) / len(recent):.4g}")
        self.optimizer.step()
        self.iteration += 1
        return mean, rate

    def _finish_gradients(self) -> None:
        """Average, clip and regularise what ``backward`` left."""
        c = self.config
        pairs = [(p, group) for group in self.optimizer.param_groups for p in group["params"] if p.grad is not None]
        with no_grad():
            if c.iter_size > 1:
                for p, _ in pairs:
                    p.grad.mul_(1 / c.iter_size)
            if c.clip_gradients >= 0:
                clip_grad_norm_([p for p, _ in pairs], c.clip_gradients)
            for p, group in pairs:
                decay = c.weight_decay * group.get("decay_mult", 1.0)
                if decay:
                    p.grad.add_(p if c.regularization_type == "L2" else p.sign(), alpha=decay)

    # -------------------------------------------------------------------------------------------------------- testing

    def _test_is_due(self) -> bool:
        interval = self.config.test_interval
        if not interval or self.iteration % interval or self._tested == self.iteration:
            return False
        return self.iteration > 0 or self.config.test_initialization

    def test(self) -> dict[str, float]:
        """The loss and the metrics on every test loader, in ``eval()`` and without gradients.

        Returns:
            Means over the samples, by "{loader}/{name}"; they are added to the history.

        Raises:
            ValueError: without test loaders, or for one without batches.
        """
        if not self.test_loaders:
            raise ValueError("test() needs test_loaders")
        flags = [(module, module.training) for module in self.model.modules()]
        self.model.eval()
        try:
            with no_grad():
                results = {key: value for name, loader in self.test_loaders.items() for key, value in self._tested_on(name, loader)}
        finally:
            for module, training in flags:
                module.training = training
        self._note(results)
        if self.config.display:
            self.log(f"iteration {self.iteration}, " + ", ".join(f"{name} {value:.4g}" for name, value in results.items()))
        self._call("on_test", results)
        return results

    def _tested_on(self, name: str, loader: Iterable[Any]) -> Iterable[tuple[str, float]]:
        sums = dict.fromkeys(["loss", *self.metrics], 0.0)
        samples = 0
        for batch in itertools.islice(loader, self.config.test_iter):
            loss, output, target = self.forward(batch)
            size = len(target) if isinstance(target, Tensor) and target.ndim else 1
            for key, value in [("loss", loss), *((key, metric(output, target)) for key, metric in self.metrics.items())]:
                sums[key] += float(value) * size
            samples += size
        if not samples:
            raise ValueError(f"the test loader {name!r} has no batches")
        return [(f"{name}/{key}", total / samples) for key, total in sums.items()]

    # ------------------------------------------------------------------------------------------------------ snapshots

    def snapshot(self, path: str | os.PathLike[str] | None = None) -> str:
        """Write all that training depends on, so that a solver which restores it goes on bit for bit; returns the path.

        That is: the model's state dict, the optimizer's, the iteration, the position in the training data, the states of random
        generators (tapegrad's default one, the loaders', Python's and NumPy's global ones), the history and the callbacks' state.

        Args:
            path: by default "{snapshot_prefix}_iter_{iteration}.safetensors", whose folder is made if need be. The file is replaced
                as :func:`tapegrad.save` does.

        Raises:
            ValueError: without a path and a prefix.
        """
        if path is None:
            if self.config.snapshot_prefix is None:
                raise ValueError("snapshot() needs a path, or the option snapshot_prefix")
            path = f"{self.config.snapshot_prefix}_iter_{self.iteration}.safetensors"
            os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        state = {
            "format": _FORMAT,
            "iteration": self.iteration,
            "tested": self._tested,
            "model": dict(self.model.state_dict()),
            "optimizer": self.optimizer.state_dict(),
            "batches": self._batches.state_dict(),
            "random": self._randomness.get(),
            "history": {name: _columns(entries) for name, entries in self.history.items()},
            "callbacks": [c.state_dict() for c in self.callbacks],
        }
        save(state, path)
        self._call("on_snapshot", str(path))
        return str(path)

    def restore(self, path: str | os.PathLike[str]) -> None:
        """Go on from a snapshot. The solver must have been made alike: model, optimizer, loaders, callbacks.

        Its own learning-rate policy, intervals and the like count; the optimizer's momentum and so on come with the snapshot. A snapshot
        that doesn't fit changes nothing.

        Args:
            path: what :meth:`snapshot` wrote.

        Raises:
            ValueError: for another file, another optimizer, fewer batches, and other callbacks.
            RuntimeError: for another model, or a damaged file (CheckpointError).
            OSError: when the file can't be read.
        """
        state = load(path)
        if not isinstance(state, dict) or state.get("format") != _FORMAT:
            raise ValueError(f"{os.fspath(path)} is no snapshot of a Solver")
        try:
            self._take_over(state)
        except KeyError as error:
            raise ValueError(f"{os.fspath(path)} lacks {error}: it is a snapshot of another solver, or incomplete") from error

    def _take_over(self, state: dict[str, Any]) -> None:
        """Take all of a snapshot or nothing: what can fail comes before the assignments, and the model's own loading last."""
        if len(state["callbacks"]) != len(self.callbacks):
            raise ValueError(f"the snapshot has the state of {len(state['callbacks'])} callbacks, the solver has {len(self.callbacks)}")
        iteration, tested = state["iteration"], state["tested"]
        history = {name: list(zip(*(c.tolist() for c in columns), strict=True)) for name, columns in state["history"].items()}
        random, optimizer = self._randomness.get(), self.optimizer.state_dict()
        remembered = [copy.deepcopy(c.state_dict()) for c in self.callbacks]
        try:
            batches = self._batches.moved_to(state["batches"])
            self._randomness.set(state["random"])
            self.optimizer.load_state_dict(state["optimizer"])
            self._load_callbacks(state["callbacks"])
            self.model.load_state_dict(state["model"])
        except BaseException:
            self._randomness.set(random)
            self.optimizer.load_state_dict(optimizer)
            self._load_callbacks(remembered)
            raise
        self._batches, self.iteration, self._tested, self.history = batches, iteration, tested, history

    def _load_callbacks(self, states: Iterable[dict[str, Any]]) -> None:
        for callback, state in zip(self.callbacks, states, strict=True):
            callback.load_state_dict(state)

    # -------------------------------------------------------------------------------------------------------- helpers

    def _note(self, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self.history.setdefault(name, []).append((self.iteration, value))

    def _call(self, event: str, *args: Any) -> None:
        for callback in self.callbacks:
            getattr(callback, event)(self, *args)

    def __repr__(self) -> str:
        return f"Solver({type(self.model).__name__}, {type(self.optimizer).__name__}, iteration={self.iteration}, epoch={self.epoch})"


def _nothing(loss: float, rate: float) -> None:
    pass


def _columns(entries: list[tuple[int, float]]) -> tuple[Tensor, Tensor]:
    """The iterations and the values, as a snapshot keeps them."""
    iterations, values = zip(*entries, strict=True)
    return tensor(iterations), tensor(values, dtype=dtypes.float64)
