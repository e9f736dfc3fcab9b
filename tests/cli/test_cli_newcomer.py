"""What somebody sees who makes the usual mistakes: asserted nearly to the letter, so that it stays good."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from .conftest import Run


def test_help_names_every_command_and_shows_examples(run: Run) -> None:
    done = run("--help")
    assert done.returncode == 0
    for verb in ("serve", "ask", "check", "models", "tail", "emulate", "keys"):
        assert f"\n  {verb} " in done.stdout
    assert "Examples:\n    afterbay serve\n" in done.stdout


def test_the_version_is_one_line(run: Run) -> None:
    assert run("--version").stdout.startswith("afterbay 0.")


def test_a_misspelt_command_is_guessed(run: Run) -> None:
    done = run("srve")
    assert (done.returncode, done.stdout) == (2, "")
    assert "No such command 'srve'. Did you mean 'serve'?" in done.stderr


def test_an_unknown_option_is_wrong_usage(run: Run) -> None:
    done = run("ask", "hi", "--explian")
    assert done.returncode == 2
    assert "--explian" in done.stderr
    assert "--explain" in done.stderr


def test_with_no_config_and_no_key_the_models_of_this_machine_are_offered(run: Run) -> None:
    done = run("models")
    assert done.returncode == 0
    assert "auto\tone of: local, local-small\t" in done.stdout
    assert "not installed, 98 MB" in done.stdout
    assert "any other name means `auto`" in done.stderr


def test_a_key_in_the_environment_is_said_to_be_spent_from_and_never_shown(run: Run) -> None:
    done = run("check", env={"MISTRAL_API_KEY": "mistral-secret-value"})
    assert done.returncode == 0
    assert "will spend on mistral (key from MISTRAL_API_KEY)" in done.stderr
    assert "providers.mistral.api_key\t***\tenvironment MISTRAL_API_KEY" in done.stdout
    assert "mistral-secret-value" not in done.stdout + done.stderr


@pytest.mark.parametrize("verb", [("serve",), ("check",), ("models",), ("ask", "hi"), ("tail",), ("keys", "list")])
def test_a_configuration_that_is_not_there_is_said_once_by_every_command(run: Run, verb: tuple[str, ...]) -> None:
    done = run(*verb, "-c", "nope.yaml")
    assert (done.returncode, done.stdout) == (2, "")
    assert "error: nope.yaml: there is no such file. Check the path given with -c, or create the file.\n" in done.stderr


def test_a_typo_in_a_key_has_its_line_and_the_nearest_key(run: Run, config: Path) -> None:
    config.write_text(config.read_text().replace("fallback: [gpt]}", "falback: [gpt]}"))
    done = run("check")
    assert done.returncode == 2
    assert (
        "error: afterbay.yaml:5:53: models.claude.falback: there is no such key. Did you mean `fallback`?"
        in done.stderr
    )


def test_all_problems_are_told_at_once(run: Run, config: Path) -> None:
    config.write_text(config.read_text().replace("fallback", "falback"))
    assert run("serve").stderr.count("afterbay: error: ") == 3


def test_a_missing_secret_names_the_variable(run: Run, config: Path) -> None:
    done = run("check", env={"EMU_KEY": ""})
    assert done.returncode == 2
    assert "providers.openai.api_key: the environment variable EMU_KEY is set but empty. Set it: export EMU_KEY=" in (
        done.stderr
    )


def test_an_unknown_model_is_told_with_the_three_nearest(run: Run, config: Path) -> None:
    done = run("ask", "-m", "clude", "hi")
    assert (done.returncode, done.stdout) == (1, "")
    assert "error: There is no model called 'clude'. The nearest names are: claude, " in done.stderr
    assert done.stderr.split("nearest names are: ")[1].split(";")[0].count(",") == 2


def test_a_port_in_use_says_how_to_find_who_has_it_and_what_to_do(run: Run, config: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for verb in ("serve", "emulate"):
            done = run(verb, "--port", str(port))
            assert done.returncode == 1
            assert f"error: Port {port} on 127.0.0.1 is in use by another program." in done.stderr
            assert f"--port {port + 1}" in done.stderr


def test_another_address_is_refused_while_no_key_exists(run: Run, config: Path) -> None:
    done = run("serve", "--host", "0.0.0.0", "--port", "0")
    assert done.returncode == 1
    assert "no virtual key exists: anyone could spend your money. Create one with `afterbay keys create" in done.stderr


def test_options_of_later_releases_are_refused_and_not_ignored(run: Run, config: Path) -> None:
    assert run("emulate", "--engine", "vllm").returncode == 2


def test_the_log_of_a_gateway_that_never_ran_says_what_to_do(run: Run, config: Path) -> None:
    done = run("tail")
    assert done.returncode == 1
    assert (
        f"error: There is no database {config.parent / 'state.db'} yet (state.database in afterbay.yaml). "
        in done.stderr
    )
    assert "Run `afterbay serve` or `afterbay ask` first" in done.stderr
    assert not (config.parent / "state.db").exists()


def test_a_database_that_is_none_is_told_once(run: Run, config: Path) -> None:
    (config.parent / "state.db").write_text("not a database at all, but long enough to be looked at" * 20)
    done = run("keys", "list")
    assert done.returncode == 1
    assert done.stderr.count("Check the path, its permissions and the free space") == 1
