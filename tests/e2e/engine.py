"""A Docker engine with Lambda's image in it: the machine's own, or a private one with a stand-in for the image.

A machine without Docker gets it from Debian, where that may be done; where the registry can't be reached, the image is
built from this machine's CPython 3.13 (`image`). The private engine has its own socket and files and changes nothing
of the machine's network: no iptables, no forwarding. It and all that is in it end with the tests.
"""

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import docker
from docker.errors import APIError, DockerException
from e2e import image
from holdfast_cli.local_cloud.errors import TimedOut
from holdfast_cli.local_cloud.server import Docker
from holdfast_cli.local_cloud.waiting import wait_until

PACKAGES = {"dockerd": "docker.io", "busybox": "busybox-static", "iptables": "iptables"}
ARCHITECTURE = {"aarch64": "arm64", "arm64": "arm64"}.get(platform.machine(), "x86_64")
REPOSITORY = "public.ecr.aws/lambda/python"
TAGS = ("3.13", f"3.13-{ARCHITECTURE}")  # the local cloud asks for the first, SAM for the second
DEFAULT_SOCKET = "unix:///var/run/docker.sock"
BRIDGE = "172.30.0.1/24"


class NoEngine(Exception):
    """Nothing can run in containers here; the message says why."""


@dataclass(frozen=True)
class Engine(Docker):
    """With the image in it; `what` says in words which engine and image these are."""

    what: str = ""


@contextmanager
def engine() -> Iterator[Engine]:
    """Raises NoEngine."""
    if own := _answering():
        yield _with_image(own, "this machine's Docker", may_build=False)
        return
    with _private() as client:
        yield _with_image(client, "a private engine", may_build=True)


def _answering() -> docker.DockerClient | None:
    try:
        return docker.from_env()
    except DockerException:
        return None


def _with_image(client: docker.DockerClient, what: str, *, may_build: bool) -> Engine:
    """A stand-in never goes under AWS's name into an engine that is somebody's."""
    kind = "AWS's image"
    for tag in TAGS:
        if not client.images.list(f"{REPOSITORY}:{tag}"):
            try:
                client.images.pull(REPOSITORY, tag)
            except APIError as error:
                if not may_build:
                    raise NoEngine(f"{REPOSITORY}:{tag} can't be pulled: {error.explanation}") from error
                kind = _stand_in(client)
    bridge = client.networks.get("bridge").attrs["IPAM"]["Config"][0]
    return Engine(os.environ.get("DOCKER_HOST", DEFAULT_SOCKET), bridge["Gateway"], what=f"{what}, {kind}")


def _stand_in(client: docker.DockerClient) -> str:
    try:
        image.build(client, [f"{REPOSITORY}:{tag}" for tag in TAGS])
    except image.CantBuild as error:
        raise NoEngine(f"the registry can't be reached, and {error}") from error
    return "a stand-in for AWS's image (the registry can't be reached)"


@contextmanager
def _private() -> Iterator[docker.DockerClient]:
    _install()
    with tempfile.TemporaryDirectory(prefix="holdfast-docker-", ignore_cleanup_errors=True) as folder:
        socket = f"unix://{folder}/docker.sock"
        with _environment(DOCKER_HOST=socket), _daemon(Path(folder), socket):
            client = docker.from_env()
            try:
                yield client
            finally:
                for container in client.containers.list(all=True):
                    container.remove(force=True)


def _install() -> None:
    missing = [package for program, package in PACKAGES.items() if not shutil.which(program, path=_path())]
    if sys.platform != "linux":
        raise NoEngine("no Docker answers; start it")
    if os.geteuid() != 0:
        raise NoEngine("no Docker answers, and only root could start or install one")
    if missing and not shutil.which("apt-get"):
        raise NoEngine(f"no Docker answers, and {', '.join(missing)} can't be installed without apt-get")
    if missing:
        _apt("update", "-q")
        _apt("install", "-q", "-y", "--no-install-recommends", *missing)


def _apt(*arguments: str) -> None:
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(["apt-get", *arguments], env=quiet, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NoEngine(f"apt-get {' '.join(arguments)} failed: {done.stderr.strip()[-300:]}")


def _path() -> str:
    """Debian keeps dockerd and iptables where root's PATH may not look."""
    return f"{os.environ['PATH']}:/usr/sbin:/sbin"


@contextmanager
def _daemon(folder: Path, socket: str) -> Iterator[None]:
    options = ["--iptables=false", "--ip6tables=false", "--ip-masq=false", "--ip-forward=false", f"--bip={BRIDGE}"]
    places = [f"--data-root={folder}/data", f"--exec-root={folder}/exec", f"--pidfile={folder}/pid", f"--host={socket}"]
    with (folder / "log").open("wb") as log:
        daemon = subprocess.Popen(
            ["dockerd", *places, *options], stdout=log, stderr=log, env={**os.environ, "PATH": _path()}
        )
    try:
        wait_until(lambda: _answering() or daemon.poll() is not None, "dockerd", 30)
        if daemon.poll() is not None:
            raise NoEngine(f"dockerd ended: {(folder / 'log').read_text()[-300:]}")
        yield
    except TimedOut as error:
        raise NoEngine(str(error)) from error
    finally:
        daemon.terminate()
        daemon.wait(30)


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    """For the programs that are started meanwhile: they find the engine by DOCKER_HOST."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
