"""The code of GI-PPO's authors on the functions, timed beside ours.

It is `train.py` of a copy of https://github.com/SonSang/gippo (commit 837f478), in a Python that has PyTorch. Its
`RunningMeanStd` is made on `cuda:0` by default: without a GPU that default has to be `cpu`.
"""

import functools
import os
import pathlib
import re
import subprocess
import tempfile
import time
from typing import NamedTuple

from gippo_jax.errors import UserError

# Epochs of every training in the paper's Table 1, and of the authors' configurations.
NUM_EPOCHS = 2000
_FOLDERS = {"dejong1": "dejong", "dejong64": "dejong64", "ackley1": "ackley", "ackley64": "ackley64"}
# Epochs after which a training is stopped; only those of GI-PPO, whose retries become more and fewer, are all timed.
_STOPS = {"lr": 200, "rp": 200, "lrp": 200, "ppo": 500}
_EPOCH = re.compile(r"^epoch: (\d+) ")


class Authors(NamedTuple):
  """Their code.

  Attributes:
    folder: copy of the repository.
    python: interpreter that can run it.
  """

  folder: pathlib.Path
  python: str

  def require(self) -> None:
    """Checks that it is there.

    Raises:
      UserError: when it is not.
    """
    if not (self.folder / "train.py").is_file():
      raise UserError(f"--authors: {self.folder} has no train.py; allowed: a copy of github.com/SonSang/gippo")
    if not pathlib.Path(self.python).is_file():
      raise UserError(
        f"--authors_python: there is no {self.python}; allowed: a Python with PyTorch, gym and tensorboard"
      )

  @functools.cache  # noqa: B019 (two rows may ask for the same training, which takes minutes)
  def seconds(self, problem: str, algorithm: str) -> float:
    """Seconds of a training of the paper's length on one thread, without its start.

    Those of LR, RP and LR+RP are reckoned from a tenth of it, those of PPO from a quarter.

    Args:
      problem: of ours, such as `ackley64`.
      algorithm: `lr`, `rp`, `ppo`, `lrp` or `gippo`.

    Raises:
      RuntimeError: when it ends before, with what it said last.
    """
    num_epochs = _STOPS.get(algorithm, NUM_EPOCHS)
    config = self.folder.absolute() / "config" / "func_optim" / _FOLDERS[problem] / f"{algorithm}.yaml"
    paths = [str(self.folder.absolute()), str(self.folder.absolute() / "src")]
    with tempfile.TemporaryDirectory() as log, tempfile.TemporaryFile("w+") as errors:
      python = str(pathlib.Path(self.python).absolute())  # it is started in their folder
      words = [python, "-u", "train.py", f"--cfg={config}", "--device=cpu", f"--logdir={log}/", "--seed=1"]
      environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
      with subprocess.Popen(
        words, cwd=self.folder, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True
      ) as process:
        begin = None
        for line in process.stdout or ():
          found = _EPOCH.match(line)
          if found and int(found[1]) == 1:
            begin = time.monotonic()
          if found and int(found[1]) == num_epochs and begin is not None:
            seconds = (time.monotonic() - begin) / (num_epochs - 1)
            process.kill()
            return seconds * NUM_EPOCHS
      errors.seek(0)
      said = errors.read().strip().splitlines() or ["nothing"]
    raise RuntimeError(
      f"the authors' {problem}, {algorithm} ended with {process.returncode} and said: {said[-1][:200]}"
    )
