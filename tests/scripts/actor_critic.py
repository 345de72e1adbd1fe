"""Advantage actor-critic (Mnih et al., https://arxiv.org/abs/1602.01783): a continuous action steers a point to the origin."""

from collections import namedtuple

import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
from torch.distributions import Normal

SavedAction = namedtuple("SavedAction", ["log_prob", "value", "entropy"])


class Policy(nn.Module):
    def __init__(self):
        super().__init__()
        self.affine1 = nn.Linear(2, 24)
        self.action_head = nn.Linear(24, 2)
        self.value_head = nn.Linear(24, 1)
        self.log_std = nn.Parameter(torch.full((2,), -1.0))
        nn.init.orthogonal_(self.action_head.weight, gain=0.1)

    def forward(self, x):
        x = F.relu(self.affine1(x))
        return torch.tanh(self.action_head(x)), self.value_head(x), self.log_std.clamp(-3, 1).exp()


def run_episode(model, length):
    position = 2 * torch.rand(2) - 1
    actions, rewards = [], []
    for _ in range(length):
        mean, value, std = model(position)
        m = Normal(mean, std)
        action = m.sample()
        actions.append(SavedAction(m.log_prob(action).sum(), value, m.entropy().sum()))
        position = (position + 0.2 * action).clamp(-1.5, 1.5)
        rewards.append(-position.norm().item())
    return actions, rewards


def finish_episode(optimizer, actions, rewards, gamma=0.9):
    R, returns = 0.0, []
    for r in reversed(rewards):
        R = r + gamma * R
        returns.insert(0, R)
    policy_losses, value_losses = [], []
    for (log_prob, value, _), R in zip(actions, returns):
        advantage = R - value.item()
        policy_losses.append(-log_prob * advantage)
        value_losses.append(F.smooth_l1_loss(value, torch.tensor([R])))
    entropy = torch.stack([a.entropy for a in actions]).mean()
    optimizer.zero_grad()
    loss = torch.stack(policy_losses).sum() + torch.stack(value_losses).sum() - 0.01 * entropy
    loss.backward()
    optimizer.step()
    return loss.item(), torch.stack(value_losses).sum().item()


def main(episodes=500, length=20):
    torch.manual_seed(67)
    model = Policy()
    optimizer = optim.Adam(model.parameters(), lr=1e-2)
    history = {"loss": [], "value_loss": [], "reward": []}
    for _ in range(episodes):
        actions, rewards = run_episode(model, length)
        loss, value_loss = finish_episode(optimizer, actions, rewards)
        history["loss"].append(loss)
        history["value_loss"].append(value_loss)
        history["reward"].append(sum(rewards))
    return history


if __name__ == "__main__":
    reward = main()["reward"]
    print(f"reward {sum(reward[:20]) / 20:.1f} -> {sum(reward[-20:]) / 20:.1f}")
