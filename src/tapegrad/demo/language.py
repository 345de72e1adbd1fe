"""``tapegrad demo --lm``: a small GPT that reads Python's standard library and then writes lines of its own."""

from __future__ import annotations

import math
import re
import sys
import sysconfig
import time
from pathlib import Path

import numpy as np

import tapegrad as tg
from tapegrad import nn, optim
from tapegrad.nn import functional as F

CONTEXT, WIDTH, HEADS, LAYERS, BATCH = 64, 128, 4, 3, 16
RATE, WARM_UP = 3e-3, 50  # the learning rate, and over how many steps it rises to it
HELD_OUT = 0.05  # the last part of the text, never trained on


# --------------------------------------------------------------------------------------------------------------- model


class Block(nn.Module):
    """A pre-norm transformer layer: causal self-attention, then a perceptron on every position."""

    def __init__(self) -> None:
        super().__init__()
        self.attention_norm, self.perceptron_norm = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.qkv, self.project = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.perceptron = nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.GELU("tanh"), nn.Linear(4 * WIDTH, WIDTH))

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        """Shape (n, time, WIDTH) in and out."""
        n, length, _ = x.shape
        heads = self.qkv(self.attention_norm(x)).view(n, length, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)
        query, key, value = heads.unbind()
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + self.project(mixed.transpose(1, 2).reshape(n, length, WIDTH))
        out: tg.Tensor = x + self.perceptron(self.perceptron_norm(x))
        return out


class GPT(nn.Module):
    """A decoder-only transformer over characters (Radford et al., 2019, in small)."""

    def __init__(self, characters: int) -> None:
        super().__init__()
        self.token, self.position = nn.Embedding(characters, WIDTH), nn.Embedding(CONTEXT, WIDTH)
        self.blocks = nn.Sequential(*[Block() for _ in range(LAYERS)])
        self.norm = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, characters, bias=False)
        for parameter in self.parameters():
            if parameter.ndim == 2:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, ids: tg.Tensor) -> tg.Tensor:
        """Logits of each next character, shape (n, time, characters), from ids, shape (n, time)."""
        x = self.token(ids) + self.position(tg.arange(ids.shape[1]))
        logits: tg.Tensor = self.head(self.norm(self.blocks(x)))
        return logits


# ---------------------------------------------------------------------------------------------------------------- text


