"""REINFORCE with normalised returns (Williams, 1992) on a cart-pole of our own."""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
from torch.distributions import Categorical


class CartPole:
    """A pole on a cart that is pushed left or right; equations of motion from Barto, Sutton and Anderson (1983), by Euler's method."""

    gravity, cart, pole, half_length, force, tau = 9.8, 1.0, 0.1, 0.5, 10.0, 0.02

    def reset(self):
        self.state = (0.1 * torch.rand(4) - 0.05).tolist()
        return self.state

    def step(self, action):
        x, v, theta, omega = self.state
        push = self.force if action == 1 else -self.force
        mass = self.cart + self.pole
        temp = (push + self.pole * self.half_length * omega**2 * math.sin(theta)) / mass
        slope = self.gravity * math.sin(theta) - math.cos(theta) * temp
        alpha = slope / (self.half_length * (4 / 3 - self.pole * math.cos(theta) ** 2 / mass))
        a = temp - self.pole * self.half_length * alpha * math.cos(theta) / mass
        self.state = [x + self.tau * v, v + self.tau * a, theta + self.tau * omega, omega + self.tau * alpha]
        done = abs(self.state[0]) > 2.4 or abs(self.state[2]) > 12 * math.pi / 180
        return self.state, 1.0, done


class Policy(nn.Module):
    def __init__(self):
        super().__init__()
        self.affine1 = nn.Linear(4, 32)
        self.dropout = nn.Dropout(p=0.2)
        self.affine2 = nn.Linear(32, 2)
        self.saved_log_probs = []
        self.rewards = []

    def forward(self, x):
        x = F.relu(self.dropout(self.affine1(x)))
        return F.softmax(self.affine2(x), dim=1)


def select_action(policy, state):
    probs = policy(torch.tensor(state).unsqueeze(0))
    m = Categorical(probs)
    action = m.sample()
    policy.saved_log_probs.append(m.log_prob(action))
    return action.item(), m.entropy().item()


def finish_episode(policy, optimizer, gamma=0.99):
    R = 0.0
    returns = []
    for r in policy.rewards[::-1]:
        R = r + gamma * R
        returns.insert(0, R)
    returns = torch.tensor(returns)
    returns = (returns - returns.mean()) / (returns.std() + torch.finfo(returns.dtype).eps)
    policy_loss = [-log_prob * R for log_prob, R in zip(policy.saved_log_probs, returns)]
    optimizer.zero_grad()
    policy_loss = torch.cat(policy_loss).sum()
    policy_loss.backward()
    optimizer.step()
    del policy.rewards[:]
    del policy.saved_log_probs[:]
    return policy_loss.item()


def main(episodes=100, longest=100):
    torch.manual_seed(543)
    env, policy = CartPole(), Policy()
    optimizer = optim.Adam(policy.parameters(), lr=1e-2)

    history = {"loss": [], "length": [], "entropy": []}
    for _ in range(episodes):
        state = env.reset()
        for t in range(1, longest + 1):
            action, entropy = select_action(policy, state)
            state, reward, done = env.step(action)
            policy.rewards.append(reward)
            history["entropy"].append(entropy)
            if done:
                break
        history["length"].append(float(t))
        history["loss"].append(finish_episode(policy, optimizer))
    return history


if __name__ == "__main__":
    length = main()["length"]
    print(f"balanced for {sum(length[:10]) / 10:.0f} -> {sum(length[-10:]) / 10:.0f} steps")
