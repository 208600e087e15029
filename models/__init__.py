"""The networks, one file each, and the layers, training steps and weights that they are made of."""
