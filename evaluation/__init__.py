"""What evaluate.py is made of: the pass over a split, scores and their intervals, reports, comparisons."""
