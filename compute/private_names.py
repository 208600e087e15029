"""The only names of Keras and TensorFlow in this toolkit that are not public, for what cannot be had by those that are.

tests/compute/test_private_names.py fails when one of them goes. What is lost then is said at each.
"""


def check_workers(strategy, seconds: int):
    """Have a MultiWorkerMirroredStrategy check every so many seconds whether workers are gone, and wait as long.

    Without these names it takes TensorFlow's default of half a minute to notice one.
    """
    strategy.extended._check_health_interval = seconds
    strategy.extended._check_health_timeout = seconds
