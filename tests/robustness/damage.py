"""Damage to files, drawn by chance: of bytes, and of texts in ways that a parser may not expect."""

import re

LARGE = 10**30
WORDS = ["-1", "0", "NaN", "1e999", str(LARGE), '""', "null", "[]", "{}", "../../x", "\0", "é", "true", "'", "a b", "."]
YAML = ["!!timestamp x", "!!python/object:os.system x", "[" * 3000, "&a [*a]", "~", "|", "2024-01-01", "1_000", "0o17"]


# === Bytes: function (data, draw) -> data ===


def flip_bit(data, draw):
    place = draw.randrange(len(data))
    return _put(data, place, bytes([data[place] ^ 1 << draw.randrange(8)]))


def set_byte(data, draw):
    return _put(data, draw.randrange(len(data)), bytes([draw.choice((0, 1, 127, 128, 255, draw.randrange(256)))]))


def set_number(data, draw):
    size = draw.choice((2, 4, 8))
    number = draw.choice((0, 1, 2 ** (8 * size) - 1, 2 ** (8 * size - 1), 2 ** (8 * size - 1) - 1))
    return _put(data, draw.randrange(len(data)), number.to_bytes(size, draw.choice(("little", "big"))))


def cut(data, draw):
    return data[: draw.randrange(len(data))]


def cut_few(data, draw):
    return data[: -draw.randrange(1, 20)]


def cut_front(data, draw):
    return data[draw.randrange(1, len(data)) :]


def zero(data, draw):
    start, stop = _span(data, draw)
    return data[:start] + bytes(stop - start) + data[stop:]


def remove(data, draw):
    start, stop = _span(data, draw)
    return data[:start] + data[stop:]


def repeat(data, draw):
    start, stop = _span(data, draw)
    return data[:stop] + data[start:]


def insert(data, draw):
    place = draw.randrange(len(data) + 1)
    return data[:place] + draw.randbytes(draw.randrange(1, 40)) + data[place:]


def append(data, draw):
    return data + draw.randbytes(draw.randrange(1, 200))


def swap(data, draw):
    start, stop = _span(data, draw)
    middle = (start + stop) // 2
    return data[:start] + data[middle:stop] + data[start:middle] + data[stop:]


def empty(data, draw):
    return b""


def _put(data, place, new):
    return (data[:place] + new + data[place + len(new) :])[: len(data)]


def _span(data, draw):
    start = draw.randrange(len(data))
    return start, min(len(data), start + draw.choice((1, 4, 16, 100, len(data) // 3 + 1)))


BYTES = [flip_bit] * 4 + [set_byte] * 3 + [set_number] * 2
BYTES += [cut, cut, cut_few, cut_front, zero, zero, remove, repeat, insert, append, swap, empty]


# === Texts: function (text, draw) -> text ===


def other_value(text, draw):
    """Another word in place of a number or a quoted word."""
    found = list(re.finditer(r'"[^"\n]*"|-?\b\d[\d.e+-]*|\b(?:true|false|null)\b', text))
    return _replace(text, draw.choice(found).span(), draw.choice(WORDS)) if found else text + draw.choice(WORDS)


def other_word(text, draw):
    found = list(re.finditer(r"\w+", text))
    return _replace(text, draw.choice(found).span(), draw.choice(WORDS + YAML)) if found else draw.choice(YAML)


def without_value(text, draw):
    """A line that ends behind its colon."""
    found = list(re.finditer(r"(?<=:)[^\n]*", text))
    return _replace(text, draw.choice(found).span(), "") if found else text[1:]


def without_line(text, draw):
    lines = text.splitlines(keepends=True)
    del lines[draw.randrange(len(lines))]
    return "".join(lines)


def double_line(text, draw):
    lines = text.splitlines(keepends=True)
    lines.insert(draw.randrange(len(lines)), draw.choice(lines))
    return "".join(lines)


def other_commas(text, draw):
    return text.replace(",", draw.choice((";", "\t", ",,", "")), draw.choice((1, -1)))


def _replace(text, span, new):
    return text[: span[0]] + new + text[span[1] :]


TEXTS = [other_value] * 4 + [other_word] * 2 + [without_value, without_line, double_line, other_commas]
ENCODINGS = ("utf-8", "utf-8", "utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "latin-1")


def damaged(data, draw, is_text):
    """Other bytes than `data`, and the names of what was done to them, one to three things."""
    before = data
    done = []
    while data == before or draw.random() < 0.25:
        if len(done) >= 3 and data != before:
            break
        if is_text and data and draw.random() < 0.6:
            change = draw.choice(TEXTS)
            text = change(data.decode("utf-8", "replace"), draw)
            data = text.encode(draw.choice(ENCODINGS), "replace")
        else:
            change = draw.choice(BYTES) if data else append
            data = change(data, draw)
        done.append(change.__name__)
    return data, done
