"""The command itself: from any folder, through a link, where nothing is made yet; and what shells complete."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from pathlib import Path

import pytest

from components.runtime import VERSION
from runners import PROJECT, in_checkout
from runners.commands import cli, doctor
from runners.settings.resources import stages
from tests.runners.command_line import command as call
from tests.runners.kubeflow.kfp_server import Kfp, serve
from tests.support import MILLRACE, ROOT, bare_path


@pytest.fixture
def link(tmp_path: Path) -> Path:
    """As a person would put it on the path, in a folder with a blank in its name."""
    folder = tmp_path / "my bin"
    folder.mkdir()
    (folder / "millrace").symlink_to(MILLRACE)
    return folder / "millrace"


def test_it_works_from_another_folder_through_a_link(tmp_path: Path, link: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    found = call("--version", cwd=tmp_path / "elsewhere", program=str(link))
    assert (found.stdout, found.stderr, found.returncode) == (f"millrace {VERSION}\n", "", 0)
    named = subprocess.run(
        ["millrace", "nix"],
        cwd=tmp_path / "elsewhere",
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PATH": f"{link.parent}:{os.environ['PATH']}"},
    )
    assert named.returncode == 2
    assert named.stderr.startswith("Usage: millrace [OPTIONS]")
    assert not list((tmp_path / "elsewhere").iterdir())


def test_runs_lie_in_the_checkout_wherever_the_command_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert in_checkout("pipeline_root") == PROJECT / "pipeline_root"
    monkeypatch.chdir(PROJECT)
    assert in_checkout("pipeline_root") == Path("pipeline_root")
    # Unless a person has named another place, once or for good.
    for given in (["--root", "there"], []):
        found = call(*given, "runs", cwd=tmp_path, **({} if given else {"MILLRACE_ROOT": "there"}))
        assert "no runs under there" in found.stdout + found.stderr


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    """A checkout whose environment, which a Makefile of the test makes, is not there yet."""
    checkout = tmp_path / "a checkout"
    (checkout / "images" / "locks").mkdir(parents=True)
    for name in ("client", "test"):
        (checkout / "images" / "locks" / f"{name}.txt").write_bytes(
            (ROOT / "images" / "locks" / f"{name}.txt").read_bytes()
        )
    (checkout / "millrace").write_bytes(Path(MILLRACE).read_bytes())
    (checkout / "millrace").chmod(0o755)
    stamp = next(ROOT.glob(".venv/client/.made-from-*")).name
    (checkout / "Makefile").write_text(
        "client-environment:\n"
        "\t@echo making it\n"
        "\t@mkdir -p .venv/client/bin\n"
        '\t@printf \'#!/bin/sh\\nshift; echo "$$MILLRACE_CALLED" "$$@"\\n\' > .venv/client/bin/python\n'
        "\t@chmod +x .venv/client/bin/python\n"
        f"\t@touch .venv/client/{stamp}\n"
    )
    return checkout


def test_it_makes_its_environment_where_there_is_none_or_an_older_one(fresh: Path) -> None:
    program = str(fresh / "millrace")
    first = call("runs", "--all words", program=program, MAKEFLAGS="n", MAKELEVEL="1")
    assert (first.stdout, first.stderr) == (f"{program} runs --all words\n", "making it\n")
    again = call("runs", program=program)
    assert (again.stdout, again.stderr) == (f"{program} runs\n", "")
    (fresh / "images" / "locks" / "client.txt").write_text("other==1\n")
    assert call("runs", program=program).stderr == "making it\n"


def test_what_cannot_be_made_is_told(fresh: Path) -> None:
    (fresh / "Makefile").write_text("client-environment:\n\t@echo 'error: no network' >&2; exit 65\n")
    found = call("runs", program=str(fresh / "millrace"))
    assert found.returncode != 0
    assert "error: no network" in found.stderr
    assert found.stdout == ""


def test_every_command_has_a_help_that_names_the_command_as_it_was_called() -> None:
    for name in list(cli.COMMANDS)[::4]:
        found = call(name, "--help")
        assert found.stdout.startswith(f"Usage: {MILLRACE} {name} "), found.stderr


# --- completion


def completed(words: str, shell: str = "bash", cwd: Path = ROOT) -> list[str]:
    """What a shell is told when the last word is to be completed."""
    variables = {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)}
    if shell == "fish":
        variables["COMP_CWORD"] = words.split(" ")[-1]
    answer = call(cwd=cwd, _MILLRACE_COMPLETE=f"{shell}_complete", **variables)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout.split()


def test_bash_completes_commands_models_and_runs(tmp_path: Path) -> None:
    assert completed("millrace com") == ["plain,compile", "plain,compare", "plain,completion"]
    assert completed("millrace run ta") == ["plain,taxi"]
    assert completed("millrace run ./") == ["dir,./"]
    assert completed("millrace kubeflow uplo") == ["plain,upload"]
    assert completed("millrace run taxi --unt") == ["plain,--until"]
    (tmp_path / "runs" / "taxi-20260101-000000-ab12").mkdir(parents=True)
    assert completed(f"millrace --root {tmp_path} report t") == ["plain,taxi", "plain,taxi-20260101-000000-ab12"]
    assert completed(f"millrace --root {tmp_path} compare latest l") == ["plain,latest"]
    assert completed(f"millrace --root {tmp_path} compare ta") == ["plain,taxi", "plain,taxi-20260101-000000-ab12"]
    assert completed(f"millrace --root {tmp_path} run taxi --from l") == ["plain,latest"]
    assert completed(f"millrace --root {tmp_path} lineage la") == ["plain,latest/"]
    assert completed("millrace run taxi --until transf") == ["plain,transform", "plain,transformed-statistics"]
    assert completed("millrace run taxi --param tr") == ["plain,train_steps="]


def test_completion_says_nothing_where_there_is_nothing(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    os.mkdir(os.fsencode(tmp_path / "runs") + b"/\xff")
    (tmp_path / "runs" / "taxi-1\n2").mkdir()
    assert completed(f"millrace --root {tmp_path} report ") == ["plain,latest"]
    answer = call(_MILLRACE_COMPLETE="bash_complete", COMP_WORDS="millrace rnu t", COMP_CWORD="2")
    assert (answer.stdout.strip(), answer.stderr) == ("", "")


def test_zsh_and_fish_ask_in_their_own_words() -> None:
    assert "compile" in completed("millrace compi", "zsh")
    assert any(line.startswith("plain,compile") for line in completed("millrace compi", "fish"))


def test_bash_takes_the_script_and_completes_with_it() -> None:
    program = (
        'eval "$("$1" completion bash)"; complete -p millrace; COMP_WORDS=("$1" report lat); COMP_CWORD=2; '
        '_millrace_completion "$1"; echo "${COMPREPLY[@]}"'
    )
    found = subprocess.run(
        ["bash", "-c", program, "bash", MILLRACE], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert found.stdout.splitlines() == ["complete -o nosort -F _millrace_completion millrace", "latest"]


@pytest.mark.parametrize(("shell", "sign"), [("zsh", "#compdef millrace"), ("fish", "complete --no-files")])
def test_the_other_shells_get_theirs(shell: str, sign: str) -> None:
    assert sign in call("completion", shell).stdout
    assert call("completion", "tcsh").returncode == 2


# --- doctor


def lines(**variables: str) -> tuple[dict[str, tuple[str, str]], int]:
    """State and text by what was looked at, and the exit code."""
    found = call("doctor", **variables)
    assert found.stderr == ""
    head, *rest = found.stdout.splitlines()
    what, said = head.index("what"), head.index("found")
    return {line[what:said].strip(): (line[:what].strip(), line[said:]) for line in rest}, found.returncode


@pytest.fixture
def bare(tmp_path: Path) -> dict[str, str]:
    """Variables of a home folder in which nothing is, and a path without engines."""
    return {
        "PATH": bare_path(tmp_path / "bin"),
        "HOME": str(tmp_path),
        "KUBECONFIG": str(tmp_path / "none"),
        "MILLRACE_IMAGES_LOCK": str(tmp_path / "images.lock"),
        "GOOGLE_APPLICATION_CREDENTIALS": "",
        "MILLRACE_ROOT": str(tmp_path / "root"),
    }


def test_what_is_not_there_is_told_with_what_it_is_for(bare: dict[str, str]) -> None:
    found, code = lines(**bare)
    assert found["millrace"] == ("ok", found["millrace"][1])
    assert found["millrace"][1].startswith(f"{VERSION}, commit ") or found["millrace"][1].startswith(VERSION)
    assert found["environment client"] == ("ok", "made")
    for engine in ("podman", "buildah", "docker"):
        assert found[engine] == ("-", "not installed; only for images and --docker: install it")
    assert found["kubeflow"][0] == found["kubernetes"][0] == found["vertex"][0] == "-"
    assert found["images"] == ("-", f"0 of {len(stages())} in images.lock; make images")
    assert code == 0


def test_what_is_broken_is_told_and_is_the_exit_code(bare: dict[str, str], tmp_path: Path) -> None:
    engine = tmp_path / "bin" / "docker"
    engine.write_text("#!/bin/bash\necho 'Cannot connect to the daemon' >&2\nexit 1\n")
    engine.chmod(0o755)
    contexts = tmp_path / "contexts.yaml"
    contexts.write_text('contexts: {away: {host: "http://127.0.0.1:9"}, secret: {host: "x", token_env: NO_SUCH}}\n')
    found, code = lines(**bare | {"MILLRACE_CONTEXTS": str(contexts), "GOOGLE_APPLICATION_CREDENTIALS": "/no/key"})
    assert found["docker"] == ("!", "does not work (Cannot connect to the daemon); see what `docker info` says")
    assert found["kubeflow away"][0] == "!"
    assert "127.0.0.1:9" in found["kubeflow away"][1]
    assert "NO_SUCH" in found["kubeflow secret"][1]
    assert found["vertex"][0] == "!"
    assert code == 1


def test_an_environment_that_is_not_made_or_old(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".venv" / "data").mkdir(parents=True)
    monkeypatch.setattr(doctor, "PROJECT", tmp_path)
    monkeypatch.setattr("runners.local.environments.is_made", lambda name: name == "client")
    said = {each.name: each.said for each in doctor._environments()}
    assert said == {
        "environment client": "made",
        "environment data": "half made, or made from older locks",
        "environment ml": "not made yet",
        "environment databases": "not made",
        "environment export": "not made",
        "environment notebook": "not made",
        "environment serving": "not made",
    }


def test_a_server_and_its_version(bare: dict[str, str]) -> None:
    with serve(Kfp()) as server:
        found, _ = lines(**bare | {"KF_PIPELINES_ENDPOINT": server.url})
    assert found["kubeflow"] == ("ok", f"Kubeflow Pipelines {server.tag} at {server.url}")


def test_disk_that_is_almost_full(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(doctor, "_ENOUGH_BYTES", 1e30)
    finding = next(doctor._disk(tmp_path / "not" / "there"))
    assert finding.state == doctor.WRONG
    assert "free some" in finding.mend


@pytest.mark.parametrize(
    "text",
    [
        b"\xff\xfe",
        "apiVersion: v1\nkind: Config\ncontexts: [{name: 3}]\n",
        *(pytest.param(text, marks=pytest.mark.slow) for text in ("x", "[1, 2]", "clusters: 3", "a: [")),
    ],
)
def test_a_damaged_kubeconfig_is_a_line_and_the_others_are_there(
    bare: dict[str, str], tmp_path: Path, text: str | bytes
) -> None:
    (tmp_path / "damaged").write_bytes(text if isinstance(text, bytes) else text.encode())
    (tmp_path / "images.lock").write_bytes(b"\xff")
    found, code = lines(**bare | {"KUBECONFIG": str(tmp_path / "damaged")})
    assert found["kubernetes"][0] == "!"
    assert found["images"][0] == "!"
    assert found["environment client"][0] == "ok"
    assert code == 1


def test_a_check_that_breaks_or_never_ends_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks() -> list[doctor.Finding]:
        raise RuntimeError("odd\nthing")

    ended = threading.Event()
    deadline = time.monotonic() + 0.2
    broken = doctor._Asked("this", breaks).findings(deadline)
    (late,) = doctor._Asked("that", lambda: [doctor.Finding(doctor.OK, "x", str(ended.wait(60)))]).findings(deadline)
    ended.set()
    assert [(each.state, each.name, each.said) for each in broken] == [
        (doctor.WRONG, "this", "RuntimeError: odd thing")
    ]
    assert (late.state, late.name) == (doctor.WRONG, "that")
    assert "no whole answer within" in late.said


def test_no_credentials_are_shown(bare: dict[str, str]) -> None:
    with serve(Kfp()) as server:
        host = server.url.replace("://", "://user:hunter2@")
        for address in (host, f"{host}/?token=hunter2"):
            found = call("doctor", **bare | {"KF_PIPELINES_ENDPOINT": address})
            assert "kubeflow" in found.stdout
            assert "hunter2" not in found.stdout + found.stderr


def test_a_folder_that_is_gone_is_one_line(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    program = f"cd '{gone}' && rmdir '{gone}' && exec '{MILLRACE}' run ./x"
    found = subprocess.run(["bash", "-c", program], capture_output=True, text=True, check=False)
    assert found.returncode == 65
    # (bash has a word of its own for it.)
    assert found.stderr.splitlines()[-1] == "error: the folder that this was called in is gone; go to another one"
    assert "Traceback" not in found.stderr


def test_foreign_libraries_do_not_get_in(tmp_path: Path) -> None:
    for name in ("click", "json", "runners"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('foreign')\n")
    found = call("--version", cwd=tmp_path, anew=True, PYTHONPATH=str(tmp_path), PYTHONHOME=str(tmp_path))
    assert (found.stdout, found.stderr) == (f"millrace {VERSION}\n", "")


def test_an_option_in_the_wrong_place_is_told() -> None:
    found = call("runs", "--root", "x")
    assert found.returncode == 2
    assert found.stderr.endswith("It goes before the command: --root FOLDER COMMAND\n")


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_closed_streams_change_nothing_of_how_it_ends(closed: str) -> None:
    """Bash keeps its script open where they were."""
    found = subprocess.run(
        ["bash", "-c", f'"$0" no-such-command {closed}', MILLRACE], capture_output=True, text=True, check=False
    )
    assert found.returncode == 2
    assert found.stderr == "" or "no-such-command" in found.stderr
