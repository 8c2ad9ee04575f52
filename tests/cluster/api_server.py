"""A Kubernetes API server and its etcd as two processes. What it answers a cluster answers, but no pod starts."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

ASSETS = "KUBEBUILDER_ASSETS"
"""Folder with kube-apiserver and etcd, as everywhere where controllers are tested; `setup-envtest` fetches them."""

_START = 120


@dataclass(frozen=True)
class Server:
    """A running API server."""

    kubectl: str
    kubeconfig: Path

    def call(self, *arguments: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
        """Runs kubectl."""
        environment = os.environ | {"KUBECONFIG": str(self.kubeconfig)}
        return subprocess.run(
            [self.kubectl, *arguments], input=text, capture_output=True, text=True, check=False, env=environment
        )

    def can(self, who: str, verb: str, resource: str, namespace: str = "millrace") -> bool:
        """Whether a user or an account may do something."""
        answer = self.call("auth", "can-i", verb, resource, "--as", who, "--namespace", namespace)
        assert answer.stdout.strip() in ("yes", "no"), answer.stderr
        return answer.stdout.strip() == "yes"


@contextmanager
def start(folder: Path) -> Iterator[Server]:
    """Starts both on free ports and ends them; skips the test where there are no programs to start."""
    assets = os.environ.get(ASSETS)
    kubectl = shutil.which("kubectl")
    if not assets or not kubectl:
        pytest.skip(f"needs kubectl, and {ASSETS} with kube-apiserver and etcd")
    token = secrets.token_hex(16)
    (folder / "tokens.csv").write_text(f'{token},admin,admin,"system:masters"\n')
    key = folder / "accounts.key"
    subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
    etcd, peer, secure = free_ports(3)
    commands = [
        [
            f"{assets}/etcd",
            f"--data-dir={folder / 'etcd'}",
            f"--listen-client-urls=http://127.0.0.1:{etcd}",
            f"--advertise-client-urls=http://127.0.0.1:{etcd}",
            f"--listen-peer-urls=http://127.0.0.1:{peer}",
            f"--initial-advertise-peer-urls=http://127.0.0.1:{peer}",
            f"--initial-cluster=default=http://127.0.0.1:{peer}",
            "--unsafe-no-fsync",
        ],
        [
            f"{assets}/kube-apiserver",
            f"--etcd-servers=http://127.0.0.1:{etcd}",
            f"--cert-dir={folder / 'certificates'}",
            "--bind-address=127.0.0.1",
            f"--secure-port={secure}",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--authorization-mode=RBAC",
            f"--token-auth-file={folder / 'tokens.csv'}",
            "--service-account-issuer=https://kubernetes.default",
            f"--service-account-signing-key-file={key}",
            f"--service-account-key-file={key}",
        ],
    ]
    server = Server(kubectl, kubeconfig(folder, secure, token))
    processes = []
    try:
        for command in commands:
            with (folder / f"{Path(command[0]).name}.log").open("w") as log:
                processes.append(subprocess.Popen(command, stdout=log, stderr=log))
        wait(server, processes, folder)
        yield server
    finally:
        for process in reversed(processes):
            process.kill()
            process.wait()


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def kubeconfig(folder: Path, port: int, token: str) -> Path:
    """Writes how kubectl finds the server."""
    file = folder / "kubeconfig"
    file.write_text(
        f"""\
apiVersion: v1
kind: Config
clusters: [{{name: test, cluster: {{server: "https://127.0.0.1:{port}", insecure-skip-tls-verify: true}}}}]
users: [{{name: test, user: {{token: {token}}}}}]
contexts: [{{name: test, context: {{cluster: test, user: test}}}}]
current-context: test
"""
    )
    return file


def wait(server: Server, processes: list[subprocess.Popen[bytes]], folder: Path) -> None:
    """Until the server says that it is ready; fails with the end of the logs."""
    end = time.monotonic() + _START
    while server.call("get", "--raw", "/readyz").stdout != "ok":
        dead = [process for process in processes if process.poll() is not None]
        if dead or time.monotonic() > end:
            logs = "\n".join(file.read_text()[-2000:] for file in sorted(folder.glob("*.log")))
            pytest.fail(f"the API server did not start:\n{logs}")
        time.sleep(0.5)
