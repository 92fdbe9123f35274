"""Surrogate of a search: BoTorch's Gaussian processes, and the expected gain of a label.

It is the one file that imports PyTorch and BoTorch.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from botorch.acquisition.multi_objective import logei
from botorch.acquisition.multi_objective.logei import qLogNoisyExpectedHypervolumeImprovement
from botorch.fit import fit_gpytorch_mll
from botorch.models import SingleTaskGP
from botorch.models.model import Model
from botorch.optim.optimize import optimize_acqf_discrete
from botorch.posteriors.gpytorch import GPyTorchPosterior
from botorch.sampling.normal import SobolQMCNormalSampler
from botorch.utils.sampling import manual_seed
from gpytorch.distributions import MultitaskMultivariateNormal, MultivariateNormal
from gpytorch.kernels import RBFKernel, ScaleKernel
from gpytorch.mlls import ExactMarginalLogLikelihood
from gpytorch.priors import GammaPrior, LogNormalPrior
from linear_operator import to_linear_operator
from numpy.typing import NDArray

from morl.agents.mogfn_al import string_features

Floats = NDArray[np.float64]
Ints = NDArray[np.integer[Any]]

# BoTorch would compile a C++ program first, a minute in each new environment, that would save no time here
logei._load_attempted = True

NOISE = 1e-4  # variance of a label in units of that of all labels; oracles are exact, but matrices need it
FIT_STEPS = 75  # of L-BFGS
SLACK = 0.1  # of the front's range, or the labels' deviation: the reference point is moved away, so that ends count
BLOCK = 256  # strings whose acquisition is computed at once


class Surrogate:
    """Gaussian processes, one for each of R objectives, fitted to labels (n, R) of strings (n, L).

    The kernel is the sum of two squared exponentials, of the substrings' counts (:func:`string_features.spectrum`) and
    of the letters at each place, each in units of the strings' mean distance.

    Args:
        strings: (n, L) integers.
        values: (n, R).
        num_letters: number of letters, which is also the code of a blank.
    """

    def __init__(self, strings: Ints, values: Floats, num_letters: int) -> None:
        self._num_letters = num_letters
        self._scales = [1.0, 1.0]
        self._scales = [_typical_distance(part) for part in self._parts(strings)]
        self._mean: Floats = values.mean(axis=0)
        deviation = values.std(axis=0, ddof=1)
        self._deviation: Floats = np.where(
            deviation > 0, deviation, 1.0
        )  # an objective may be the same in all strings yet
        features, labels = self._features(strings), torch.as_tensor(self.standardised(values))
        number = torch.Size([labels.shape[1]])
        split = [part.shape[1] for part in self._parts(strings[:1])]
        dimensions = (range(split[0]), range(split[0], sum(split)))

        def kernel(active: range) -> Any:
            distance = RBFKernel(
                batch_shape=number, active_dims=tuple(active), lengthscale_prior=LogNormalPrior(0.5, 1.0)
            )
            return ScaleKernel(distance, batch_shape=number, outputscale_prior=GammaPrior(2.0, 2.0))

        with _quiet(), manual_seed(0):  # the optimiser tries again from random values where it fails
            self._model = SingleTaskGP(
                features,
                labels,
                train_Yvar=torch.full_like(labels, NOISE),
                covar_module=kernel(dimensions[0]) + kernel(dimensions[1]),
                outcome_transform=None,
            )
            likelihood = ExactMarginalLogLikelihood(self._model.likelihood, self._model)
            fit_gpytorch_mll(likelihood, optimizer_kwargs={"options": {"maxiter": FIT_STEPS}})

    def _parts(self, strings: Ints) -> list[Floats]:
        kinds = string_features.spectrum, string_features.places
        return [kind(strings, self._num_letters) / scale for kind, scale in zip(kinds, self._scales, strict=True)]

    def _features(self, strings: Ints) -> Any:
        return torch.as_tensor(np.concatenate(self._parts(strings), axis=1))

    def mean(self, strings: Ints) -> Floats:
        """Return the expected labels (n, R) of strings (n, L)."""
        with torch.no_grad():
            mean: Floats = self._model.posterior(self._features(strings)).mean.numpy()
        return mean * self._deviation + self._mean

    def standardised(self, values: Floats) -> Floats:
        """Convert values (..., R) to the units of the processes, in which labels have mean 0 and deviation 1."""
        return (values - self._mean) / self._deviation

    def acquisition(self, front: Ints, reference_point: Floats, samples: int, seed: int) -> Acquisition:
        """Return the gain that a label would add to the front of strings (m, L) over the reference point.

        Args:
            front: non-dominated labelled strings.
            reference_point: (R,); objectives are maximised.
            samples: number of samples of the posterior.
            seed: seed of the samples.
        """
        return Acquisition(self, front, reference_point, samples, seed)


class Acquisition:
    """Log expected hypervolume improvement under noise: qLogNEHVI (Daulton et al., 2021; Ament et al., 2023)."""

    def __init__(self, surrogate: Surrogate, front: Ints, reference_point: Floats, samples: int, seed: int) -> None:
        self._surrogate = surrogate
        reference = surrogate.standardised(reference_point)
        span = surrogate.standardised(surrogate.mean(front).max(axis=0)) - reference
        reference = reference - SLACK * np.maximum(span, 1.0)
        with torch.no_grad(), _quiet():
            self._function = qLogNoisyExpectedHypervolumeImprovement(
                _Together(surrogate._model),
                ref_point=torch.as_tensor(reference),
                X_baseline=surrogate._features(front),
                sampler=SobolQMCNormalSampler(torch.Size([samples]), seed=seed),
                cache_root=False,
            )

    def __call__(self, strings: Ints) -> Floats:
        """Compute the acquisition (n,) of strings (n, L), each by itself."""
        features = self._surrogate._features(strings)[:, None]
        with torch.no_grad(), _quiet():
            parts = [self._function(features[i : i + BLOCK]) for i in range(0, len(features), BLOCK)]
        return np.concatenate([part.numpy() for part in parts])

    def best(self, strings: Ints, number: int) -> list[int]:
        """Choose ``number`` of different strings (n, L) that add most together, each given those chosen before.

        Afterwards they count as part of the front here.
        """
        choices = self._surrogate._features(strings)
        with torch.no_grad(), _quiet():
            chosen, _ = optimize_acqf_discrete(self._function, q=number, choices=choices, max_batch_size=BLOCK)
        return [int((choices == row).all(dim=1).nonzero()[0, 0]) for row in chosen.reshape(number, -1)]


class _Together(Model):  # type: ignore[misc]  # where BoTorch is installed or not, its types are not looked at
    """Model that answers for many sets of points by one joint posterior of all points.

    Acquisitions look at each candidate together with the front. GPyTorch computes with a copy of the training data for
    each such set; here the joint posterior of all different points is split instead.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self._model = model

    @property
    def num_outputs(self) -> int:
        number: int = self._model.num_outputs
        return number

    @property
    def batch_shape(self) -> Any:
        return torch.Size()

    def posterior(self, X: Any, *args: Any, **kwargs: Any) -> Any:
        """Return the posterior of sets (S, q, F) or one set (q, F) of points."""
        if X.ndim == 2 or len(X) == 1:
            return self._model.posterior(X, *args, **kwargs)
        sets, size, _ = X.shape
        shared = (X[:1] == X).all(dim=2).all(dim=0)
        own = int((~shared).sum())
        points = torch.cat([X[0, shared], X[:, ~shared].reshape(sets * own, -1)])
        place = torch.empty(sets, size, dtype=torch.long)
        place[:, shared] = torch.arange(size - own)
        place[:, ~shared] = size - own + torch.arange(sets * own).reshape(sets, own)
        joint = self._model.posterior(points, *args, **kwargs).distribution
        number, outputs = len(points), self.num_outputs
        shape = (number, outputs, number, outputs) if joint._interleaved else (outputs, number, outputs, number)
        covariance = joint.covariance_matrix.reshape(shape)  # outputs are independent: only theirs with themselves
        pairs = "irjr->rij" if joint._interleaved else "rirj->rij"
        covariance = torch.einsum(pairs, covariance)[:, place[:, :, None], place[:, None, :]].transpose(0, 1)
        # as an operator, whose factors get a jitter where a candidate is of the front itself
        each = MultivariateNormal(joint.mean[place].transpose(1, 2), to_linear_operator(covariance))
        return GPyTorchPosterior(MultitaskMultivariateNormal.from_batch_mvn(each))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence warnings about cases that are expected here.

    An objective may be constant so far, the optimiser may stop at its last step, candidates of the front itself need a
    jitter, and all candidates may be chosen.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _typical_distance(features: Floats) -> float:
    """Return the root mean squared distance of all pairs of rows (n, F); 1 where they are all the same."""
    variance = float(features.var(axis=0).sum())
    return float(np.sqrt(2 * variance)) or 1.0
