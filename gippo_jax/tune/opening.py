"""Opens a study, new or resumed, and refuses what belongs to another one."""

import contextlib
import json
import pathlib
from collections.abc import Iterator

import optuna

from gippo_jax.errors import UserError
from gippo_jax.parsing import Experiment
from gippo_jax.plain import Plain
from gippo_jax.runs.files import write_text
from gippo_jax.runs.workdir import Workdir, flatten
from gippo_jax.tune.space import Space
from gippo_jax.tune.storage import Storage, opened, own_file
from gippo_jax.tune.study import Options, make_pruner

# Of a study in a storage of its own: what it is about.
_IDENTITY = "gippo_jax"


@contextlib.contextmanager
def open_study(workdir: Workdir, experiment: Experiment, space: Space, options: Options) -> Iterator[optuna.Study]:
  """The study of a folder, new or resumed.

  Args:
    workdir: of the study; several processes may use it where the storage is shared.
    experiment: what all trials have in common.
    space: search space; a copy is kept in the folder.
    options: of this session.

  Raises:
    UserError: when the folder or the storage holds a study of another experiment, space or sampler seed, or cannot be
      written.
  """
  copy = workdir.path / "space.py"
  identity = {"tune": {"sampler_seed": options.sampler_seed, "prune": options.prune}}
  workdir.check(experiment, identity)
  if copy.exists() and copy.read_text() != space.source:
    raise UserError(
      f"--space: {space.path} is not the space of this study, whose copy is {copy}; allowed: the same one (to resume) "
      "or another --workdir"
    )
  storage = options.storage or own_file(workdir.path)
  with contextlib.ExitStack() as stack:
    if storage.is_shared:
      workdir.open(experiment, identity)
    else:
      stack.enter_context(workdir.held(experiment, identity))
    write_text(copy, space.source)
    if storage.kind != "database":
      _require_file(workdir, storage)
    study = optuna.create_study(
      storage=stack.enter_context(opened(storage)),
      study_name=options.name or experiment.label,
      direction="maximize",
      pruner=make_pruner(experiment.config.num_epochs) if options.prune else optuna.pruners.NopPruner(),
      load_if_exists=True,
    )
    if options.storage is not None:
      wanted = {"config": experiment.to_dict(), **identity, "space": space.source}
      _identify(study, json.loads(json.dumps(wanted)))
    yield study


def _require_file(workdir: Workdir, storage: Storage) -> None:
  """Refuses results whose study is gone: they would be overwritten by those of a new one.

  Raises:
    UserError: when it is.
  """
  file = pathlib.Path(storage.place).expanduser()
  results = [name for name in ("trials.csv", "best.json") if (workdir.path / name).exists()]
  if results and not (file.exists() and file.stat().st_size):
    raise UserError(
      f"--workdir: {workdir.path} holds {results[0]} of a study, but not the study itself ({file.name}); allowed: "
      f"another folder, or this one with its {file.name}"
    )


def _identify(study: optuna.Study, wanted: Plain) -> None:
  """Says in the storage what a study is about, or compares.

  Raises:
    UserError: when it is about something else.
  """
  if _IDENTITY not in study.user_attrs:
    study.set_user_attr(_IDENTITY, wanted)
  present = study.user_attrs[_IDENTITY]
  allowed = "allowed: the same (to go on), another --study, or another storage"
  if present.get("space") != wanted["space"]:
    raise UserError(f"--storage: the study {study.study_name!r} there has another space; {allowed}")
  theirs, mine = flatten(present), flatten(wanted)
  for name in [*mine, *theirs]:
    if mine.get(name) != theirs.get(name):
      field = name if name.startswith("config.") else f"config.{name}"
      raise UserError(
        f"--storage: the study {study.study_name!r} there has {field} = {theirs.get(name)!r}, asked for "
        f"{mine.get(name)!r}; {allowed}"
      )
