"""Averaged weights: a stochastic average with recomputed statistics (Izmailov et al., https://arxiv.org/abs/1803.05407), and a moving one."""

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.optim.swa_utils import SWALR, AveragedModel, get_ema_multi_avg_fn, update_bn
from torch.utils.data import DataLoader, TensorDataset


def rings(count):
    """Points (count, 2) and whether they lie in a ring, one in ten labels wrong."""
    x = 4 * torch.rand(count, 2) - 2
    radius = x.norm(dim=1)
    y = ((radius > 0.8) & (radius < 1.5)).long()
    return x, torch.where(torch.rand(count) < 0.1, 1 - y, y)


def evaluate(model, x, y):
    model.eval()
    with torch.no_grad():
        return F.cross_entropy(model(x), y).item()


def main(epochs=16, swa_start=8):
    torch.manual_seed(131)
    loader = DataLoader(TensorDataset(*rings(192)), batch_size=32, shuffle=True)
    test = rings(200)
    model = nn.Sequential(nn.Linear(2, 24), nn.BatchNorm1d(24), nn.ReLU(), nn.Linear(24, 24), nn.BatchNorm1d(24), nn.ReLU(), nn.Linear(24, 2))
    swa_model = AveragedModel(model)
    ema_model = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9), use_buffers=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3, momentum=0.8)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs)
    swa_scheduler = SWALR(optimizer, swa_lr=0.1, anneal_epochs=4)

    history = {"loss": [], "lr": [], "test": []}
    for epoch in range(epochs):
        model.train()
        for x, y in loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            ema_model.update_parameters(model)
            history["loss"].append(loss.item())
        if epoch >= swa_start:
            swa_model.update_parameters(model)
            swa_scheduler.step()
        else:
            scheduler.step()
        history["lr"].append(optimizer.param_groups[0]["lr"])
        history["test"].append(evaluate(model, *test))
    update_bn(loader, swa_model)
    history["averages"] = [evaluate(swa_model, *test), evaluate(ema_model, *test)]
    return history


if __name__ == "__main__":
    history = main()
    swa, ema = history["averages"]
    print(f"test loss {history['test'][0]:.3f} -> {history['test'][-1]:.3f}, of averages {swa:.3f} and {ema:.3f}")
