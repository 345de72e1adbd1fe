"""A multilayer perceptron that tells three interleaved spirals apart."""

import math

import torch
import torch.nn as nn
import torch.optim as optim


def spirals(arms, points):
    """Points (arms * points, 2) on noisy spirals, and the number of the arm of each."""
    radius = torch.linspace(0.05, 1, points)
    positions = []
    for k in range(arms):
        angle = 4 * radius + 2 * math.pi * k / arms + 0.1 * torch.randn(points)
        positions.append(torch.stack([radius * torch.cos(angle), radius * torch.sin(angle)], dim=1))
    return torch.cat(positions), torch.arange(arms).repeat_interleave(points)


class MLP(nn.Module):
    def __init__(self, inputs, hidden, classes):
        super().__init__()
        self.fc1 = nn.Linear(inputs, hidden)
        self.fc2 = nn.Linear(hidden, hidden)
        self.out = nn.Linear(hidden, classes)
        self.act = nn.ReLU()

    def forward(self, x):
        x = self.act(self.fc1(x))
        x = self.act(self.fc2(x))
        return self.out(x)


def main(steps=300):
    torch.manual_seed(0)
    x, y = spirals(arms=3, points=60)
    model = MLP(2, 32, 3)
    criterion = nn.CrossEntropyLoss(label_smoothing=0.05)
    optimizer = optim.SGD(model.parameters(), lr=0.2, momentum=0.9, nesterov=True, weight_decay=1e-4)

    history = {"loss": [], "accuracy": []}
    for _ in range(steps):
        optimizer.zero_grad()
        logits = model(x)
        loss = criterion(logits, y)
        loss.backward()
        optimizer.step()
        history["loss"].append(loss.item())
        history["accuracy"].append((logits.argmax(dim=1) == y).float().mean().item())
    return history


if __name__ == "__main__":
    history = main()
    print(f"loss {history['loss'][0]:.3f} -> {history['loss'][-1]:.3f}, accuracy {history['accuracy'][-1]:.1%}")
