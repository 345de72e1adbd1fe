"""Style transfer (Gatys et al., https://arxiv.org/abs/1508.06576): L-BFGS on the pixels, losses between a frozen network's layers."""

import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim


class ContentLoss(nn.Module):
    def __init__(self, target):
        super().__init__()
        self.target = target.detach()

    def forward(self, input):
        self.loss = F.mse_loss(input, self.target)
        return input


def gram_matrix(input):
    a, b, c, d = input.size()
    features = input.view(a * b, c * d)
    return torch.mm(features, features.t()).div(a * b * c * d)


class StyleLoss(nn.Module):
    def __init__(self, target_feature):
        super().__init__()
        self.target = gram_matrix(target_feature).detach()

    def forward(self, input):
        self.loss = F.mse_loss(gram_matrix(input), self.target)
        return input


class Normalization(nn.Module):
    def __init__(self, mean, std):
        super().__init__()
        self.mean = torch.tensor(mean).view(-1, 1, 1)
        self.std = torch.tensor(std).view(-1, 1, 1)

    def forward(self, img):
        return (img - self.mean) / self.std


def get_style_model_and_losses(cnn, style_img, content_img):
    """The network up to the last loss, with losses after some convolutions."""
    content_losses, style_losses = [], []
    model = nn.Sequential(Normalization([0.48, 0.46, 0.41], [0.23, 0.22, 0.23]))
    i = 0
    for layer in cnn.children():
        if isinstance(layer, nn.Conv2d):
            i += 1
            name = f"conv_{i}"
        elif isinstance(layer, nn.ReLU):
            name = f"relu_{i}"
            layer = nn.ReLU(inplace=False)
        elif isinstance(layer, nn.MaxPool2d):
            name = f"pool_{i}"
        else:
            raise RuntimeError(f"Unrecognized layer: {layer.__class__.__name__}")
        model.add_module(name, layer)
        if name == "conv_2":
            content_losses.append(ContentLoss(model(content_img).detach()))
            model.add_module(f"content_loss_{i}", content_losses[-1])
        if name in ("conv_1", "conv_2", "conv_3"):
            style_losses.append(StyleLoss(model(style_img).detach()))
            model.add_module(f"style_loss_{i}", style_losses[-1])
    last = max(i for i, layer in enumerate(model) if isinstance(layer, (ContentLoss, StyleLoss)))
    return model[: last + 1], style_losses, content_losses


def main(steps=30, style_weight=1e5, content_weight=1.0):
    torch.manual_seed(101)
    cnn = nn.Sequential(
        *(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2)),
        *(nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(16, 16, 3, padding=1)),
    ).eval()
    t = torch.linspace(0, 1, 16)
    content_img = torch.stack([t.expand(16, 16), t.view(-1, 1).expand(16, 16), (t * t.view(-1, 1))]).unsqueeze(0)
    style_img = (torch.sin(20 * t) > 0).to(t.dtype).expand(1, 3, 16, 16)
    model, style_losses, content_losses = get_style_model_and_losses(cnn, style_img, content_img)
    input_img = content_img.clone()
    input_img.requires_grad_(True)
    model.eval()
    model.requires_grad_(False)
    optimizer = optim.LBFGS([input_img], max_iter=4, line_search_fn="strong_wolfe")

    history = {"style": [], "content": []}
    run = [0]
    while run[0] < steps:

        def closure():
            with torch.no_grad():
                input_img.clamp_(0, 1)
            optimizer.zero_grad()
            model(input_img)
            style_score = sum(sl.loss for sl in style_losses) * style_weight
            content_score = sum(cl.loss for cl in content_losses) * content_weight
            loss = style_score + content_score
            loss.backward()
            run[0] += 1
            history["style"].append(style_score.item())
            history["content"].append(content_score.item())
            return loss

        optimizer.step(closure)
    with torch.no_grad():
        input_img.clamp_(0, 1)
    history["pixels"] = input_img[0, 0, 0].tolist()
    return history


if __name__ == "__main__":
    style = main(steps=200)["style"]
    print(f"style loss {style[0]:.3f} -> {style[-1]:.3f}")
