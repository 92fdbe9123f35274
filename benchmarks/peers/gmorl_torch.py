"""The gradient step of GMORL in plain PyTorch: the same networks, batch and arithmetic as `agents/sac/algorithm.py`.

Written for `benchmarks/gmorl_speed.py`, which runs it in a process of its own with one thread or two and reads the
steps a second that it prints.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time

import torch
from torch import nn

GAMMA, POLYAK, TEMPERATURE = 0.95, 0.005, 0.01
ACTIONS, FEATURES, OBJECTIVES = 9, 72, 2


class Rows(nn.Module):
    """`RowNetwork`: the same weights for each server, which see the mean of all."""

    def __init__(self, hidden: list[int]) -> None:
        super().__init__()
        self.first = mlp([FEATURES + OBJECTIVES, *hidden])
        self.second = mlp([2 * hidden[-1], *hidden, OBJECTIVES])
        self.direct = nn.Linear(FEATURES, OBJECTIVES)

    def forward(self, rows: torch.Tensor, preference: torch.Tensor, exists: torch.Tensor) -> torch.Tensor:
        wide = preference[:, None].expand(-1, ACTIONS, -1)
        hidden = torch.relu(self.first(torch.cat([rows, wide], -1)))
        mean = (hidden * exists).sum(1, keepdim=True) / exists.sum(1, keepdim=True).clamp(min=1)
        return self.second(torch.cat([hidden, mean.expand_as(hidden)], -1)) + self.direct(rows)


class Convolution(nn.Module):
    """`ConvolutionNetwork`, the published one."""

    def __init__(self, channels: int, blocks: int, hidden: list[int]) -> None:
        super().__init__()
        self.stem = nn.Linear(FEATURES, channels)
        self.blocks = nn.ModuleList(mlp([channels, channels, channels]) for _ in range(blocks))
        self.head = mlp([ACTIONS * channels + OBJECTIVES, *hidden, ACTIONS * OBJECTIVES])

    def forward(self, rows: torch.Tensor, preference: torch.Tensor, exists: torch.Tensor) -> torch.Tensor:
        hidden = torch.relu(self.stem(rows))
        for block in self.blocks:
            hidden = torch.relu(hidden + block(hidden))
        flat = (hidden * exists).flatten(1)
        return self.head(torch.cat([flat, preference], -1)).unflatten(-1, (ACTIONS, OBJECTIVES))


def mlp(sizes: list[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for size_in, size_out in itertools.pairwise(sizes):
        layers += [nn.Linear(size_in, size_out), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class Learner:
    """Actor, twin critics with targets, Adam; a replay of random numbers of the simulator's shapes."""

    def __init__(self, make, capacity: int) -> None:
        self.actor, self.critics, self.targets = make(), [make(), make()], [make(), make()]
        for critic, target in zip(self.critics, self.targets, strict=True):
            target.load_state_dict(critic.state_dict())
        self.parameters = [p for net in (self.actor, *self.critics) for p in net.parameters()]
        self.adam = torch.optim.Adam(self.parameters, lr=1e-3, eps=1e-5)
        self.rows = torch.rand(2, capacity, ACTIONS, FEATURES)
        self.exists = torch.ones(capacity, ACTIONS, 1)
        self.action = torch.randint(ACTIONS, (capacity,))
        self.reward = -torch.rand(capacity, OBJECTIVES)
        first = torch.rand(capacity, 1)
        self.preference = torch.cat([first, 1 - first], -1)

    def act(self, number: int) -> torch.Tensor:
        with torch.no_grad():
            logits = self.logits(self.rows[0, :number], self.preference[:number], self.exists[:number])
            return torch.distributions.Categorical(logits=logits).sample()

    def logits(self, rows: torch.Tensor, preference: torch.Tensor, exists: torch.Tensor) -> torch.Tensor:
        return (self.actor(rows, preference, exists) * preference[:, None]).sum(-1)

    def step(self, batch: int) -> None:
        index = torch.randint(len(self.action), (batch,))
        rows, following = self.rows[0, index], self.rows[1, index]
        exists, preference = self.exists[index], self.preference[index]
        drawn = torch.rand(batch, 1)
        preference = torch.where(torch.rand(batch, 1) < 0.5, torch.cat([drawn, 1 - drawn], -1), preference)
        with torch.no_grad():
            log = torch.log_softmax(self.logits(following, preference, exists), -1)
            one, two = (target(following, preference, exists) for target in self.targets)
            value = least(one, two, preference) - TEMPERATURE * log[..., None]
            aim = self.reward[index] + GAMMA * (log.exp()[..., None] * value).sum(1)
        values = [critic(rows, preference, exists) for critic in self.critics]
        taken = self.action[index][:, None, None].expand(-1, 1, OBJECTIVES)
        loss = sum(0.5 * ((q.gather(1, taken)[:, 0] - aim) ** 2).sum(-1).mean() for q in values)
        log = torch.log_softmax(self.logits(rows, preference, exists), -1)
        worth = (least(*values, preference).detach() * preference[:, None]).sum(-1)
        loss = loss + (log.exp() * (TEMPERATURE * log - worth)).sum(-1).mean()
        self.adam.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 10.0)
        self.adam.step()
        with torch.no_grad():
            for critic, target in zip(self.critics, self.targets, strict=True):
                torch._foreach_lerp_(list(target.parameters()), list(critic.parameters()), POLYAK)


def least(one: torch.Tensor, two: torch.Tensor, preference: torch.Tensor) -> torch.Tensor:
    """Return, for each action, the one of two estimates (B, actions, R) with the lower weighted sum."""
    less = ((one - two) * preference[:, None]).sum(-1, keepdim=True) < 0
    return torch.where(less, one, two)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--network", choices=["rows", "convolution"], required=True)
    parser.add_argument(
        "--sizes", type=int, nargs="+", required=True, help="rows: hidden; convolution: channels, hidden"
    )
    parser.add_argument("--seconds", type=float, default=10)
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(0)

    def make() -> nn.Module:
        return Rows(a.sizes) if a.network == "rows" else Convolution(a.sizes[0], 2, a.sizes[1:])

    learner = Learner(make, 20_000)
    learner.step(a.batch)
    learner.step(a.batch)
    rates = []
    for _ in range(5):
        started, steps = time.perf_counter(), 0
        while time.perf_counter() - started < a.seconds / 5:
            learner.step(a.batch)
            steps += 1
        rates.append(steps / (time.perf_counter() - started))
    print(json.dumps({"rate": sorted(rates)[2], "parameters": sum(p.numel() for p in learner.actor.parameters())}))


if __name__ == "__main__":
    main()
