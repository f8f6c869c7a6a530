"""Where a study is kept: a file for one process at a time, or a storage that several processes share."""

import contextlib
import json
import pathlib
from collections.abc import Iterator
from typing import NamedTuple

import optuna
import sqlalchemy
from optuna.storages.journal import JournalFileBackend
from sqlalchemy.exc import ArgumentError, DatabaseError, NoSuchModuleError

from gippo_jax.errors import UserError
from gippo_jax.runs.files import unwritable
from gippo_jax.runs.lock import locked

_KNOWN = "sqlite:///PATH, journal:PATH, or a database's URL, e.g. postgresql://USER@HOST/NAME or mysql://USER@HOST/NAME"
# What installs the module that a database's address asks for, where the names differ.
_PACKAGES = {"psycopg": '"psycopg[binary]"', "psycopg2": "psycopg2-binary", "MySQLdb": "mysqlclient"}


class Storage(NamedTuple):
  """A place for studies.

  Attributes:
    kind: `sqlite`, `journal` or `database`.
    place: path of the file, or the database's URL.
    flag: that named it.
  """

  kind: str
  place: str
  flag: str = "--storage"

  @property
  def is_shared(self) -> bool:
    """Whether several processes may use it at once."""
    return self.kind != "sqlite"


def own_file(workdir: pathlib.Path) -> Storage:
  """A file in the study's folder, whose lock is held."""
  return Storage("sqlite", str(workdir / "optuna.db"), "--workdir")


def parse_storage(text: str) -> Storage:
  """Reads `--storage`; nothing is opened.

  Raises:
    UserError: for a storage that is not known.
  """
  if text.startswith("journal:"):
    path = text.removeprefix("journal:")
    if path:
      return Storage("journal", path)
    raise _unknown(text)
  try:
    url = sqlalchemy.make_url(text)
    backend = url.get_dialect().name
  except (ArgumentError, NoSuchModuleError, ValueError):
    raise _unknown(text) from None
  if backend != "sqlite":
    return Storage("database", text)
  if url.database in (None, "", ":memory:"):
    raise UserError(f"--storage: {text!r} keeps nothing; allowed: {_KNOWN}")
  return Storage("sqlite", str(url.database))


def _unknown(text: str) -> UserError:
  return UserError(f"--storage: {text!r} is not allowed; allowed: {_KNOWN}")


@contextlib.contextmanager
def opened(storage: Storage) -> Iterator[optuna.storages.BaseStorage]:
  """Optuna's storage; made if needed, closed at the end.

  Raises:
    UserError: when it cannot be used, or another process uses one that is for one process.
  """
  try:
    with contextlib.ExitStack() as stack:
      if storage.kind == "journal":
        yield _journal(pathlib.Path(storage.place).expanduser().absolute())
        return
      if storage.kind == "sqlite":
        path = pathlib.Path(storage.place).expanduser().absolute()
        if storage.flag == "--storage":
          stack.enter_context(_held(path))
        # A path may hold what means something else in an address.
        url = sqlalchemy.URL.create("sqlite", database=str(path)).render_as_string(hide_password=False)
      else:
        url = storage.place
      yield _database(storage, url, stack)
  except DatabaseError as error:
    reason = str(error.orig or error).splitlines()[0]
    what = storage.place if storage.kind == "sqlite" else sqlalchemy.make_url(storage.place).render_as_string()
    other = "another folder" if storage.flag == "--workdir" else "another storage"
    raise UserError(f"{storage.flag}: {what} cannot be used ({reason}); allowed: {other}") from None


def _journal(path: pathlib.Path) -> optuna.storages.BaseStorage:
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and not _is_journal(path):
      raise UserError(f"--storage: {path} is not a journal of Optuna's; allowed: another file, or a new one")
    # The path is absolute, for Optuna's lock is a link to it, which it follows to see whether the lock is stale.
    return optuna.storages.JournalStorage(JournalFileBackend(str(path)))
  except OSError as error:
    raise unwritable("--storage", path, error) from None


def _is_journal(path: pathlib.Path) -> bool:
  """Whether the first line is one of a journal's; Optuna itself takes any file, and adds to it."""
  with path.open("rb") as file:
    line = file.readline()
  try:
    return not line or "op_code" in dict(json.loads(line))
  except (ValueError, TypeError, RecursionError):
    return False


@contextlib.contextmanager
def _held(path: pathlib.Path) -> Iterator[None]:
  with contextlib.ExitStack() as stack:
    try:
      stack.enter_context(locked(path.parent, "--storage", name=f"{path.name}.lock"))
    except UserError as error:
      raise UserError(
        f"{error}; SQLite is for one process at a time, several need journal:PATH or a database's URL"
      ) from None
    yield


def _database(storage: Storage, url: str, stack: contextlib.ExitStack) -> optuna.storages.BaseStorage:
  try:
    database = optuna.storages.RDBStorage(url)
  except ImportError as error:
    name = getattr(error.__cause__ or error, "name", None) or "its driver"
    package = _PACKAGES.get(name, name)
    raise UserError(f"{storage.flag}: {storage.place.partition(':')[0]} needs {name}: pip install {package}") from None
  stack.callback(database.engine.dispose)
  stack.callback(database.remove_session)
  return database
