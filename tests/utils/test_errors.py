import contextlib
import json
import os
import signal
import subprocess
import sys

import pytest

from utils import errors
from utils.errors import UserError


@pytest.mark.parametrize(
    "problem",
    [KeyError("size"), TypeError("a\nb"), json.JSONDecodeError("x", "y", 0), RecursionError(), OSError("cut")],
)
def test_whatever_is_wrong_with_a_file_becomes_one_line_with_its_path(problem):
    message = r"^run\.json cannot be read \(\w+: .*\); copy it again$"
    with pytest.raises(UserError, match=message) as caught, errors.unreadable("run.json", "copy it again"):
        raise problem
    assert caught.value.__cause__ is problem  # where it comes from stays to be seen


@pytest.mark.parametrize("problem", [UserError("mine"), FileNotFoundError(2, "gone", "other.csv"), KeyboardInterrupt()])
def test_what_names_its_file_itself_passes_as_it_is(problem):
    with pytest.raises(type(problem)) as caught, errors.unreadable("run.json", "copy it again"):
        raise problem
    assert caught.value is problem


SCRIPT = """
import os, signal, sys
from utils import errors

@errors.in_one_line("stopped, all is well")
def main():
    {work}

main()
"""


def run(work, **environment):
    command = [sys.executable, "-c", SCRIPT.format(work=work)]
    return subprocess.run(command, capture_output=True, env={**os.environ, "PYTHONPATH": ".", **environment})


@contextlib.contextmanager
def handled(number, how):
    """A signal is handled so by what is started inside."""
    before = signal.signal(number, how)
    try:
        yield
    finally:
        signal.signal(number, before)


@pytest.mark.parametrize(("name", "status"), [("SIGINT", 130), ("SIGHUP", 129)])
def test_ctrl_c_and_a_closed_terminal_show_one_line(name, status):
    with handled(getattr(signal, name), signal.SIG_DFL):  # whatever started the tests, such as nohup
        done = run(f"os.kill(os.getpid(), signal.{name}); signal.pause()")
    assert (done.returncode, done.stdout, done.stderr) == (status, b"", b"stopped, all is well\n")


def test_a_hangup_that_is_ignored_stays_so():
    with handled(signal.SIGHUP, signal.SIG_DFL):
        done = run("os.kill(os.getpid(), signal.SIGHUP); print('on')")
    assert done.returncode == 129
    with handled(signal.SIGHUP, signal.SIG_IGN):  # as nohup does, for what it starts
        done = run("os.kill(os.getpid(), signal.SIGHUP); print('on')")
    assert (done.returncode, done.stdout) == (0, b"on\n")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_any_text_can_be_printed(encoding):
    done = run("print('0.80\\u20130.84 L\\udce4sion'); sys.exit('\\u2013')", PYTHONIOENCODING=encoding)
    dash = "–" if encoding == "utf-8" else "\\u2013"
    assert done.returncode == 1 and done.stdout.decode() == f"0.80{dash}0.84 L\\udce4sion\n"
    assert done.stderr.decode() == f"{dash}\n"


@pytest.mark.parametrize("work", ["print('a' * 1_000_000)", "print('a')", "print('a'); sys.exit('b')"])
def test_what_reads_the_output_may_end_first(work):
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-c", SCRIPT.format(work=work)]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": "."})
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")
