"""The documentation's links, pictures, files and commands: `python -m tests.documents`, `make docs-check`.

Every command in a block marked `sh`, and every one in the text that begins like one, is parsed: its flags exist, its
configuration resolves, its grid or space fits. Above each block stands whether it is executed, which `--run` does:

    <!-- run -->
    <!-- run, after: COMMAND -->           the reader has done that before
    <!-- not run: WHY -->

Commands of a document run one after the other in a folder of their own, trainings for a few epochs, compiled without
optimisation; as many documents at once as there are cores (all, or those named).
"""

import concurrent.futures
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from typing import NamedTuple

from tests.commands import QUICK, ROOT

DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "notebooks").glob("*.md")])
# Of these nothing is known here but that they are programs.
_FOREIGN = ("cd", "curl", "git", "gh", "source", "srun", "tensorboard", "optuna-dashboard", "twine")
_BEGINS = re.compile(r"(?:[A-Z_]+=\S+ )*(?:python -m (?:gippo_jax|experiments)|gippo-jax|make [a-z]|pip install)")
_BLOCK = re.compile(
  r"(?: *<!-- (?P<mark>run|not run: [^\n]+|run, after: (?P<before>[^\n]+)) -->\n)? *```sh\n(?P<lines>.*?)^ *```",
  re.MULTILINE | re.DOTALL,
)
_CHEAP = {"num_epochs": "2", "evaluation_episodes": "2"}


class Command(NamedTuple):
  """A command of a document.

  Attributes:
    document: where it stands.
    text: as it stands there, on one line.
    variables: of the environment, set before it.
    words: program and arguments.
    runs: whether `--run` executes it.
  """

  document: pathlib.Path
  text: str
  variables: dict[str, str]
  words: list[str]
  runs: bool

  def is_sketch(self) -> bool:
    """Whether it stands for many: `...`, or a word in capitals for what the reader fills in."""
    return any("..." in word or re.search(r"(^|[=:\s])[A-Z][A-Z_]+\b", word) for word in self.words)


def without_code(text: str) -> str:
  """A document without its code, of which neither blocks nor spans hold links or headings."""
  return re.sub(r"`[^`\n]*`", "", re.sub(r"^ *```.*?^ *```", "", text, flags=re.MULTILINE | re.DOTALL))


def anchors(text: str) -> set[str]:
  """Names of the headings, as links spell them."""
  found: dict[str, int] = {}
  names = set()
  for heading in re.findall(
    r"^#+ (.*)", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE
  ):
    plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading.replace("`", "")).strip().lower()
    name = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
    names.add(f"{name}-{found[name]}" if name in found else name)
    found[name] = found.get(name, 0) + 1
  return names


def broken_links(document: pathlib.Path) -> list[str]:
  """Links of a document, and pictures, that lead nowhere."""
  text = document.read_text()
  broken = []
  for link in re.findall(r"\]\(((?!\w+:)[^)\s]+)\)", without_code(text)):
    path, _, anchor = link.partition("#")
    target = document.parent / path if path else document
    if not target.exists() or (anchor and anchor not in anchors(target.read_text())):
      broken.append(link)
  return broken


def missing_files(document: pathlib.Path) -> list[str]:
  """Python files that a document's text names and that are not there; examples of the reader's own are left out."""
  known = [str(path.relative_to(ROOT)) for top in ("envs", "experiments", "gippo_jax", "tests", "docs")
           for path in (ROOT / top).rglob("*.py")]  # fmt: skip
  named = set(re.findall(r"`((?:[\w.]+/)*\w+\.py)`", document.read_text()))
  return sorted(
    name for name in named
    if not name.startswith("my_") and name not in ("pendulum.py", "space.py") and not any(
      f"/{path}".endswith(f"/{name}") for path in known)
  )  # fmt: skip


def unlisted() -> list[str]:
  """Pages that the site's tables of contents, in docs/index.md, do not list."""
  listed = re.findall(r"^([a-z_]+)$", (ROOT / "docs" / "index.md").read_text(), re.MULTILINE)
  return sorted({path.stem for path in (ROOT / "docs").glob("*.md")} - {"index", *listed})


