import argparse

import pytest

from utils import arguments


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["--on-error", "skip"], ["--on_error", "skip"]),
        (["--on-error=stop-it"], ["--on_error=stop-it"]),
        (["--no-tta", "my-run", "-1", "a--b"], ["--no_tta", "my-run", "-1", "a--b"]),
        (["--drop_leaks", "--", "--a-file.png"], ["--drop_leaks", "--", "--a-file.png"]),
        ([], []),
    ],
)
def test_options_come_out_in_snake_case_and_values_as_they_are(given, expected):
    before = list(given)
    assert arguments.snake_case(given) == expected
    assert given == before


def test_by_default_the_command_line_is_that_of_the_program(monkeypatch):
    monkeypatch.setattr("sys.argv", ["evaluate.py", "--no-clean"])
    assert arguments.snake_case() == ["--no_clean"]


@pytest.mark.parametrize(
    ("given", "expected"), [([], None), (["--tta"], True), (["--no_tta"], False), (["--tta", "--no-tta"], False)]
)
def test_a_flag_is_on_off_or_not_given(given, expected):
    parser = argparse.ArgumentParser()
    parser.add_argument("--tta", action=arguments.Flag, help="average")
    assert parser.parse_args(arguments.snake_case(given)).tta is expected
    assert "[--tta | --no_tta]" in parser.format_usage()


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "", "two"])
def test_positive_refuses_all_but_whole_numbers_from_one_on(text):
    assert arguments.positive("12") == 12
    with pytest.raises(argparse.ArgumentTypeError, match="at least 1"):
        arguments.positive(text)


@pytest.mark.parametrize("text", ["192", "4x192", "192x8193", "x", "192 x 256", "-192x256"])
def test_size_refuses_what_is_no_pair_of_sides_in_range(text):
    assert arguments.size("192x256") == (192, 256)
    with pytest.raises(argparse.ArgumentTypeError, match="HEIGHTxWIDTH"):
        arguments.size(text)


@pytest.mark.parametrize("text", ["", "a,,b", "a,a", "../a", ".a"])
def test_names_refuses_doubled_and_odd_names(text):
    assert arguments.names("nail, long hair") == ["nail", "long hair"]
    with pytest.raises(argparse.ArgumentTypeError, match="commas"):
        arguments.names(text)
