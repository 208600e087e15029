"""From raw files to prepared arrays: finding pairs, loading, dividing, writing."""
