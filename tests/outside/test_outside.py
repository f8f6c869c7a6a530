"""A stranger's project: an environment, an algorithm and a network of its own, each in one file, through every command.

The project lies in a folder of its own, with folders named `envs` and `experiments` that are none of ours.
"""

import json
import shutil
import signal
import subprocess
import sys

import pytest

from tests.commands import ROOT, call, check_error, command, environment_of

SMALL = (
  *("--config.num_envs=8", "--config.horizon=8", "--config.num_epochs=8", "--config.actor.units=(8,)"),
  *("--config.critic.units=(8,)", "--config.critic.num_iterations=2", "--config.evaluation_episodes=4"),
)
HOVER = "--config.env.name=my_package.hover:Hover"
# By what is the stranger's: flags, and a field to sweep with its values.
CASES = {
  "environment": (("--config=any:shac", HOVER, "--config.env.mass=1.5"), "env.gust=0.0,1.0"),
  "algorithm": (("--config=any:clipped", "--plugin=my_package.clipped", HOVER), "clipped.largest_norm=0.1,10.0"),
  "network": (
    ("--config=any:shac", HOVER, "--config.actor.network=my_package.nets:make"),
    "shac.learning_rate=0.01,0.1",
  ),
}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
  folder = tmp_path_factory.mktemp("strangers")
  shutil.copytree(ROOT / "tests" / "outside" / "my_package", folder / "my_package")
  for name in ("envs", "experiments"):
    (folder / name).mkdir()
    (folder / name / "__init__.py").write_text("raise RuntimeError('this is somebody else')\n")
  return folder


@pytest.fixture(scope="module")
def execute(project):
  """Runs a command in the project's folder."""
  variables = environment_of()

  def run(*words):
    return subprocess.run(
      command("gippo_jax", *words), env=variables, cwd=project, capture_output=True, text=True, timeout=300, check=False
    )

  run.variables = variables
  return run


@pytest.mark.parametrize(
  "case", ["environment", *(pytest.param(case, marks=pytest.mark.slow) for case in ("algorithm", "network"))]
)
def test_a_strangers_part_goes_through_every_command(case, project, execute):
  flags, grid = CASES[case]
  broken, sweep = (f"runs/{case}_{name}" for name in ("broken", "sweep"))
  # Killed, and taken up again by its folder alone.
  long = (*SMALL, "--config.num_epochs=3000", "--config.checkpoint_seconds=0")
  long = tuple(flag for flag in long if flag != "--config.num_epochs=8")
  words = command("gippo_jax", "train", *flags, *long, f"--workdir={broken}")
  running = subprocess.Popen(words, env=execute.variables, cwd=project, stdout=subprocess.PIPE, text=True)
  next(line for line in running.stdout if line.startswith("epoch"))
  running.send_signal(signal.SIGKILL)
  running.communicate(timeout=120)
  process = execute("train", f"--workdir={broken}")
  assert process.returncode == 0, process.stderr
  assert json.loads((project / broken / "summary.json").read_text())["epochs"] == 3000

  process = execute("sweep", *flags, *SMALL, f"--grid={grid}", f"--workdir={sweep}")
  assert process.returncode == 0, process.stderr
  assert len(json.loads((project / sweep / "sweep.json").read_text())["settings"]) == 2

  process = execute("evaluate", f"--workdir={broken}", "--episodes=8")
  assert process.returncode == 0, process.stderr
  trained = json.loads((project / broken / "evaluation.json").read_text())
  assert trained["failed_share"] == 0.0
  (untrained,) = json.loads((project / sweep / "best" / "summary.json").read_text())["evaluation_return"]
  assert trained["mean"] > 40.0 > untrained  # of 60: it hovers
  process = execute("render", f"--workdir={sweep}/best", "--out=page.html")
  assert process.returncode == 0, process.stderr
  assert "heights in m" in (project / "page.html").read_text()


def test_what_is_not_there_any_more_is_told_in_one_line(project, execute, tmp_path):
  """A plug-in, an environment and a network that are gone when their run is taken up again."""
  flags = (*CASES["algorithm"][0], "--config.actor.network=my_package.nets:make")
  assert execute("train", *flags, *SMALL, "--workdir=runs/gone").returncode == 0
  package = project / "my_package"
  before = {path: path.read_bytes() for path in (project / "runs" / "gone").rglob("*") if path.is_file()}
  for name, words in (
    ("clipped.py", "there is no module 'my_package.clipped'"),
    ("hover.py", "there is no module 'my_package.hover'"),
    ("nets.py", "my_package.nets:make"),
  ):
    shutil.move(package / name, tmp_path / name)
    process = execute("train", "--workdir=runs/gone", "--config.num_epochs=9")
    shutil.move(tmp_path / name, package / name)
    check_error(process, words)
  assert before == {path: path.read_bytes() for path in before}


BROKEN = {
  "no such module": ("nowhere.at_all:Hover", "there is no module 'nowhere'"),
  "no such name": ("my_package.hover:Fly", "module 'my_package.hover' has no 'Fly'"),
  "no environment": ("my_package.broken:NoEnvironment", "has no observation_size"),
  "no such parameter": ("my_package.hover:Hover", "config.env.weight: my_package.hover:Hover has no such parameter"),
}


@pytest.fixture
def refuse(project):
  """Runs a command that ends with an error in the project's folder, and forgets the project's modules."""
  yield lambda *words: call("gippo_jax", *words, cwd=project)
  for name in [name for name in sys.modules if name.partition(".")[0] == "my_package"]:
    del sys.modules[name]


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_no_environment_is_told_in_one_line(case, project, refuse):
  name, words = BROKEN[case]
  (project / "my_package" / "broken.py").write_text(
    "class NoEnvironment:\n  pass\n\nclass Raises:\n  def __init__(self):\n    raise OSError('no rotor found')\n"
  )
  extra = ("--config.env.weight=3",) if case == "no such parameter" else ()
  process = refuse("train", "--config=any:shac", f"--config.env.name={name}", *extra, "--workdir=runs/none")
  check_error(process, words)
  assert not (project / "runs" / "none").exists()


def test_an_environment_that_raises_shows_its_own_traceback_below_our_line(project, execute):
  (project / "my_package" / "raising.py").write_text(
    "class Raises:\n  def __init__(self):\n    raise OSError('no rotor found')\n"
  )
  process = execute("train", "--config=any:shac", "--config.env.name=my_package.raising:Raises", "--workdir=runs/none")
  assert process.returncode == 2
  first, *rest = process.stderr.splitlines()
  assert first.startswith("error: config.env.name: 'my_package.raising:Raises' raised OSError: no rotor found")
  assert rest[0] == "Traceback (most recent call last):"
  assert "raising.py" in rest[1]
  assert rest[-1] == "OSError: no rotor found"
