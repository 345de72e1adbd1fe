"""Knowledge distilled from a wide network into a small one (Hinton et al., https://arxiv.org/abs/1503.02531), with feature hooks."""

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.nn.utils import parameters_to_vector, vector_to_parameters
from torch.nn.utils.parametrizations import spectral_norm


def mlp(width, bound=False):
    wrap = spectral_norm if bound else lambda layer: layer
    return nn.Sequential(wrap(nn.Linear(6, width)), nn.Mish(), wrap(nn.Linear(width, width)), nn.Mish(), nn.Linear(width, 4))


def quadrants(count):
    """Points (count, 6) and the quadrant of their projections on two fixed directions."""
    directions = torch.tensor([[1.0, -0.5, 0.2, 0.0, 0.8, -0.3], [0.1, 0.9, -0.7, 0.4, 0.0, 0.5]])
    x = torch.randn(count, 6)
    side = (x @ directions.T > 0).long()
    return x, 2 * side[:, 0] + side[:, 1]


def train(model, x, y, steps, loss_fn):
    optimizer = torch.optim.Rprop(model.parameters(), lr=0.01)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = loss_fn(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def main(steps=60, temperature=2.0):
    torch.manual_seed(113)
    x, y = quadrants(80)
    teacher, student = mlp(32), mlp(8, bound=True)
    history = {"teacher": train(teacher, x, y, steps, nn.CrossEntropyLoss())}

    features = {}
    handles = [model[2].register_forward_hook(lambda m, args, out, name=name: features.update({name: out})) for name, model in [("t", teacher), ("s", student)]]
    teacher.eval()
    with torch.no_grad():
        soft = F.softmax(teacher(x) / temperature, dim=-1)
        hidden = features["t"].mean(dim=1)

    def loss_fn(logits, labels):
        kd = nn.KLDivLoss(reduction="batchmean")(F.log_softmax(logits / temperature, dim=-1), soft) * temperature**2
        hint = F.huber_loss(features["s"].mean(dim=1), hidden, delta=0.5)
        return 0.7 * kd + 0.2 * F.cross_entropy(logits, labels) + 0.1 * hint

    history["student"] = train(student, x, y, steps, loss_fn)
    for handle in handles:
        handle.remove()

    averaged = mlp(32)  # between a fresh network and the teacher
    vector_to_parameters(0.5 * parameters_to_vector(averaged.parameters()) + 0.5 * parameters_to_vector(teacher.parameters()), averaged.parameters())
    with torch.no_grad():
        history["between"] = [F.cross_entropy(averaged(x), y).item()]
    return history


if __name__ == "__main__":
    for name, values in main().items():
        print(f"{name} {values[0]:.3f} -> {values[-1]:.3f}")
