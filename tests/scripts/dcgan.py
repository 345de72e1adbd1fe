"""A convolutional generative adversarial network (Radford et al., https://arxiv.org/abs/1511.06434) on drawn crosses."""

import torch
import torch.nn as nn
import torch.optim as optim

LATENT = 8


def weights_init(m):
    classname = m.__class__.__name__
    if classname.find("Conv") != -1:
        nn.init.normal_(m.weight.data, 0.0, 0.05)
    elif classname.find("BatchNorm") != -1:
        nn.init.normal_(m.weight.data, 1.0, 0.02)
        nn.init.constant_(m.bias.data, 0)


class Generator(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.main = nn.Sequential(
            nn.ConvTranspose2d(LATENT, width * 2, 3, 1, 0, bias=False),
            nn.BatchNorm2d(width * 2),
            nn.ReLU(True),
            nn.ConvTranspose2d(width * 2, width, 4, 2, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(True),
            nn.ConvTranspose2d(width, 1, 4, 2, 1, bias=False),
            nn.Tanh(),
        )

    def forward(self, noise):
        return self.main(noise)


class Discriminator(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(1, width, 4, 2, 1, bias=False),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(width, width * 2, 4, 2, 1, bias=False),
            nn.BatchNorm2d(width * 2),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(width * 2, 1, 3, 1, 0, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, image):
        return self.main(image).view(-1, 1).squeeze(1)


def crosses(count):
    """Images (count, 1, 12, 12) in [-1, 1] of two crossing lines."""
    images = torch.full((count, 1, 12, 12), -1.0)
    rows, columns = torch.randint(3, 9, (2, count))
    index = torch.arange(count)
    images[index, 0, rows] = 1.0
    images[index, 0, :, columns] = 1.0
    return images


def main(steps=60, batch=16):
    torch.manual_seed(3)
    netG, netD = Generator(), Discriminator()
    netG.apply(weights_init)
    netD.apply(weights_init)
    criterion = nn.BCELoss()
    optimizerD = optim.Adam(netD.parameters(), lr=2e-3, betas=(0.5, 0.999))
    optimizerG = optim.Adam(netG.parameters(), lr=2e-3, betas=(0.5, 0.999))
    real_label, fake_label = 1, 0

    history = {"loss_D": [], "loss_G": [], "D_x": []}
    for _ in range(steps):
        # maximise log(D(x)) + log(1 - D(G(z)))
        netD.zero_grad()
        real = crosses(batch)
        label = torch.full((batch,), real_label, dtype=real.dtype)
        output = netD(real)
        errD_real = criterion(output, label)
        errD_real.backward()
        D_x = output.mean().item()

        noise = torch.randn(batch, LATENT, 1, 1)
        fake = netG(noise)
        label.fill_(fake_label)
        errD_fake = criterion(netD(fake.detach()), label)
        errD_fake.backward()
        errD = errD_real + errD_fake
        optimizerD.step()

        # maximise log(D(G(z)))
        netG.zero_grad()
        label.fill_(real_label)
        errG = criterion(netD(fake), label)
        errG.backward()
        optimizerG.step()

        history["loss_D"].append(errD.item())
        history["loss_G"].append(errG.item())
        history["D_x"].append(D_x)
    return history


if __name__ == "__main__":
    history = main()
    print(f"loss D {history['loss_D'][-1]:.3f}, loss G {history['loss_G'][-1]:.3f}, D(x) {history['D_x'][-1]:.3f}")