def plain(source: str) -> str:
    """The lines of a module that read as text: a tab for each level of indentation, no rulers, nothing very long."""
    lines = []
    for line in source.splitlines():
        body = line.strip()
        if len(line) <= 88 and not re.search(r"(\W)\1{3}", body):
            lines.append("\t" * min((len(line) - len(line.lstrip())) // 4, 4) + body)
    return "\n".join(lines)


class Text:
    """The standard library's modules as one text, and each character as a number.

    Attributes:
        characters: all that occur, in order of their numbers.
        training, held_out: ids, int64 arrays.
    """

    def __init__(self) -> None:
        library = Path(sysconfig.get_path("stdlib"))
        source = "\n".join(plain(path.read_text("utf8", errors="ignore")) for path in sorted(library.glob("*.py")))
        codes = np.frombuffer(source.encode("ascii", errors="ignore"), np.uint8)
        codes = codes[(codes >= 32) & (codes < 127) | (codes == ord("\n")) | (codes == ord("\t"))]
        known, ids = np.unique(codes, return_inverse=True)
        self.characters = bytes(known.tolist()).decode()
        self.training, self.held_out = np.split(ids.astype(np.int64), [int(len(ids) * (1 - HELD_OUT))])

    def encode(self, text: str) -> tg.Tensor:
        """Ids of a text as a batch of one, shape (1, time)."""
        return tg.tensor([[self.characters.index(c) for c in text]])

    def batch(self, ids: np.ndarray, random: np.random.Generator, size: int = BATCH) -> tuple[tg.Tensor, tg.Tensor]:
        """Stretches of the text and what follows each of their characters, both of shape (size, CONTEXT)."""
        at = random.integers(0, len(ids) - CONTEXT, (size, 1)) + np.arange(CONTEXT)
        return tg.from_numpy(ids[at]), tg.from_numpy(ids[at + 1])


# ------------------------------------------------------------------------------------------------------------ training


def loss_of(model: GPT, x: tg.Tensor, y: tg.Tensor) -> tg.Tensor:
    """Mean cross entropy of the next character, in nats."""
    loss: tg.Tensor = F.cross_entropy(model(x).flatten(0, 1), y.flatten())
    return loss


def rate(step: int, share: float) -> float:
    """The learning rate: a linear rise, then half a cosine over the ``share`` of the time that has gone."""
    return RATE * min(1.0, step / WARM_UP) * max(0.02, (1 + math.cos(math.pi * share)) / 2)


def train(model: GPT, text: Text, seconds: float, seed: int, steps: float = math.inf) -> int:
    """Train until the time is up, or for so many steps; returns how many they were."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    decayed = [p for p in model.parameters() if p.ndim >= 2]
    others = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    optimizer = optim.AdamW(groups, lr=RATE, betas=(0.9, 0.95))
    random = np.random.default_rng(seed)
    mean, step, begin = math.nan, 0, time.perf_counter()
    columns = "step {task.fields[step]}", "loss [cyan]{task.fields[loss]}[/]", "[magenta]{task.fields[speed]}[/] characters/s"
    with Progress(TextColumn(columns[0]), BarColumn(), *map(TextColumn, columns[1:]), TimeRemainingColumn()) as progress:
        task = progress.add_task("", total=seconds, step=0, loss="-", speed="-")
        while (gone := time.perf_counter() - begin) < seconds and step < steps:
            step += 1
            for group in optimizer.param_groups:
                group["lr"] = rate(step, gone / seconds)
            optimizer.zero_grad()
            loss = loss_of(model, *text.batch(text.training, random))
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            mean = float(loss) if step == 1 else 0.95 * mean + 0.05 * float(loss)
            speed = step * BATCH * CONTEXT / max(gone, 1e-9)
            progress.update(task, completed=gone, step=step, loss=f"{mean:.3f}", speed=f"{speed:,.0f}")
    return step


def write(model: GPT, text: Text, start: str, length: int, temperature: float = 0.7) -> str:
    """Have the model go on from ``start``, one drawn character after the other; also printed as it comes."""
    ids = text.encode(start)
    print(start, end="", flush=True)
    with tg.no_grad():
        for _ in range(length):
            chances = F.softmax(model(ids[:, -CONTEXT:])[:, -1] / temperature, dim=-1)
            ids = tg.cat([ids, tg.multinomial(chances, 1)], dim=1)
            print(text.characters[int(ids[0, -1])].replace("\t", "    "), end="", flush=True)
    print()
    return "".join(text.characters[i] for i in ids[0].tolist())


def run(out: Path, seed: int, quick: bool, seconds: float = 120.0) -> int:
    """Train, write and save; the process's exit status. ``quick`` takes three steps only."""
    try:
        from rich.console import Console
    except ImportError:
        print("tapegrad demo needs rich, which is not installed: pip install 'tapegrad[demo]'", file=sys.stderr)
        return 2
    console = Console(highlight=False)
    console.print("[bold]A character-level GPT[/] that reads the modules of Python's standard library")
    tg.manual_seed(seed)
    text = Text()
    model = GPT(len(text.characters))
    count = sum(p.numel() for p in model.parameters())
    console.print(f"{len(text.training):,} characters of {len(text.characters)} kinds; {count:,} parameters, {LAYERS} layers; seed {seed}\n")
    steps = train(model, text, seconds, seed, steps=3 if quick else math.inf)
    with tg.no_grad():
        loss = float(loss_of(model, *text.batch(text.held_out, np.random.default_rng(0), 256)))
    console.print(f"\n{steps} steps; loss on text it has not read: {loss:.3f} nats a character (chance: {math.log(len(text.characters)):.2f})\n")
    console.rule("what it writes")
    write(model, text, "\ndef ", 40 if quick else 600)
    console.rule()
    out.mkdir(parents=True, exist_ok=True)
    tg.save({"characters": text.characters, "state": model.state_dict()}, out / "gpt.safetensors")
    console.print(f"Checkpoint: {out / 'gpt.safetensors'}", soft_wrap=True)
    return 0
