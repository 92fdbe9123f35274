"""torchgfn's rate of training on the four-dimensional hypergrid, by its own environment, sampler and loss.

    .venv-torchgfn/bin/python benchmarks/peers/torchgfn_hypergrid.py --updates 50 --threads 1

Trajectory balance as its `tutorials/examples/train_hypergrid_simple.py` trains with `--uniform_pb`, less validation and
the list of visited states. Prints a line of JSON when it is ready, and for each line of its input one more: it trains
on for so many updates and says how many a second.
"""

from __future__ import annotations

import argparse
import json
import sys
import time

import torch
from gfn.estimators import DiscretePolicyEstimator
from gfn.gflownet import TBGFlowNet
from gfn.gym import HyperGrid
from gfn.preprocessors import KHotPreprocessor
from gfn.samplers import Sampler
from gfn.utils.modules import MLP, DiscreteUniform


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--updates", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--dim", type=int, default=4)
    parser.add_argument("--side", type=int, default=20)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--hidden", type=int, default=256)
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(0)

    constants = {"R0": 1e-3, "R1": 0.5, "R2": 2.0}
    env = HyperGrid(a.dim, a.side, reward_fn_kwargs=constants, validate_modes=False)
    seen = KHotPreprocessor(height=a.side, ndim=a.dim)
    network = MLP(input_dim=seen.output_dim, output_dim=env.n_actions, hidden_dim=a.hidden, n_hidden_layers=2)
    forward = DiscretePolicyEstimator(network, env.n_actions, preprocessor=seen)
    uniform = DiscreteUniform(output_dim=env.n_actions - 1)
    backward = DiscretePolicyEstimator(uniform, env.n_actions, preprocessor=seen, is_backward=True)
    learner = TBGFlowNet(pf=forward, pb=backward, init_logZ=0.0)
    sampler = Sampler(estimator=forward)
    optimiser = torch.optim.Adam(learner.pf_pb_parameters(), lr=1e-3)
    optimiser.add_param_group({"params": learner.logz_parameters(), "lr": 0.1})

    def update() -> float:
        trajectories = sampler.sample_trajectories(env, n=a.batch, save_logprobs=True)
        optimiser.zero_grad()
        loss = learner.loss(env, trajectories, recalculate_all_logprobs=False)
        loss.backward()
        optimiser.step()
        return float(loss.detach())

    for _ in range(3):
        update()
    print(json.dumps({"ready": torch.__version__}), flush=True)
    for _ in sys.stdin:
        started = time.perf_counter()
        losses = [update() for _ in range(a.updates)]
        rate = a.updates / (time.perf_counter() - started)
        print(json.dumps({"rate": rate, "loss": sum(losses) / len(losses)}), flush=True)


if __name__ == "__main__":
    main()
