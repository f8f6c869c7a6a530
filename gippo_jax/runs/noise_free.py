"""Whether the mean action does worse than the policy that explored: such a policy has not converged.

Training returns are those of actions with noise, evaluations those of the mean action, which is what is deployed. Noise
that helps, against what most would expect, says that the mean is not where the policy's distribution is good.
"""

from collections.abc import Sequence

import numpy as np

from gippo_jax.learning.state import ReturnTracker

# Standard errors of the difference beyond which it is told.
_BEYOND = 3.0
# Of the rounding of sums of rewards.
_ROUNDING = 1e-5


def standard_errors(returns: ReturnTracker) -> list[float]:
  """Standard error of each member's mean of the last 100 finished episodes, NaN where fewer than two have.

  Args:
    returns: of the members, `[num_members, ...]`.
  """
  capacity = returns.recent.shape[-1]
  counts = np.minimum(np.asarray(returns.finished), capacity)
  return [_standard_error(recent[:count]) for recent, count in zip(np.asarray(returns.recent), counts, strict=True)]


def mean_action_is_worse(
  evaluation: np.ndarray, training: Sequence[float | None], training_error: Sequence[float | None]
) -> list[bool | None]:
  """Seeds whose last policy does worse without noise than it did with it.

  The difference of the means counts when it is more than three of its standard errors, to which the episodes of both
  sides contribute. The last 100 episodes of a training are also those of slightly earlier policies: where the return
  still rises, fewer are told.

  Args:
    evaluation: returns of the mean action, `[seeds, episodes]`, NaN where a step failed.
    training: means of the last episodes with noise, `[seeds]`.
    training_error: their standard errors, `[seeds]`.

  Returns:
    For each seed whether it does; `None` where one of the two is not known.
  """
  found: list[bool | None] = []
  for row, mean, error in zip(evaluation, training, training_error, strict=True):
    row = np.asarray(row, float)[np.isfinite(row)]
    known = (mean, error, _standard_error(row))
    if any(number is None or not np.isfinite(number) for number in known):
      found.append(None)
      continue
    noisy, noisy_error, own_error = (float(number) for number in known if number is not None)
    own = float(row.mean())
    margin = _BEYOND * np.hypot(noisy_error, own_error) + _ROUNDING * max(abs(noisy), abs(own))
    found.append(bool(noisy - own > margin))
  return found


def describe(
  seeds: Sequence[int],
  worse: Sequence[bool | None],
  evaluation: Sequence[float | None],
  training: Sequence[float | None],
) -> str | None:
  """One line on the seeds that do worse without noise; `None` where there are none.

  Args:
    seeds: all of them.
    worse: of each, as `mean_action_is_worse` has it.
    evaluation, training: mean returns without and with noise.
  """
  told = [
    f"seed {seed}: {own:.6g} against {noisy:.6g}"
    for seed, is_worse, own, noisy in zip(seeds, worse, evaluation, training, strict=True)
    if is_worse and own is not None and noisy is not None
  ]
  if not told:
    return None
  return (
    f"the mean action does worse than the policy with its noise did, by more than three standard errors, and so has "
    f"not converged ({'; '.join(told)})"
  )


def _standard_error(returns: np.ndarray) -> float:
  if returns.size < 2:
    return float("nan")
  with np.errstate(over="ignore"):  # returns of a run that diverged; an infinite error is none that is known
    return float(np.std(np.asarray(returns, float), ddof=1) / np.sqrt(returns.size))
