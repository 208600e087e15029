import json
import zipfile
from pathlib import Path

import keras
import pytest

import config
import runs
from config import Settings

BILLION_LAUGHS = "options:\n  a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"  a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 10)
)


def refused(*argv):
    with pytest.raises(SystemExit) as error:
        config.parse(list(argv))
    return str(error.value)


def test_defaults_are_as_net_as_published():
    settings, launch = config.parse([])
    assert (settings.run, settings.model, settings.loss) == ("as_net", "as_net", "wbce(weight=2.5)")
    assert (settings.optimizer, settings.learning_rate, settings.batch_size) == ("adam", 1e-4, 16)
    assert launch == config.Launch()


def test_command_line_overrides_file_overrides_defaults(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("epochs: 7\nlearning_rate: 1e-3\noptions: {width: 16}\n")
    settings, launch = config.parse(["--config", str(file), "--epochs", "9", "--options.depth", "3", "--resume"])
    assert (settings.run, settings.epochs, settings.learning_rate, settings.batch_size) == ("mine", 9, 1e-3, 16)
    assert settings.options == {"width": 16, "depth": 3}
    assert launch == config.Launch(resume="last")
    assert config.parse(["--config", str(file), "--run", "other"])[0].run == "other"


def test_the_command_line_wins_wherever_it_stands(tmp_path):
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    first.write_text("epochs: 7\nbatch_size: 4\nflip: true\noptions: {width: 16}\n")
    second.write_text("batch_size: 5\n")
    for argv in (
        ["--epochs", "9", "--no_flip", "--config", str(first), f"--config={second}", "--options.depth", "3"],
        ["--config", str(first), "--options.depth", "3", "--config", str(second), "--epochs", "9", "--no_flip"],
    ):
        settings, _ = config.parse(argv)
        assert (settings.run, settings.epochs, settings.batch_size, settings.flip) == ("second", 9, 5, False)
        assert settings.options == {"width": 16, "depth": 3}


@pytest.mark.parametrize(
    ("argv", "flip"),
    [
        ([], True),
        (["--flip"], True),
        (["--no_flip"], False),
        (["--flip", "false"], False),
        (["--flip=true"], True),
        (["--flip", "--epochs", "3"], True),
        (["--no-flip"], False),
    ],
)
def test_a_setting_that_is_on_or_off(tmp_path, argv, flip):
    file = tmp_path / "mine.yaml"
    file.write_text("flip: true\n")
    assert config.parse(["--config", str(file), *argv])[0].flip is flip


@pytest.mark.parametrize("text", ["007", "on", "1e3", "2024_01_15", "2024-01-15", "1.5"])
def test_a_text_that_yaml_reads_as_something_else(tmp_path, text):
    file = tmp_path / "mine.yaml"
    file.write_text(f"run: {text}\n")
    assert f'put it in quotes, run: "{text}"' in refused("--config", str(file))
    file.write_text(f"run: '{text}'\n")
    assert config.parse(["--config", str(file)])[0].run == text
    assert config.parse(["--run", text])[0].run == text


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("epochs:\n", ["mine.yaml: epochs has no value"]),
        ("options:\n", ["mine.yaml: options has no value"]),
        ("epochs: !!timestamp x\n", ["mine.yaml cannot be read"]),
        ("options: " + "{a: " * 3000 + "1" + "}" * 3000, ["mine.yaml cannot be read (RecursionError"]),
        (BILLION_LAUGHS, ["mine.yaml cannot be read (TypeError: more than 10,000 values)"]),
        ("options: &a {b: *a}\n", ["mine.yaml cannot be read"]),
        (b"run: caf\xe9\n", ["mine.yaml cannot be read (UnicodeDecodeError"]),
        ("epochs: 3\n".encode("utf-16"), ["mine.yaml cannot be read (UnicodeDecodeError"]),
        ("learning_rate: .inf\n", ["mine.yaml: learning_rate is inf"]),
        ("epochs: many\n", ["epochs", "int", "many"]),
        ("- epochs\n", ["mine.yaml cannot be read", "expected lines such as `epochs: 50`"]),
        ("epochs: [\n", ["mine.yaml cannot be read", "correct it"]),
        ("lr: 1e-3\nepochs: 3\n", ["attribute study (lr)", "python config.py import", "--out mine.yaml"]),
        ("mosaic: 0.25\n", ["mine.yaml: mosaic is no longer a setting: leave it out"]),
        ("rotation: .nan\n", ["rotation is nan, expected 0 to 180"]),
        ("flip: .\n", ["mine.yaml: Value not boolean"]),
    ],
)
def test_files_that_do_not_do(tmp_path, content, words):
    file = tmp_path / "mine.yaml"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    message = refused("--config", str(file))
    assert "\n" not in message
    for word in words:
        assert word in message


