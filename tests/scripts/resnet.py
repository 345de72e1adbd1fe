"""A small residual network (He et al., https://arxiv.org/abs/1512.03385): SGD with warm-up, channel attention, accumulated gradients."""

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset


class SqueezeExcite(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.fc1 = nn.Conv2d(channels, channels // 2, 1)
        self.fc2 = nn.Conv2d(channels // 2, channels, 1)

    def forward(self, x):
        scale = F.adaptive_avg_pool2d(x, 1)
        return x * F.hardsigmoid(self.fc2(F.relu6(self.fc1(scale))))


class BasicBlock(nn.Module):
    def __init__(self, in_planes, planes, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(in_planes, planes, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=1, groups=2, bias=False)
        self.bn2 = nn.BatchNorm2d(planes, momentum=0.2)
        self.se = SqueezeExcite(planes)
        self.shortcut = nn.Sequential()
        if stride != 1 or in_planes != planes:
            self.shortcut = nn.Sequential(nn.Conv2d(in_planes, planes, 1, stride=stride, bias=False), nn.BatchNorm2d(planes))

    def forward(self, x):
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.se(self.bn2(self.conv2(out)))
        out += self.shortcut(x)
        return F.relu(out)


class ResNet(nn.Module):
    def __init__(self, classes=4):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1, padding_mode="reflect", bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.layer1 = nn.Sequential(BasicBlock(8, 8), BasicBlock(8, 8))
        self.layer2 = nn.Sequential(BasicBlock(8, 16, stride=2), BasicBlock(16, 16))
        self.linear = nn.Linear(16, classes)
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(m, nn.BatchNorm2d):
                nn.init.ones_(m.weight)
                nn.init.zeros_(m.bias)

    def forward(self, x):
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.layer2(self.layer1(out))
        return self.linear(out.mean(dim=(2, 3)))


def colours(count):
    """Images (count, 3, 8, 8) with one bright quarter in one colour; the class is the quarter."""
    labels = torch.randint(0, 4, (count,))
    images = torch.randn(count, 3, 8, 8) * 0.4
    for n, label in enumerate(labels.tolist()):
        i, j = divmod(label, 2)
        images[n, n % 3, 4 * i : 4 * i + 4, 4 * j : 4 * j + 4] += 1.0
    return images, labels


def main(epochs=10, count=192, accumulate=2):
    torch.manual_seed(59)
    loader = DataLoader(TensorDataset(*colours(count)), batch_size=16, shuffle=True)
    model = ResNet()
    weights = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    optimizer = torch.optim.SGD(
        [{"params": weights, "weight_decay": 5e-4}, {"params": others}], lr=0.05, momentum=0.9, dampening=0.1, weight_decay=0.0
    )
    scheduler = torch.optim.lr_scheduler.ChainedScheduler(
        [
            torch.optim.lr_scheduler.ConstantLR(optimizer, factor=0.5, total_iters=2),
            torch.optim.lr_scheduler.PolynomialLR(optimizer, total_iters=epochs, power=0.9),
        ]
    )

    history = {"loss": [], "accuracy": [], "lr": []}
    for _ in range(epochs):
        correct = 0
        for i, (inputs, targets) in enumerate(loader):
            outputs = model(inputs)
            loss = F.cross_entropy(outputs, targets)
            (loss / accumulate).backward()
            if (i + 1) % accumulate == 0:
                optimizer.step()
                optimizer.zero_grad()
            history["loss"].append(loss.item())
            _, predicted = outputs.max(1)
            correct += predicted.eq(targets).sum().item()
        scheduler.step()
        history["accuracy"].append(correct / count)
        history["lr"].append(scheduler.get_last_lr()[0])
    return history


if __name__ == "__main__":
    history = main()
    print(f"loss {history['loss'][0]:.3f} -> {history['loss'][-1]:.3f}, accuracy {history['accuracy'][-1]:.1%}")
