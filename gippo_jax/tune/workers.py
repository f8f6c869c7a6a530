"""The processes that train the trials of one study: who trains which, and whose are nobody's any more."""

import contextlib
from collections.abc import Iterator

import optuna
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.trial import FrozenTrial, Trial, TrialState

from gippo_jax.runs.owners import LEASE_SECONDS, Heartbeat, Owner, Sightings, is_alive

_WORKER = "worker"
_BEATS = "beats of "
# They have a place among those that were asked for.
_COUNTED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)


class Workers:
  """This process among those that train the trials of a study.

  Every trial says who trains it. In a shared storage the signs of life of all are attributes of the study, so that the
  processes need not share a disk, and of Optuna's storages any will do: only one kind has a heartbeat of its own, and
  that belongs to `Study.optimize`, which trains trials one by one.

  Args:
    study: theirs.
    alone: whether no other process can be at work.
    lease: seconds of silence after which a process counts as gone.
  """

  def __init__(self, study: optuna.Study, alone: bool, lease: float = LEASE_SECONDS):
    self._study, self._alone, self._lease = study, alone, lease
    self._name = str(Owner.me())
    self._sightings = Sightings()
    self._beats = 0

  @property
  def entropy(self) -> list[int]:
    """Numbers that keep processes from drawing the same points; none when there is only one."""
    return [] if self._alone else list(self._name.encode())

  @contextlib.contextmanager
  def working(self) -> Iterator[None]:
    """Entered while trials are trained; in the end none of them is left running."""
    try:
      with contextlib.nullcontext() if self._alone else Heartbeat(self._beat, self._lease / 8):
        yield
    finally:
      for trial in self._running():
        if trial.user_attrs.get(_WORKER) == self._name:
          self._fail(trial)

  def ask(self, num_trials: int) -> Trial | None:
    """A new trial, of which this process is told; `None` when others were quicker and there are enough.

    Args:
      num_trials: of the study, in the end.
    """
    trial = self._study.ask()
    trial.set_user_attr(_WORKER, self._name)
    # Every process counts those before its own, so that of two last ones, asked for at once, one stays.
    before = [other for other in self._study.get_trials(deepcopy=False, states=_COUNTED) if other.number < trial.number]
    if len(before) < num_trials:
      return trial
    trial.set_user_attr("reason", "more than were asked for")
    self._study.tell(trial, state=TrialState.FAIL)
    return None

  def fail_abandoned(self) -> int:
    """Marks trials that nobody trains any more: they count for nothing, and their places are drawn again.

    Returns:
      How many others are in training.
    """
    at_work = 0
    for trial in self._running():
      name = trial.user_attrs.get(_WORKER, "")
      if name == self._name:
        continue
      if self._alone or self._is_gone(name, trial):
        self._fail(trial)
      else:
        at_work += 1
    return at_work

  def _is_gone(self, name: str, trial: FrozenTrial) -> bool:
    owner = Owner.read(name)
    if owner is not None and owner.is_of_this_machine and not is_alive(owner.pid):
      return True
    # A trial without a name was asked for by a process that had not yet said so.
    sign = self._study.user_attrs.get(_BEATS + name) if name else None
    return self._sightings.seconds_unchanged(name or f"trial {trial.number}", sign) >= self._lease

  def _running(self) -> list[FrozenTrial]:
    return self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))

  def _fail(self, trial: FrozenTrial) -> None:
    with contextlib.suppress(UpdateFinishedTrialError):  # somebody else did it, or it has ended
      self._study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)

  def _beat(self) -> bool:
    self._beats += 1
    with contextlib.suppress(OSError, StorageInternalError):  # who cannot be reached now may be at the next beat
      self._study.set_user_attr(_BEATS + self._name, self._beats)
    return True
