"""The forward-forward algorithm (Hinton, https://arxiv.org/abs/2212.13345): layers learn one by one, no error travels backward."""

import torch
import torch.nn as nn
from torch.optim import Adam


def overlay(x, y, classes):
    """The input with its first columns replaced by the one-hot label."""
    x_ = x.clone()
    x_[:, :classes] *= 0.0
    x_[range(x.shape[0]), y] = x.max()
    return x_


class Layer(nn.Linear):
    def __init__(self, in_features, out_features, threshold=2.0):
        super().__init__(in_features, out_features)
        self.relu = nn.ReLU()
        self.opt = Adam(self.parameters(), lr=0.03)
        self.threshold = threshold

    def forward(self, x):
        direction = x / (x.norm(2, 1, keepdim=True) + 1e-4)
        return self.relu(torch.mm(direction, self.weight.T) + self.bias.unsqueeze(0))

    def train_step(self, x_pos, x_neg):
        g_pos = self.forward(x_pos).pow(2).mean(1)
        g_neg = self.forward(x_neg).pow(2).mean(1)
        loss = torch.log(1 + torch.exp(torch.cat([-g_pos + self.threshold, g_neg - self.threshold]))).mean()
        self.opt.zero_grad()
        loss.backward()
        self.opt.step()
        return self.forward(x_pos).detach(), self.forward(x_neg).detach(), loss.item()


class Net:
    def __init__(self, dims, classes):
        self.layers = [Layer(a, b) for a, b in zip(dims[:-1], dims[1:])]
        self.classes = classes

    def train(self, x_pos, x_neg):
        total = 0.0
        for layer in self.layers:
            x_pos, x_neg, loss = layer.train_step(x_pos, x_neg)
            total += loss
        return total

    @torch.no_grad()
    def predict(self, x):
        goodness_per_label = []
        for label in range(self.classes):
            h = overlay(x, torch.full((len(x),), label), self.classes)
            goodness = []
            for layer in self.layers:
                h = layer(h)
                goodness += [h.pow(2).mean(1)]
            goodness_per_label += [sum(goodness).unsqueeze(1)]
        return torch.cat(goodness_per_label, 1).argmax(1)


def main(steps=400, classes=3):
    torch.manual_seed(79)
    centres = torch.randn(classes, 8)
    y = torch.randint(classes, (90,))
    x = torch.cat([torch.zeros(90, classes), (centres[y] + 0.4 * torch.randn(90, 8)).sigmoid()], dim=1)
    net = Net([classes + 8, 32, 32], classes)

    history = {"loss": [], "accuracy": []}
    for _ in range(steps):
        wrong = (y + torch.randint(1, classes, y.shape)) % classes
        history["loss"].append(net.train(overlay(x, y, classes), overlay(x, wrong, classes)))
        history["accuracy"].append(net.predict(x).eq(y).float().mean().item())
    return history


if __name__ == "__main__":
    history = main()
    print(f"loss {history['loss'][0]:.3f} -> {history['loss'][-1]:.3f}, accuracy {history['accuracy'][-1]:.1%}")
