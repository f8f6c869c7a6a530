"""Other packages' trainers beside ours, each in a process of its own: `python -m experiments.peers`."""
