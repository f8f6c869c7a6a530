"""What hears of a sweep's members, each as of a run of its own: a table, a tracker."""

from collections.abc import Callable, Sequence

from gippo_jax.errors import UserError
from gippo_jax.runs.ended import tell_ended
from gippo_jax.runs.sinks import CsvFile
from gippo_jax.runs.tracking import Tracker
from gippo_jax.sweep.folder import SweepFolder
from gippo_jax.sweep.plan import Member


class Listeners:
  """Told of members when they have ended, for until then a chunk is one run, and its members have no folders.

  Args:
    folder: of the sweep.
    table: whether members get `metrics.csv`.
    tracker: gets a run for each member; one that refuses is told of once and hears no more: the sweep goes on.
    tell: shows the user a line.
  """

  def __init__(self, folder: SweepFolder, table: bool, tracker: Tracker | None, tell: Callable[[str], None]):
    self._folder, self._table, self._tracker, self._tell = folder, table, tracker, tell

  def hear(self, members: Sequence[Member]) -> None:
    """Tells of those that have ended and were not told of before."""
    if not self._table and self._tracker is None:
      return
    for member in members:
      workdir, summary = self._folder.workdir_of(member), self._folder.summary_of(member)
      if summary is None:
        continue
      if self._table and not workdir.metrics_table.exists():
        tell_ended(workdir, member.experiment, summary, [CsvFile()], self._tell)
      if self._tracker is not None:
        try:
          tell_ended(workdir, member.experiment, summary, [self._tracker], self._tell)
        except UserError as error:
          self._tracker = None
          self._tell(f"{error}; the members are trained all the same, and the same command tells of them later")