def test_a_message_does_not_blame_a_file_for_the_command_line(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("epochs: 3\n")
    assert refused("--config", str(file), "--epochs", "0") == "error: epochs is 0, expected 1 to 1000000"


def test_the_home_folder_in_an_address(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    file = tmp_path / "mine.yaml"
    for address, expanded in (
        ("~/x", "/home/me/x"),
        ("tfds:~/x/isic2018@64x96", "tfds:/home/me/x/isic2018@64x96"),
        ("./x~", "x~"),
        ("folds:0.1@3:~/x/", "folds:0.1@3:/home/me/x"),
        ("dataset/", "dataset"),  # as a shell completes it: the same data, by the same name
        ("folds:1/5:./dataset//", "folds:1/5:dataset"),
        ("/", "/"),
        ("./", "."),
    ):
        file.write_text(f"data: {address}\n")
        assert config.parse(["--config", str(file)])[0].data == expanded


def test_names_of_former_versions(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("validation_share: 0.2\nmosaic: 0\n")
    assert config.parse(["--config", str(file)])[0].validation_fraction == 0.2
    assert config.parse(["--validation_share", "0.3"])[0].validation_fraction == 0.3


def test_a_run_of_a_former_version_still_loads(tmp_path):
    """With settings that are called otherwise now, or are none: in its folder and sealed into its network."""
    values = {"run": "old", "model": "unet", "normalize": "gamma", "validation_share": 0.2, "mosaic": 0.25}
    Path(tmp_path, "settings.yaml").write_text("".join(f"{name}: {value}\n" for name, value in values.items()))
    expected = Settings(run="old", model="unet", normalize="gamma", validation_fraction=0.2)
    assert runs.settings(tmp_path) == expected
    image = keras.Input((8, 8, 3))
    keras.Model(image, keras.layers.Conv2D(1, 1)(image)).save(tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras", "a") as archive:
        archive.comment = json.dumps({"settings": values}).encode()
    assert runs.settings(tmp_path / "model.keras") == expected


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--epoch", "3"], ["--epoch", "did you mean epochs?"]),
        (["--lr", "1e-3"], ["did you mean learning_rate?"]),
        (["--batchsize", "4"], ["did you mean batch_size?"]),
        (["--epochs", "many"], ["epochs", "int", "many"]),
        (["--epochs", "0"], ["epochs is 0, expected 1 to"]),
        (["--threshold", "1.5"], ["threshold is 1.5"]),
        (["--schedule", "cosin"], ["schedule", "cosine", "cosin"]),
        (["--run", "../elsewhere"], ["letters, digits"]),
        (["--run", ".."], ["letters, digits"]),
        (["--final_rate", "1e-6"], ["only for schedule cosine"]),
        (["--warmup_steps", "5"], ["schedule cosine"]),
        (["--plateau", "3", "--schedule", "cosine"], ["constant rate", "use one"]),
        (["--flip", "maybe"], ["--flip", "true or false", "'maybe'"]),
        (["--mosaic", "0.25"], ["nrecognized arguments: --mosaic"]),
        (["--resum"], ["did you mean resume?"]),
        (["--resume", "first"], ["resume", "last", "previous"]),
        (["--config", "nowhere.yaml"], ["nowhere.yaml", "does not exist"]),
    ],
)
def test_refusals_name_what_is_wrong(argv, words):
    message = refused(*argv)
    assert "\n" not in message
    for word in words:
        assert word in message


def test_a_files_name_must_do_as_the_runs_name(tmp_path):
    file = tmp_path / "my run.yaml"
    file.write_text("epochs: 7\n")
    assert "letters, digits" in refused("--config", str(file))
    assert config.parse(["--config", str(file), "--run", "mine"])[0].run == "mine"


def test_unknown_setting_in_a_file_is_refused(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("learning_rat: 1\n")
    assert "did you mean learning_rate?" in refused("--config", str(file))
    with pytest.raises(ValueError, match=r"mine\.yaml: .*did you mean learning_rate\?"):
        config.load(file)


def test_saved_settings_come_back(tmp_path):
    settings = Settings(run="x", learning_rate=3e-5, options={"width": 8}, weights="none", flip=True)
    config.save(settings, tmp_path / "run" / "settings.yaml")
    assert config.load(tmp_path / "run" / "settings.yaml") == settings
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["settings.yaml"]
    with pytest.raises(FileNotFoundError, match="absent"):
        config.load(tmp_path / "absent.yaml")


def test_every_setting_is_documented(capsys):
    with pytest.raises(SystemExit):
        config.parse(["--help"])
    shown = "".join(capsys.readouterr().out.split())
    config.main([])
    listed = "".join(capsys.readouterr().out.split())
    for field in config.FIELDS:
        text = field.metadata["text"]
        if field.metadata["low"] is not None:
            text += f"; {field.metadata['low']} to {field.metadata['high']}"
        assert len(text.split()) > 2
        assert "".join(text.split()) in shown and "".join(text.split()) in listed, field.name
        assert f"--{field.name}" in shown and (f"--no_{field.name}" in shown) == (field.type is bool)


def test_the_backbone_is_an_option_of_the_network(tmp_path):
    file = tmp_path / "wide.yaml"
    file.write_text("model: adstnet\noptions: {width: 8}\n")
    settings, _ = config.parse(["--config", str(file), "--backbone", "unet"])
    assert settings.options == {"width": 8, "backbone": "unet"}
