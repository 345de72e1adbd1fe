"""A temporal convolutional network (Bai et al., https://arxiv.org/abs/1803.01271) on the adding problem."""

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.nn.utils.parametrizations import weight_norm


class Chomp1d(nn.Module):
    """Removes the last elements, so that padding on both sides becomes padding before."""

    def __init__(self, chomp_size):
        super().__init__()
        self.chomp_size = chomp_size

    def forward(self, x):
        return x[:, :, : -self.chomp_size].contiguous()


class TemporalBlock(nn.Module):
    def __init__(self, n_inputs, n_outputs, kernel_size, dilation, dropout):
        super().__init__()
        padding = (kernel_size - 1) * dilation
        self.conv1 = weight_norm(nn.Conv1d(n_inputs, n_outputs, kernel_size, padding=padding, dilation=dilation))
        self.conv2 = weight_norm(nn.Conv1d(n_outputs, n_outputs, kernel_size, padding=padding, dilation=dilation))
        self.net = nn.Sequential(
            *(self.conv1, Chomp1d(padding), nn.ReLU(), nn.Dropout(dropout)),
            *(self.conv2, Chomp1d(padding), nn.ReLU(), nn.Dropout(dropout)),
        )
        self.downsample = nn.Conv1d(n_inputs, n_outputs, 1) if n_inputs != n_outputs else None

    def forward(self, x):
        res = x if self.downsample is None else self.downsample(x)
        return F.relu(self.net(x) + res)


class TCN(nn.Module):
    def __init__(self, channels, kernel_size=3, dropout=0.1):
        super().__init__()
        sizes = [2, *channels]
        self.tcn = nn.Sequential(*[TemporalBlock(a, b, kernel_size, 2**i, dropout) for i, (a, b) in enumerate(zip(sizes, channels))])
        self.linear = nn.Linear(channels[-1], 1)

    def forward(self, x):
        return self.linear(self.tcn(x)[:, :, -1])


def adding_problem(count, length):
    """Sequences (count, 2, length) of numbers and of two marks, and the sums (count, 1) of the marked numbers."""
    numbers = torch.rand(count, 1, length)
    first = torch.randint(0, length // 2, (count,))
    second = torch.randint(length // 2, length, (count,))
    marks = torch.zeros(count, 1, length)
    index = torch.arange(count)
    marks[index, 0, first] = 1
    marks[index, 0, second] = 1
    return torch.cat((numbers, marks), dim=1), (numbers * marks).sum(2)


def main(steps=80, batch=16):
    torch.manual_seed(103)
    model = TCN([8, 8, 8])
    optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
    history = {"loss": [], "norm": []}
    for _ in range(steps):
        x, y = adding_problem(batch, length=20)
        optimizer.zero_grad()
        loss = F.mse_loss(model(x), y)
        loss.backward()
        history["norm"].append(torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0).item())
        optimizer.step()
        history["loss"].append(loss.item())
    return history


if __name__ == "__main__":
    loss = main(steps=400)["loss"]
    print(f"loss {loss[0]:.4f} -> {loss[-1]:.4f}")
