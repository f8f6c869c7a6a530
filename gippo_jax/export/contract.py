"""What goes into an exported policy and what comes out, as JSON: for whoever runs it elsewhere."""

from typing import NamedTuple

import numpy as np

from gippo_jax.errors import UserError
from gippo_jax.learning.policies import Policy
from gippo_jax.plain import Plain

# The file and the policy add up in different orders, so that their actions, within [-1, 1], differ by rounding: by some
# 1e-7 in float32 where observations are normalised, by some 1e-6 where large raw ones come in. Other arithmetic differs
# by far more.
LIMIT = 1e-4
_NUM_CHECKED = 256
_NUM_EXAMPLES = 4


class Names(NamedTuple):
  """What the entries of an observation and of an action are; `None` where the environment does not say."""

  observation: list[str] | None = None
  action: list[str] | None = None


class Check(NamedTuple):
  """How the exported file and the policy agree.

  Attributes:
    observations: that both were asked, `[B, O]`.
    actions: of the policy, `[B, A]`.
    largest_difference: between entries of actions.
  """

  observations: np.ndarray
  actions: np.ndarray
  largest_difference: float


def draw_observations(policy: Policy) -> np.ndarray:
  """Raw observations as they came in training and twice as far, `[B, O]`; the first is their mean."""
  statistics = policy.observation_statistics
  mean, deviation = np.asarray(statistics.mean), np.asarray(statistics.deviation)
  draws = np.random.default_rng(0).normal(size=(_NUM_CHECKED, mean.size))
  draws[0] = 0.0
  return (mean[None] + 2.0 * draws * deviation[None]).astype(mean.dtype)


def compare(observations: np.ndarray, wanted: np.ndarray, found: np.ndarray, what: str) -> Check:
  """Compares the policy's actions with the file's.

  Args:
    observations: `[B, O]`.
    wanted: the policy's, `[B, A]`.
    found: the file's, `[B, A]`.
    what: the file, for messages.

  Raises:
    UserError: when they differ by more than `LIMIT`, or are no numbers.
  """
  difference = float(np.max(np.abs(found.astype(float) - wanted.astype(float))))
  if not difference <= LIMIT:
    raise UserError(
      f"{what} does not play what the policy plays: actions differ by up to {difference:.3g}; allowed: {LIMIT:g} "
      "(a policy whose parameters are not finite, or so large that rounding counts, cannot be exported)"
    )
  return Check(observations, wanted, difference)


def contract(file: str, form: str, policy: Policy, source: Plain, names: Names, check: Check, versions: Plain) -> Plain:
  """The contract of an exported file.

  Args:
    file: its name.
    form: its format.
    policy: that it holds.
    source: where it comes from: task, algorithm, seed, epochs, which policy.
    names: of entries.
    check: of the file.
    versions: of what wrote it.
  """
  statistics = policy.observation_statistics
  kind = str(check.observations.dtype)
  normalization = {"mean": statistics.mean.tolist(), "deviation": statistics.deviation.tolist()}
  return {
    "file": file,
    "format": form,
    **source,
    "observation": {
      "name": "observation",
      "shape": ["batch", check.observations.shape[1]],
      "type": kind,
      "entries": names.observation,
      "order": "that of the vector `obs` of the environment, raw: nothing is to be scaled before",
      "normalization": {"inside": True, **normalization} if policy.normalizes else None,
    },
    "action": {
      "name": "action",
      "shape": ["batch", check.actions.shape[1]],
      "type": kind,
      "entries": names.action,
      "minimum": -1.0,
      "maximum": 1.0,
      "meaning": "tanh of the policy's mean, as the environment's `step` takes it; the same for the same observation",
    },
    "check": {
      "observations": len(check.observations),
      "largest_difference": check.largest_difference,
      "limit": LIMIT,
    },
    "examples": [
      {"observation": observation.tolist(), "action": action.tolist()}
      for observation, action in zip(check.observations[:_NUM_EXAMPLES], check.actions[:_NUM_EXAMPLES], strict=True)
    ],
    "versions": versions,
  }
