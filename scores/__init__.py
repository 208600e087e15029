"""What evaluate.py is made of: the pass over the images, scores and their intervals, figures, reports."""
