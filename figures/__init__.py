"""Every picture that is drawn of runs, scores and masks."""
