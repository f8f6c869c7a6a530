"""When a member of a run counts as lost, and what is said about it."""

import numpy as np

_EPOCHS_TO_DIVERGE = 20
_SHARES = {"fault_share": "steps failed", "sample_gradient_dropped": "samples' gradients were not finite"}


class DivergenceWatch:
  """Follows the members of a run; one is lost after 20 bad epochs in a row.

  An epoch is bad when the critic's loss is no finite number, or when more than a tolerated share of its steps or of its
  samples' gradients was not finite.

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

  def resume(self, epoch: int, epochs: np.ndarray) -> None:
    """Marks those that were lost before an interruption.

    Args:
      epoch: epochs done by the run.
      epochs: epochs done by each member, `[num_members]`: a lost one made no more of them.
    """
    self.lost = epochs < epoch
    self._reasons = [f"given up at epoch {done}, before the run was resumed" for done in epochs]

  def update(self, epoch: int, metrics: dict[str, np.ndarray]) -> None:
    """Takes a chunk.

    Args:
      epoch: epochs done before it.
      metrics: arrays `[num_members, chunk]`; those of lost members are not looked at.
    """
    shares = {name: metrics[name] for name in _SHARES if name in metrics}
    bad = ~np.isfinite(metrics["critic_loss"])
    for share in shares.values():
      bad = bad | (share > self._tolerated_share)
    bad[self.lost] = False
    for index in range(bad.shape[1]):
      self._bad_epochs = np.where(bad[:, index], self._bad_epochs + 1, 0)
      self.lost |= self._bad_epochs >= _EPOCHS_TO_DIVERGE
    for member in np.flatnonzero(bad.any(axis=1)):
      last = np.flatnonzero(bad[member])[-1]
      row = {name: values[member, last] for name, values in metrics.items()}
      self._reasons[member] = self._describe(epoch + int(last), row)

  def _describe(self, epoch: int, row: dict[str, np.ndarray]) -> str:
    parts = []
    for name, what in _SHARES.items():
      if name in row and row[name] > self._tolerated_share:
        parts.append(f"{100 * row[name]:.3g} % of the {what}")
    if "fault_share" in row and row["fault_share"] > 0:
      step = epoch * self._horizon + int(row["fault_step"]) + 1
      parts.append(f"the first at step {step} of environment {int(row['fault_environment'])}")
    if not np.isfinite(row["critic_loss"]):
      parts.append(f"the critic's loss was {row['critic_loss']}")
    return f"epoch {epoch + 1}: " + ", ".join(parts)
