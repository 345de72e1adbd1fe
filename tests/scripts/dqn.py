"""Deep Q-learning with a replay memory and a slowly following target network (Mnih et al., 2015) in a corridor."""

import copy
import random
from collections import deque, namedtuple

import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim

Transition = namedtuple("Transition", ("state", "action", "next_state", "reward"))


class Corridor:
    """Walk left or right between cells; the far end pays 1, the near end 0.1. States are one-hot."""

    def __init__(self, cells=7):
        self.cells = cells

    def reset(self):
        self.cell = self.cells // 2
        return F.one_hot(torch.tensor([self.cell]), self.cells).to(torch.get_default_dtype())

    def step(self, action):
        self.cell += 1 if action == 1 else -1
        if self.cell in (0, self.cells - 1):
            return None, 1.0 if self.cell else 0.1
        return F.one_hot(torch.tensor([self.cell]), self.cells).to(torch.get_default_dtype()), -0.01


class DQN(nn.Module):
    def __init__(self, cells, actions):
        super().__init__()
        self.layer1 = nn.Linear(cells, 24)
        self.value = nn.Linear(24, 1)
        self.advantage = nn.Linear(24, actions)

    def forward(self, x):
        x = F.relu(self.layer1(x))
        advantage = self.advantage(x)
        return self.value(x) + advantage - advantage.mean(dim=-1, keepdim=True)


def optimize(policy_net, target_net, optimizer, memory, batch_size=16, gamma=0.95):
    batch = Transition(*zip(*random.sample(memory, batch_size)))
    non_final_mask = torch.tensor([s is not None for s in batch.next_state], dtype=torch.bool)
    non_final_next_states = torch.cat([s for s in batch.next_state if s is not None])
    state_batch, action_batch, reward_batch = torch.cat(batch.state), torch.cat(batch.action), torch.cat(batch.reward)

    values = policy_net(state_batch).gather(1, action_batch)
    next_values = torch.zeros(batch_size)
    with torch.no_grad():
        next_values[non_final_mask] = target_net(non_final_next_states).max(1).values
    expected = next_values * gamma + reward_batch

    loss = nn.SmoothL1Loss()(values, expected.unsqueeze(1))
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_value_(policy_net.parameters(), 100)
    optimizer.step()
    return loss.item()


def main(steps=300, tau=0.05):
    torch.manual_seed(37)
    random.seed(37)
    env = Corridor()
    policy_net = DQN(env.cells, 2)
    target_net = copy.deepcopy(policy_net)
    target_net.load_state_dict(policy_net.state_dict())
    optimizer = optim.AdamW(policy_net.parameters(), lr=5e-3, amsgrad=True)
    memory = deque(maxlen=500)

    history = {"loss": [], "reward": []}
    state = env.reset()
    for step in range(steps):
        if random.random() > max(0.1, 1 - step / 100):
            with torch.no_grad():
                action = policy_net(state).max(1).indices.view(1, 1)
        else:
            action = torch.tensor([[random.randrange(2)]], dtype=torch.long)
        next_state, reward = env.step(action.item())
        memory.append(Transition(state, action, next_state, torch.tensor([reward])))
        state = env.reset() if next_state is None else next_state
        history["reward"].append(reward)
        if len(memory) >= 16:
            history["loss"].append(optimize(policy_net, target_net, optimizer, memory))
            target, source = target_net.state_dict(), policy_net.state_dict()
            for key in source:
                target[key] = source[key] * tau + target[key] * (1 - tau)
            target_net.load_state_dict(target)
    with torch.no_grad():
        history["values"] = policy_net(env.reset())[0].tolist()
    return history


if __name__ == "__main__":
    history = main()
    print(f"value of left and right: {history['values'][0]:.2f}, {history['values'][1]:.2f}")
