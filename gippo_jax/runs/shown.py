"""The numbers of the progress line."""

from collections.abc import Mapping

import numpy as np

_WHEN_POSITIVE = {
  "sample_gradient_dropped": "dropped",
  "sample_gradient_zero": "zero gradients",
  "fault_share": "failed steps",
}


def shown_numbers(
  metrics: Mapping[str, np.ndarray], wanted: Mapping[str, str], steps_per_second: float
) -> dict[str, float]:
  """Means over the members of a chunk's last epoch.

  Args:
    metrics: arrays `[num_members, chunk]`, or `[num_members, chunk, entries]`.
    wanted: the algorithm's own metrics, and what the line calls them (`AlgorithmSpec.shown`).
    steps_per_second: of all members.

  Returns:
    Numbers by name, in the order of the line.
  """
  shown = {"return": float(metrics["return"][:, -1].mean())}
  for name, label in wanted.items():
    if name in metrics:
      shown[label] = float(metrics[name].mean() if name.endswith("_steps") else metrics[name][:, -1].mean())
  if "sample_gradient_norm_by_age" in metrics:
    by_age = metrics["sample_gradient_norm_by_age"][:, -1].mean(axis=0)
    shown["gradient"] = float(metrics["sample_gradient_norm"][:, -1].mean())
    if len(by_age) > 1:
      shown["oldest/newest"] = float(by_age[0] / by_age[-1]) if by_age[-1] else float("inf")
  shown["steps/s"] = steps_per_second
  for name, label in _WHEN_POSITIVE.items():
    if name in metrics and metrics[name].any():
      shown[label] = float(metrics[name].mean())
  for name, values in metrics.items():
    if name.endswith(("_skipped_share", "_nonfinite_share")) and values.any():
      shown[name.removesuffix("_share").replace("_", " ")] = float(values.mean())
  lost = np.sum(metrics.get("episodes_nonfinite", 0))
  if lost:
    shown["episodes not finite"] = float(lost)
  return shown
