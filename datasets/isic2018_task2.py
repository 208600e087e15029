"""ISIC 2018 challenge, Task 2: five dermoscopic attributes, a mask each (see isic2018.py)."""

from datasets import isic2018

DATASET = isic2018.TASKS[2]