def commands(document: pathlib.Path) -> list[Command]:
  """The commands of a document, from blocks marked `sh` and from code in the text."""
  text = document.read_text()
  found = []
  for block in _BLOCK.finditer(text):
    runs = (block["mark"] or "").startswith("run")
    for line in [block["before"] or "", *block["lines"].replace("\\\n", " ").splitlines()]:
      if re.match(r" *(for|do|done)\b", line):  # the shell's own words around commands
        continue
      found += [_command(document, part, runs) for part in line.split("&&") if part.split("#")[0].strip()]
  for span in re.findall(r"`([^`]+)`", re.sub(r"^ *```.*?^ *```", "", text, flags=re.MULTILINE | re.DOTALL)):
    if _BEGINS.match(" ".join(span.split())):
      found.append(_command(document, span, False))
  return found


def unmarked(document: pathlib.Path) -> list[str]:
  """First lines of blocks that do not say whether they are executed."""
  return [block["lines"].splitlines()[0] for block in _BLOCK.finditer(document.read_text()) if not block["mark"]]


def _command(document: pathlib.Path, text: str, runs: bool) -> Command:
  words = shlex.split(text, comments=True)
  words = words[: next((index for index, word in enumerate(words) if word in ("&", ">", "|")), len(words))]
  variables = {}
  while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
    name, _, variables[name] = words.pop(0).partition("=")  # pyright: ignore[reportArgumentType]
  return Command(document, " ".join(text.split()), variables, words, runs)


def problem(command: Command) -> str | None:
  """What is wrong with a command, or `None`."""
  from gippo_jax.errors import UserError

  program, *rest = command.words
  if program == "gippo-jax":
    program, rest = "python", ["-m", "gippo_jax", *rest]
  try:
    if program == "make":
      targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
      return next((f"no target {word}" for word in rest if word not in targets), None)
    if program == "pip":
      return _wrong_extra(rest)
    if program.endswith("python") and rest[:1] == ["-m"]:
      return _wrong_module(rest[1], rest[2:], command.is_sketch())
  except UserError as error:
    return str(error)
  return None if program in _FOREIGN else f"unknown program {program}"


def _wrong_extra(words: list[str]) -> str | None:
  extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
  for word in words:
    match = re.fullmatch(r"(?:gippo_jax|\.)\[(.*)\]", word)
    for name in match[1].split(",") if match else ():
      if name not in extras:
        return f"no extra {name}"
  return None


def _wrong_module(module: str, words: list[str], is_sketch: bool) -> str | None:
  if module in ("venv", "tests.documents", "tests.packaging", "build", "pytest", "twine"):
    return None
  if module == "gippo_jax.main":
    return _wrong_command("train", words, is_sketch)
  if module == "gippo_jax":
    return _wrong_command(words[0], words[1:], is_sketch) if words and words[0] != "COMMAND" else None
  place = ROOT / module.replace(".", "/")
  file = next((path for path in (place.with_suffix(".py"), place / "__main__.py") if path.exists()), None)
  if file is None:
    return f"no module {module}"
  defined = re.findall(r"DEFINE_(\w+)\(\s*\"([\w-]+)\"", file.read_text())
  names = {name for _, name in defined} | {f"no{name}" for kind, name in defined if kind == "bool"}
  flags = [word.lstrip("-").split("=")[0] for word in words if word.startswith("--")]
  return next((f"{module} has no flag --{flag}" for flag in flags if flag not in names), None)


def _wrong_command(name: str, words: list[str], is_sketch: bool) -> str | None:
  import importlib

  from gippo_jax.cli.commands import COMMANDS
  from gippo_jax.cli.configuration import experiment_of

  if name not in (*COMMANDS, "--help", "--version"):
    return f"no command {name}"
  if "--help" in words or name.startswith("--"):
    return None
  module = importlib.import_module(f"gippo_jax.cli.{name if name != 'list' else 'listing'}")
  if name == "launch":
    if is_sketch or not any(word.startswith("--") for word in words):  # the command's name alone
      return None
    _, words = module.parse_arguments(words)
    name, module = "sweep", importlib.import_module("gippo_jax.cli.sweep")
  module.FLAGS.values.unparse_flags()
  module.FLAGS.parse(words)
  if is_sketch or (module.FLAGS.config.source is None and not module.FLAGS.config.overrides):
    return None
  experiment = experiment_of(module.FLAGS.config)
  values = module.FLAGS.values.flag_values_dict()
  if name == "sweep":
    from gippo_jax.sweep import space

    wanted = space.load_space(values["sweep"]) if values["sweep"] else space.parse_grid(values["grid"])
    space.check_space(wanted, values["random"] is not None)
    space.expand(experiment, space.assignments(wanted, values["random"], 0))
  if name == "tune" and values["space"]:
    from gippo_jax.tune.space import Space

    Space(pathlib.Path(values["space"])).check(experiment)
  return None


