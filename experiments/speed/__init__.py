"""Speed: what `python -m experiments.benchmark` measures, part by part."""
