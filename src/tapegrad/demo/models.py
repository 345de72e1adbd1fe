"""What the demo trains on handwritten digits."""

from __future__ import annotations

from typing import ClassVar

import tapegrad as tg
from tapegrad import nn, optim
from tapegrad.nn import functional as F

PIXELS, CLASSES = 64, 10


class Classifier(nn.Module):
    """A model of the demo: its name, the accuracy it must reach, and for how many epochs it is trained."""

    title: ClassVar[str]
    required: ClassVar[float]
    epochs: ClassVar[int]

    def objective(self, x: tg.Tensor, y: tg.Tensor) -> tg.Tensor:
        """The softmax loss of labels y, shape (n,)."""
        loss: tg.Tensor = F.cross_entropy(self(x), y)
        return loss

    def optimizer(self) -> optim.Optimizer:
        """What trains it."""
        raise NotImplementedError


class LogisticRegression(Classifier):
    """One inner product and the softmax loss: the example of Caffe's tutorial."""

    title, required, epochs = "logistic regression", 0.95, 25

    def __init__(self) -> None:
        super().__init__()
        self.inner_product = nn.Linear(PIXELS, CLASSES)

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        """Logits, shape (n, 10), of images, shape (n, 64)."""
        logits: tg.Tensor = self.inner_product(x)
        return logits

    def optimizer(self) -> optim.Optimizer:
        """Gradient descent with momentum, as Caffe's solver."""
        return optim.SGD(self.parameters(), lr=0.5, momentum=0.9)


class Perceptron(Classifier):
    """One hidden layer, no bias, and L2 regularisation: J = L + lambda/2 (|W1|^2 + |W2|^2)."""

    title, required, epochs = "perceptron", 0.97, 50
    hidden: ClassVar[int] = 64
    decay: ClassVar[float] = 1e-3  # lambda

    def __init__(self) -> None:
        super().__init__()
        self.W1 = nn.Parameter(nn.init.kaiming_normal_(tg.empty(self.hidden, PIXELS), nonlinearity="relu"))
        self.W2 = nn.Parameter(nn.init.xavier_normal_(tg.empty(CLASSES, self.hidden)))

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        """Logits, shape (n, 10), of images, shape (n, 64)."""
        z = x @ self.W1.T
        h: tg.Tensor = z.relu()
        logits: tg.Tensor = h @ self.W2.T
        return logits

    def objective(self, x: tg.Tensor, y: tg.Tensor) -> tg.Tensor:
        """J, as in the formula, of labels y, shape (n,)."""
        L = F.cross_entropy(self(x), y)
        s = self.decay / 2 * ((self.W1**2).sum() + (self.W2**2).sum())
        J: tg.Tensor = L + s
        return J

    def optimizer(self) -> optim.Optimizer:
        """Adam."""
        return optim.Adam(self.parameters(), lr=3e-3)


class ConvolutionalNet(Classifier):
    """Two convolutions of 3x3, each with batch normalisation, a rectifier and 2x2 max pooling; then dropout and one inner product."""

    title, required, epochs = "convolutional net", 0.985, 20

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
        )  # fmt: skip
        self.classifier = nn.Sequential(nn.Flatten(), nn.Dropout(0.25), nn.Linear(32 * 2 * 2, CLASSES))

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        """Logits, shape (n, 10), of images, shape (n, 64)."""
        logits: tg.Tensor = self.classifier(self.features(x.view(-1, 1, 8, 8)))
        return logits

    def optimizer(self) -> optim.Optimizer:
        """Adam with decoupled weight decay."""
        return optim.AdamW(self.parameters(), lr=5e-3)


MODELS: tuple[type[Classifier], ...] = (LogisticRegression, Perceptron, ConvolutionalNet)
