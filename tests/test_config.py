import dataclasses

import pytest

import config
from config import Settings


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
        (["--final_rate", "1e-6"], ["schedule cosine"]),
        (["--warmup_steps", "5"], ["schedule cosine"]),
        (["--plateau", "3", "--schedule", "cosine"], ["constant rate", "use one"]),
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
    text = capsys.readouterr().out.replace("+ ", " ")  # lists can be added to
    for field in dataclasses.fields(Settings):
        words = text.split(f"--{field.name} ")[-1].split("--")[0].split()
        assert words.index("(type:") > 4, field.name


def test_the_backbone_is_an_option_of_the_network(tmp_path):
    file = tmp_path / "wide.yaml"
    file.write_text("model: adstnet\noptions: {width: 8}\n")
    settings, _ = config.parse(["--config", str(file), "--backbone", "unet"])
    assert settings.options == {"width": 8, "backbone": "unet"}
