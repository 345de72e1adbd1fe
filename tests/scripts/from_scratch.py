"""A polynomial and then a small network fitted with tensors and gradients alone: no modules, no optimizers."""

import math

import torch


def fit_polynomial(steps, learning_rate=1e-3):
    x = torch.linspace(-math.pi, math.pi, 200)
    y = torch.sin(x)
    a, b, c, d = (torch.randn((), requires_grad=True) for _ in range(4))
    losses = []
    for _ in range(steps):
        y_pred = a + b * x + c * x**2 + d * x**3
        loss = (y_pred - y).pow(2).mean()
        loss.backward()
        with torch.no_grad():
            for weight in (a, b, c, d):
                weight -= learning_rate * weight.grad
                weight.grad = None
        losses.append(loss.item())
    return losses


def fit_network(steps, learning_rate=0.05):
    x, y = torch.randn(40, 6), torch.randn(40, 2)
    w1 = (torch.randn(6, 20) / math.sqrt(6)).requires_grad_()
    w2 = (torch.randn(20, 2) / math.sqrt(20)).requires_grad_()
    losses, by_hand = [], []
    for _ in range(steps):
        h = x.mm(w1)
        y_pred = h.clamp(min=0).mm(w2)
        loss = (y_pred - y).pow(2).sum(1).mean()
        loss.backward()
        with torch.no_grad():  # the same gradients by hand
            grad_y_pred = 2.0 * (y_pred - y) / len(x)
            grad_w2 = h.clamp(min=0).t().mm(grad_y_pred)
            grad_h = grad_y_pred.mm(w2.t()).clone()
            grad_h[h < 0] = 0
            by_hand.append((w1.grad - x.t().mm(grad_h)).abs().max().item() + (w2.grad - grad_w2).abs().max().item())
            w1.sub_(learning_rate * w1.grad)
            w2.sub_(learning_rate * w2.grad)
            w1.grad.zero_()
            w2.grad.zero_()
        losses.append(loss.item())
    return losses, max(by_hand)


def main(steps=300):
    torch.manual_seed(61)
    history = {"polynomial": fit_polynomial(steps)}
    history["loss"], largest = fit_network(steps)
    assert largest < 1e-5
    return history


if __name__ == "__main__":
    for name, loss in main().items():
        print(f"{name} {loss[0]:.3f} -> {loss[-1]:.3f}")
