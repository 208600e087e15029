"""Networks that come with the program, and their model cards (runs.PRETRAINED, evaluation/release.py)."""
