"""What the campaign calls a fault: of what a command said, of what it left, and of two folders that should be alike."""

import contextlib
import hashlib
import json
from pathlib import Path

WRITING = ".writing_"  # what the names of unfinished files begin with
LOCKS = (".lock", "lock")
PLACE = ("source", "fingerprint")  # facts of prepared arrays


def words(status, said, names):
    """What is wrong with how a command refused, or None.

    status: as a shell has it. said: all that it printed. names: of the file at fault, one of which has to be said.
    """
    if status < 0:
        return f"died of signal {-status}"
    if "Traceback (most recent call last)" in said:
        return f"traceback: {said.strip().splitlines()[-1][:200]}"
    lines = message(said)
    if not lines:
        return "no word of what is wrong"
    if any(not line.startswith("  ") for line in lines[1:]):
        return f"more than one line: {lines[1][:200]}"
    if not any(name in line for name in names for line in lines):
        return f"names no file: {lines[0][:200]}"
    return None


def message(said):
    """The lines of the error that ends a command's output: the last that says `error:`, and what is listed below."""
    lines = said.rstrip().splitlines()
    starts = [number for number, line in enumerate(lines) if "error:" in line]
    return lines[starts[-1] :] if starts else lines[-1:]


def contents(folder, leave_out=()):
    """{path: checksum} of all files below a folder, but locks and those whose name matches a pattern of `leave_out`."""
    found = {}
    for path in sorted(Path(folder).rglob("*")):
        inside = path.relative_to(folder)
        if path.is_file() and path.name not in LOCKS and not any(inside.match(pattern) for pattern in leave_out):
            found[inside.as_posix()] = hashlib.sha256(_without_place(path)).hexdigest()
    return found


def _without_place(path):
    """The bytes of a file; of what describes arrays or records without what says where the raw files lie."""
    data = path.read_bytes()
    with contextlib.suppress(ValueError, AttributeError):
        if path.name in ("meta.json", "metadata.json"):
            return json.dumps({name: fact for name, fact in json.loads(data).items() if name not in PLACE}).encode()
    return data


def lost(before, after):
    """What of `before` is not there any more or changed, both of `contents`; a text or None."""
    gone = sorted(set(before) - set(after))
    changed = sorted(name for name in before.keys() & after.keys() if before[name] != after[name])
    if gone or changed:
        return f"lost {', '.join(gone) or 'nothing'}, changed {', '.join(changed) or 'nothing'}"
    return None


def half_written(folder):
    """What is left of unfinished files below a folder; a text or None."""
    left = [path.relative_to(folder).as_posix() for path in Path(folder).rglob(f"{WRITING}*")]
    return f"left {', '.join(sorted(left))}" if left else None


def differences(one, two, leave_out=()):
    """In what the files of two folders differ; a text or None."""
    first, second = contents(one, leave_out), contents(two, leave_out)
    missing = sorted(set(first) - set(second))
    more = sorted(set(second) - set(first))
    other = sorted(name for name in first.keys() & second.keys() if first[name] != second[name])
    parts = {"missing": missing, "more": more, "other": other}
    return "; ".join(f"{word} {', '.join(names)}" for word, names in parts.items() if names) or None


def case(answer, expected, strict, names, left):
    """The verdict on one damaged input: "same", "other" or "refused", and what is wrong or None.

    answer: (status, said, value). expected: the value of the undamaged input. strict: whether the file's format could
    tell that it was damaged. left: what is wrong with what lies in the folder, or None.
    """
    status, said, value = answer
    if status:
        return "refused", words(status, said, names) or left
    if "Traceback (most recent call last)" in said:
        return "same", f"traceback, and status 0: {said.strip().splitlines()[-1][:200]}"
    if value == expected:
        return "same", left
    return "other", "other numbers without a word" if strict else left