def prepare(folder: pathlib.Path) -> None:
  """What the commands of the documents expect in the folder in which they are typed."""
  shutil.copytree(ROOT / "tests" / "outside" / "my_package", folder / "my_package")
  (folder / "experiments").symlink_to(ROOT / "experiments")
  blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "environments.md").read_text(), re.DOTALL)
  (folder / "pendulum.py").write_text(next(block for block in blocks if "def get_config" in block))


def cheap(command: Command) -> list[str]:
  """The words of a command that trains little."""
  words = [sys.executable if word == "python" else word for word in command.words]
  trains = {"train", "sweep", "tune", "gippo_jax.main"} & set(words)
  if not trains or not any(word.startswith("--config") for word in words):
    return words
  kept = [word for word in words if word.removeprefix("--config.").split("=")[0] not in _CHEAP]
  return [*kept, *(f"--config.{name}={value}" for name, value in _CHEAP.items())]


def run(document: pathlib.Path, found: list[Command]) -> list[str]:
  """Executes a document's commands that are to run; returns what went wrong."""
  wrong = []
  with tempfile.TemporaryDirectory() as folder:
    prepare(pathlib.Path(folder))
    for command in found:
      variables = {**os.environ, "PYTHONPATH": str(ROOT), "XLA_FLAGS": QUICK, **command.variables}
      began = time.monotonic()
      ended = subprocess.run(
        cheap(command), cwd=folder, env=variables, capture_output=True, text=True, timeout=600, check=False
      )
      how = f"ran, {time.monotonic() - began:.0f} s" if ended.returncode == 0 else "FAILED"
      print(f"{document.name}: {command.text}: {how}", flush=True)
      if ended.returncode:
        wrong.append(f"{document.name}: {command.text}: {ended.stderr.strip()[-2000:]}")
  return wrong


def main(arguments: list[str]) -> int:
  """Checks everything, prints what is wrong; returns the exit code."""
  wrong, count = [f"docs/index.md does not list {page}" for page in unlisted()], 0
  by_document = {document: commands(document) for document in DOCUMENTS}
  with tempfile.TemporaryDirectory() as folder:
    prepare(pathlib.Path(folder))
    os.chdir(folder)
    sys.path.insert(0, folder)
    for document, found in by_document.items():
      name = document.relative_to(ROOT)
      wrong += [f"{name}: {link} leads nowhere" for link in broken_links(document)]
      wrong += [f"{name}: there is no {file}" for file in missing_files(document)]
      wrong += [f"{name}: {line}: neither `run` nor `not run: WHY` stands above" for line in unmarked(document)]
      reasons = [(command, problem(command)) for command in found]
      wrong += [f"{name}: {command.text}: {reason}" for command, reason in reasons if reason]
      count += len(found)
    os.chdir(ROOT)
  if "--run" in arguments:
    from gippo_jax.programs.devices import num_cores

    names = [argument for argument in arguments if argument != "--run"]
    running = {
      document: [command for command in found if command.runs]
      for document, found in by_document.items()
      if not names or document.name in names
    }
    with concurrent.futures.ThreadPoolExecutor(num_cores()) as pool:
      longest_first = sorted(running.items(), key=lambda item: -len(item[1]))
      wrong += [line for lines in pool.map(lambda item: run(*item), longest_first) for line in lines]
    print(f"{sum(map(len, running.values()))} commands ran")
  print("\n".join(wrong) if wrong else f"{len(DOCUMENTS)} documents, {count} commands: nothing is wrong")
  return 1 if wrong else 0


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
