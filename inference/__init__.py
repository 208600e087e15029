"""A network's answer for an image: probabilities, masks, explanations."""
