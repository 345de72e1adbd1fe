"""Networks and their training steps, written once for every library that reads like PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def _perceptron(m: Any) -> Any:
    return m.nn.Sequential(m.nn.Linear(64, 128), m.nn.ReLU(), m.nn.Linear(128, 10))


def _cnn(m: Any) -> Any:
    nn = m.nn
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(32 * 2 * 2, 10),
    )


def _lstm(m: Any) -> Any:
    class Reader(m.nn.Module):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.lstm = m.nn.LSTM(64, 128, batch_first=True)
            self.head = m.nn.Linear(128, 10)

        def forward(self, x: Any) -> Any:
            return self.head(self.lstm(x)[0][:, -1])

    return Reader()


def _gpt(m: Any) -> Any:
    nn, functional = m.nn, m.nn.functional
    width, heads, layers, context, words = 128, 4, 4, 64, 96

    class Block(nn.Module):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.qkv, self.project = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

        def forward(self, x: Any) -> Any:
            n, t, _ = x.shape
            q, k, v = self.qkv(self.norm1(x)).view(n, t, 3, heads, width // heads).permute(2, 0, 3, 1, 4).unbind()
            y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.project(y.transpose(1, 2).reshape(n, t, width))
            return x + self.mlp(self.norm2(x))

    class GPT(nn.Module):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.token, self.position = nn.Embedding(words, width), nn.Embedding(context, width)
            self.blocks = nn.Sequential(*[Block() for _ in range(layers)])
            self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, words, bias=False)

        def forward(self, ids: Any) -> Any:
            x = self.token(ids) + self.position(m.arange(ids.shape[1], device=ids.device))
            return self.head(self.norm(self.blocks(x))).flatten(0, 1)

    return GPT()


def _residual(m: Any) -> Any:
    nn, functional = m.nn, m.nn.functional

    class Block(nn.Module):  # type: ignore[misc,name-defined]
        def __init__(self, inside: int, outside: int, stride: int) -> None:
            super().__init__()
            self.conv1, self.norm1 = nn.Conv2d(inside, outside, 3, stride, 1, bias=False), nn.BatchNorm2d(outside)
            self.conv2, self.norm2 = nn.Conv2d(outside, outside, 3, 1, 1, bias=False), nn.BatchNorm2d(outside)
            self.short = nn.Conv2d(inside, outside, 1, stride, bias=False)

        def forward(self, x: Any) -> Any:
            y = self.norm2(self.conv2(functional.relu(self.norm1(self.conv1(x)))))
            return functional.relu(y + self.short(x))

    class Net(nn.Module):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.blocks = nn.Sequential(Block(3, 32, 1), Block(32, 64, 2))
            self.head = nn.Linear(64, 10)

        def forward(self, x: Any) -> Any:
            return self.head(self.blocks(x).mean((2, 3)))

    return Net()


def _images(*shape: int) -> Callable[[np.random.Generator], tuple[Any, Any]]:
    return lambda rng: (rng.standard_normal(shape, dtype=np.float32), rng.integers(0, 10, shape[0]))


def _text(rng: np.random.Generator) -> tuple[Any, Any]:
    ids = rng.integers(0, 96, (16, 65))
    return ids[:, :-1].copy(), ids[:, 1:].reshape(-1).copy()


# title: model, optimizer and its options, batch
STEPS: dict[str, tuple[Callable[[Any], Any], str, dict[str, Any], Callable[[np.random.Generator], tuple[Any, Any]]]] = {
    "MLP 64-128-10, batch 32, SGD": (_perceptron, "SGD", {"lr": 0.01}, _images(32, 64)),
    "CNN on 8x8 digits, batch 64, SGD with momentum": (_cnn, "SGD", {"lr": 0.01, "momentum": 0.9}, _images(64, 1, 8, 8)),
    "LSTM 64-128, 50 steps, batch 32, Adam": (_lstm, "Adam", {"lr": 1e-3}, _images(32, 50, 64)),
    "GPT of 4 layers, width 128, 16x64 characters, AdamW": (_gpt, "AdamW", {"lr": 1e-3}, _text),
    "residual network, 16x3x32x32, SGD with momentum": (_residual, "SGD", {"lr": 0.01, "momentum": 0.9}, _images(16, 3, 32, 32)),
}


def training_step(m: Any, title: str, device: str = "cpu", autocast: str = "", **options: Any) -> Callable[[], Any]:
    """A function that makes one training step and returns the loss; ``options`` go to the optimizer, too.

    Under ``autocast`` to that dtype, if any.

    Parameters are drawn with NumPy, so that every library starts from the same ones.
    """
    build, optimizer_name, settings, batch = STEPS[title]
    rng = np.random.default_rng(0)
    model = build(m).to(device)
    with m.no_grad():
        for p in model.parameters():
            scale = 1.0 if p.ndim == 1 else 1 / np.sqrt(np.prod(p.shape[1:]))
            p.copy_(m.tensor((rng.uniform(-1, 1, tuple(p.shape)) * scale).astype(np.float32)).to(device))
    optimizer = getattr(m.optim, optimizer_name)(model.parameters(), **settings, **options)
    x, y = (m.tensor(a).to(device) for a in batch(rng))

    def step() -> Any:
        optimizer.zero_grad()
        if autocast:
            with m.autocast(device, getattr(m, autocast)):
                loss = m.nn.functional.cross_entropy(model(x), y)
        else:
            loss = m.nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return step
