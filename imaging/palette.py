"""Every color of figures, of pictures and of the report, once; color-blind readers can tell all pairs apart.

Colors are written "#RRGGBB"; `rgb` gives the numbers. CLASSES is the palette of Okabe and Ito (Color Universal Design,
2008), of which the others are taken.
"""

CLASSES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")  # of classes, and of runs
TRUTH, PREDICTION = "#56B4E9", "#E69F00"  # outlines: bright blue and orange, to be seen on skin and on lesions
FALSE_NEGATIVE, FALSE_POSITIVE = "#0072B2", "#D55E00"  # areas: blue and orange
TRUE_NEGATIVE, TRUE_POSITIVE = "#1C2127", "#E2E6EA"  # areas, where there is no image to draw on: dark and light

# Of the report, a page.
INK, PAPER = "#1C2127", "#FFFFFF"
LINE, STRONG_LINE = "#D8DDE3", "#8A949E"
SOFT_INK = "#5B6570"
ACCENT = CLASSES[0]
ROW_UNDER_POINTER = "#F5F8FA"


def of_class(number: int) -> str:
    """The color of class number 0, 1 …; after the last color the first comes again."""
    return CLASSES[number % len(CLASSES)]


def rgb(color: str) -> tuple[int, int, int]:
    """(red, green, blue), each 0 to 255, of "#RRGGBB"."""
    return tuple(int(color[start : start + 2], 16) for start in (1, 3, 5))
