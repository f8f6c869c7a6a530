"""When a member of a run counts as lost, and what is said about it."""

from collections.abc import Mapping

import numpy as np

from gippo_jax.plain import Plain, PlainMapping

_EPOCHS_TO_DIVERGE = 20
# Shares by metric, and by the endings that algorithms give theirs: of an epoch's steps of an optimiser, those whose
# gradient was not finite, wholly (the step was skipped) or in parts (they were replaced by 0).
_SHARES = {
  "fault_share": "steps failed",
  "sample_gradient_dropped": "samples' gradients were not finite",
  "model_nonfinite_predictions": "model's predictions were not finite",
  "model_empty_buffer": "model's minibatches came of an empty buffer",
}
_ENDINGS = {"_skipped_share": "steps were skipped", "_nonfinite_share": "gradients had entries that were not finite"}
_LOSS = "_loss"


class DivergenceWatch:
  """Follows the members of a run; one is lost after 20 bad epochs in a row.

  An epoch is bad when a loss (`..._loss`) is not finite, or when more than a tolerated share was not finite: of its
  environment steps, of its samples' gradients, or of the steps of an optimiser (`..._skipped_share`,
  `..._nonfinite_share`), which would otherwise do nothing in silence.

  Args:
    num_members: members side by side.
    horizon: steps of a window, to count an environment's steps.
    tolerated_share: largest share that is still good, in [0, 1].

  Attributes:
    lost: which members are lost, `[num_members]`; once lost, always lost.
  """

  def __init__(self, num_members: int, horizon: int, tolerated_share: float):
    self._horizon = horizon
    self._tolerated_share = tolerated_share
    self._bad_epochs = np.zeros(num_members, int)
    self._reasons: list[str | None] = [None] * num_members
    self.lost = np.zeros(num_members, bool)

  @property
  def reasons(self) -> list[str | None]:
    """What was wrong in the last bad epoch of each lost member; `None` for the others."""
    return [reason if lost else None for reason, lost in zip(self._reasons, self.lost, strict=True)]

  def plain(self) -> Plain:
    """What it knows, as JSON; lists have an entry for each member."""
    return {"bad_epochs": self._bad_epochs.tolist(), "reasons": list(self._reasons), "lost": self.lost.tolist()}

  def resume(self, stored: PlainMapping) -> None:
    """Goes on from what `plain` gave, so that an interruption changes nothing.

    Args:
      stored: of as many members.
    """
    self._bad_epochs = np.asarray(stored["bad_epochs"], int)
    self._reasons = list(stored["reasons"])
    self.lost = np.asarray(stored["lost"], bool)

  def update(self, epoch: int, metrics: Mapping[str, np.ndarray]) -> None:
    """Takes a chunk.

    Args:
      epoch: epochs done before it.
      metrics: arrays `[num_members, chunk]`; those of lost members are not looked at.
    """
    bad = ~np.isfinite(metrics["critic_loss"])
    for name, values in metrics.items():
      if values.ndim != 2:
        continue
      if name.endswith(_LOSS):
        bad |= ~np.isfinite(values)
      elif _what_is_shared(name):
        bad |= values > self._tolerated_share
    bad[self.lost] = False
    for index in range(bad.shape[1]):
      self._bad_epochs = np.where(bad[:, index], self._bad_epochs + 1, 0)
      self.lost |= self._bad_epochs >= _EPOCHS_TO_DIVERGE
    for member in np.flatnonzero(bad.any(axis=1)):
      last = np.flatnonzero(bad[member])[-1]
      row = {name: values[member, last] for name, values in metrics.items()}
      self._reasons[member] = self._describe(epoch + int(last), row)

  def _describe(self, epoch: int, row: Mapping[str, np.ndarray]) -> str:
    parts = []
    for name, value in row.items():
      what = _what_is_shared(name)
      if what and np.ndim(value) == 0 and value > self._tolerated_share:
        parts.append(f"{100 * value:.3g} % of the {what}")
    if "fault_share" in row and row["fault_share"] > 0:
      step = epoch * self._horizon + int(row["fault_step"]) + 1
      parts.append(f"the first at step {step} of environment {int(row['fault_environment'])}")
    for name, value in row.items():
      if name.endswith(_LOSS) and np.ndim(value) == 0 and not np.isfinite(value):
        whose = name.removesuffix(_LOSS)
        parts.append(f"the {whose}'s loss was {value}" if whose in ("actor", "critic") else f"{name} was {value}")
    return f"epoch {epoch + 1}: " + ", ".join(parts)


def _what_is_shared(name: str) -> str | None:
  """What a metric is a share of, in words; `None` for one that is none."""
  if name in _SHARES:
    return _SHARES[name]
  for ending, what in _ENDINGS.items():
    if name.endswith(ending):
      return f"{name.removesuffix(ending).replace('_', ' ')}'s {what}"
  return None
