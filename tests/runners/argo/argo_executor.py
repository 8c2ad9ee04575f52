"""Executes an Argo Workflow's containers in Argo's order: what its controller does, as far as we use it.

How a container runs is the caller's: `Subprocesses` runs its command in the environment that the image is built from,
`Podman` runs the image.
"""

from __future__ import annotations

import concurrent.futures
import json
import os
import re
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.runtime.launch.fused import ENVIRONMENTS_VARIABLE
from components.runtime.records.argo_workflow import CLOSING
from runners.compiled.images import FUSED
from runners.local.environments import environment_of, interpreter
from tests.support import ROOT

RunContainer = Callable[[dict[str, Any], dict[str, str], dict[str, Path]], "Ended"]
"""Container, labels of its pod, folders by mount path."""

_TAG = re.compile(r"\{\{(=?)(.*?)\}\}", re.DOTALL)
_EXPRESSION = re.compile(
    r"""(?P<string>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
    r"|(?P<value>(?:tasks\['[^']+'\]\.outputs\.parameters|workflow\.parameters)\['[^']+'\]|lastRetry\.(?:exitCode|status|duration))"
    r"|(?P<operator>&&|\|\||!(?!=)|\btrue\b|\bfalse\b|\basInt\b|\basFloat\b)"
)
_PYTHON = {
    "&&": " and ",
    "||": " or ",
    "!": " not ",
    "true": "True",
    "false": "False",
    "asInt": "int",
    "asFloat": "float",
}


@dataclass
class Ended:
    """How a container ended."""

    exit_code: int
    log: str
    lost: bool = False
    """Whether its pod was gone before it ended."""
    seconds: float = 1.0


@dataclass
class Node:
    """What became of a task."""

    phase: str
    outputs: dict[str, str] = field(default_factory=dict)
    attempts: list[Ended] = field(default_factory=list)


class Execution:
    """One run of a Workflow."""

    def __init__(
        self, workflow: dict[str, Any], name: str, volume: Path, run_container: RunContainer, **parameters: str
    ) -> None:
        """Takes the workflow's name, the folder that stands for its claim, and parameters in place of the defaults."""
        self.spec = workflow["spec"]
        self.volume = volume
        self.nodes: dict[str, Node] = {}
        self.closing = Node("Pending")
        """The last pod, which is no task of the pipeline."""
        self.phase = "Running"
        self.resume: Callable[[dict[str, str]], dict[str, str]] = lambda _: {}
        """What somebody supplies to a suspended node, by its inputs; nothing where its time is up."""
        self._run_container = run_container
        self._templates = {template["name"]: template for template in self.spec["templates"]}
        graph = next(template["dag"]["tasks"] for template in self.spec["templates"] if "dag" in template)
        assert len({key for task in graph for key in task if key.startswith("depend")}) < 2, (
            "Argo refuses both in a graph"
        )
        assert len(self._templates) == len(self.spec["templates"])
        arguments = self.spec.get("arguments", {}).get("parameters", [])
        values = {each["name"]: parameters.pop(each["name"], each.get("value")) for each in arguments}
        assert not parameters, f"the Workflow has no {parameters}"
        assert None not in values.values(), f"without a value: {values}"
        self._globals = {
            "workflow.name": name,
            "workflow.namespace": "millrace",
            "workflow.creationTimestamp.RFC3339": "2026-11-21T01:02:03Z",
        } | {f"workflow.parameters.{key}": value for key, value in values.items()}

    def run(self) -> dict[str, str]:
        """Runs the DAG to its end, and the exit handler behind it; returns the phase of each task."""
        self._run_dag()
        failed = [name for name, node in self.nodes.items() if node.phase == "Failed"]
        self.phase = "Failed" if failed else "Succeeded"
        if "onExit" in self.spec:
            self._exit(failed)
        return {name: node.phase for name, node in self.nodes.items()}

    def _exit(self, failed: list[str]) -> None:
        """The exit handler: a template of steps, which know how the Workflow ended."""
        nodes = [
            {"displayName": name, "message": self.message(name), "templateName": name, "phase": "Failed"}
            for name in failed
        ]
        # Argo quotes its list once more, as a string of Go; of no failures it is null.
        scope = {"workflow.status": self.phase, "workflow.failures": json.dumps(json.dumps(nodes or None))}
        for group in self._templates[self.spec["onExit"]]["steps"]:
            for step in group:
                given = {
                    f"inputs.parameters.{each['name']}": substitute(each["value"], self._globals | scope)
                    for each in step.get("arguments", {}).get("parameters", [])
                }
                node = self._pod(self._templates[step["template"]], self._globals | scope | given)
                if step["name"] == CLOSING:
                    self.closing = node
                else:
                    self.nodes[step["name"]] = node
                if node.phase == "Failed" and not step.get("continueOn", {}).get("failed"):
                    self.phase = "Failed"

    def message(self, name: str) -> str:
        """What Argo says of a failed node: its exit code, and the end of its log."""
        ended = self.nodes[name].attempts[-1]
        return f"Error (exit code {ended.exit_code}): {ended.log[-2048:]}"

    def _run_dag(self) -> None:
        waiting = {task["name"]: task for task in self._templates[self.spec["entrypoint"]]["dag"]["tasks"]}
        with concurrent.futures.ThreadPoolExecutor(2) as threads:
            running: dict[concurrent.futures.Future[Node], str] = {}
            while waiting or running:
                failed = any(node.phase == "Failed" for node in self.nodes.values())
                for name, task in list(waiting.items()):
                    # A DAG of Argo fails fast: after a failure it starts nothing new.
                    if not failed and self._before(task) <= self.nodes.keys():
                        del waiting[name]
                        running[threads.submit(self._task, task)] = name
                if not running:
                    assert failed, f"wait for ever: {list(waiting)}"
                    break
                for future in concurrent.futures.wait(running, return_when="FIRST_COMPLETED").done:
                    self.nodes[running.pop(future)] = future.result()

    @staticmethod
    def _before(task: dict[str, Any]) -> set[str]:
        assert not ("depends" in task and "dependencies" in task), "Argo refuses both"
        plain = set(task.get("dependencies", []))
        return plain | set(re.findall(r"([\w-]+)\.(?:Succeeded|Failed|Skipped|Omitted)", task.get("depends", "")))

    def _task(self, task: dict[str, Any]) -> Node:
        plain = [f"({each}.Succeeded || {each}.Skipped)" for each in task.get("dependencies", [])]
        if not self._depends_hold(task.get("depends", " && ".join(plain))):
            return Node("Omitted")
        scope = self._globals | {
            f"tasks.{earlier}.outputs.parameters.{name}": value
            for earlier, node in self.nodes.items()
            for name, value in node.outputs.items()
        }
        if "when" in task and not {"true": True, "false": False}[substitute(task["when"], scope)]:
            return Node("Skipped")
        given = {
            each["name"]: substitute(each["value"], scope) for each in task.get("arguments", {}).get("parameters", [])
        }
        template = self._templates[task["template"]]
        inputs = template.get("inputs", {}).get("parameters", [])
        wanted = {each["name"] for each in inputs if "default" not in each}
        assert wanted == given.keys() - {each["name"] for each in inputs if "default" in each}, (wanted, given)
        if "suspend" in template:
            assert (
                float(
                    substitute(
                        template["suspend"]["duration"],
                        {f"inputs.parameters.{key}": value for key, value in given.items()},
                    )
                )
                >= 0
            )
            supplied = self.resume(given)
            outputs = {each["name"]: each["valueFrom"] for each in template["outputs"]["parameters"]}
            assert not supplied or supplied.keys() >= {each["name"] for each in inputs if "default" not in each}
            assert supplied.keys() <= outputs.keys() == {each["name"] for each in inputs}
            return Node("Succeeded", {name: supplied.get(name, source["default"]) for name, source in outputs.items()})
        return self._pod(template, self._globals | {f"inputs.parameters.{key}": value for key, value in given.items()})

    def _depends_hold(self, depends: str) -> bool:
        text = re.sub(
            r"([\w-]+)\.(Succeeded|Failed|Skipped|Omitted)",
            lambda each: str(self.nodes[each[1]].phase == each[2]),
            depends,
        )
        return bool(eval(text.replace("&&", " and ").replace("||", " or "), {})) if text else True

    def _pod(self, template: dict[str, Any], scope: dict[str, str]) -> Node:
        retry = template.get("retryStrategy", {"limit": "0", "expression": "false"})
        node = Node("Failed")
        while True:
            folders = self._volumes(template, scope["workflow.name"], len(node.attempts))
            container = substituted(template["container"], scope)
            labels = substituted(template["metadata"]["labels"], scope)
            ended = self._run_container(container, labels, folders)
            node.attempts.append(ended)
            if ended.exit_code == 0:
                node.phase = "Succeeded"
                for output in template.get("outputs", {}).get("parameters", []):
                    file = host_path(output["valueFrom"]["path"], folders)
                    node.outputs[output["name"]] = file.read_text() if file.exists() else output["valueFrom"]["default"]
                return node
            last = {
                "lastRetry.exitCode": "-1" if ended.lost else str(ended.exit_code),
                "lastRetry.status": "Error" if ended.lost else "Failed",
                "lastRetry.duration": str(ended.seconds),
            }
            again = evaluate(retry["expression"], last)
            if not again or len(node.attempts) > int(retry["limit"]):
                return node

    def _volumes(self, template: dict[str, Any], name: str, attempt: int) -> dict[str, Path]:
        """Folders by mount path: one for the claim, a new one for each emptyDir of a pod."""
        claims = {each["metadata"]["name"] for each in self.spec.get("volumeClaimTemplates", [])}
        claims |= {each["name"] for each in self.spec.get("volumes", []) if "persistentVolumeClaim" in each}
        empty = {each["name"] for each in template.get("volumes", []) if "emptyDir" in each}
        folders = {}
        for mount in template["container"]["volumeMounts"]:
            if mount["name"] in claims:
                folders[mount["mountPath"]] = self.volume
            else:
                assert mount["name"] in empty, mount
                folder = self.volume.parent / "pods" / f"{name}-{template['name']}-{attempt}-{mount['name']}"
                folder.mkdir(parents=True)
                folders[mount["mountPath"]] = folder
        return folders


class Subprocesses:
    """Runs containers as processes; their mount paths become folders of this machine in all that they are given."""

    def __init__(self, environment: str = "", **secrets: str) -> None:
        """Takes an environment for images that are not a stage's, and variables that come from secrets."""
        self._environment = environment
        self.secrets = secrets

    def __call__(self, container: dict[str, Any], labels: dict[str, str], folders: dict[str, Path]) -> Ended:
        stage = labels["millrace/stage"]
        python = interpreter(self._environment or ("ml" if stage == FUSED else environment_of(stage)))
        inside = {each["name"]: each["value"] for each in container["env"] if "value" in each}
        # As the image of all stages has it. (A checkout may lie under a mount path, such as /tmp.)
        environments = {ENVIRONMENTS_VARIABLE: str(ROOT / ".venv")} if stage == FUSED else {}
        # What a cluster would take from a secret.
        inside |= self.secrets
        command = [*container["command"], *container["args"]]
        process = subprocess.run(
            [on_host(each, folders) for each in command],
            cwd=ROOT,
            env={"PATH": f"{python.parent}{os.pathsep}/usr/bin:/bin"}
            | {name: on_host(value, folders) for name, value in inside.items()}
            | environments,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=300,
        )
        return Ended(process.returncode, process.stdout)


class Podman:
    """Runs containers in their images, with what the Workflow says of volumes and rights and without a network."""

    def __call__(self, container: dict[str, Any], labels: dict[str, str], folders: dict[str, Path]) -> Ended:
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"]
        assert not context["allowPrivilegeEscalation"]
        options = ["--rm", "--read-only", "--user", "1000:1000", "--network", "none"]
        # What podman would mount by itself over a read-only root: the Workflow's own volumes have to do.
        options += ["--read-only-tmpfs=false", "--security-opt", "no-new-privileges"]
        options += [part for name in context["capabilities"]["drop"] for part in ("--cap-drop", name.lower())]
        for mount, folder in folders.items():
            _open(folder)
            options += ["--volume", f"{folder}:{mount}"]
        for variable in container["env"]:
            options += ["--env", f"{variable['name']}={variable['value']}"]
        command = [*container["command"], *container["args"]]
        process = subprocess.run(
            ["podman", "run", *options, "--entrypoint", command[0], container["image"], *command[1:]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=300,
        )
        return Ended(process.returncode, process.stdout)


def _open(folder: Path) -> None:
    """Lets the containers' user read and write a volume, as `fsGroup` with `OnRootMismatch` does in a cluster."""
    if folder.stat().st_mode & 0o777 != 0o777:
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o777 if path.is_dir() else 0o666)


def on_host(text: str, folders: Mapping[str, Path]) -> str:
    """A text in which the mounted paths are those of this machine."""
    for mount, folder in sorted(folders.items(), reverse=True):
        text = re.sub(rf"(?<![\w/.]){re.escape(mount)}(?=/|$)", str(folder), text)
    return text


def host_path(path: str, folders: Mapping[str, Path]) -> Path:
    """Where a file of a container lies on this machine."""
    found = on_host(path, folders)
    assert found != path, f"{path} is on no volume, and the root file system is read-only"
    return Path(found)


def substituted(value: Any, scope: Mapping[str, str]) -> Any:
    """A part of a template with all tags replaced."""
    if isinstance(value, dict):
        return {key: substituted(each, scope) for key, each in value.items()}
    if isinstance(value, list):
        return [substituted(each, scope) for each in value]
    return substitute(value, scope) if isinstance(value, str) else value


def substitute(text: str, scope: Mapping[str, str]) -> str:
    """Replaces Argo's tags; one that names nothing is a mistake, as Argo's validation has it."""

    def value(tag: re.Match[str]) -> str:
        if tag[1]:
            result = evaluate(tag[2], scope)
            return str(result).lower() if isinstance(result, bool) else str(result)
        return scope[tag[2]]

    return _TAG.sub(value, text)


def evaluate(expression: str, scope: Mapping[str, str]) -> Any:
    """The value of an expression in the part of the expr language that our Workflows use."""

    def python(token: re.Match[str]) -> str:
        if token["value"]:
            return repr(scope[re.sub(r"\['([^']+)'\]", r".\1", token["value"])])
        return token["string"] or _PYTHON[token["operator"]]

    return eval(_EXPRESSION.sub(python, expression).strip(), {"__builtins__": {}, "int": int, "float": float})
