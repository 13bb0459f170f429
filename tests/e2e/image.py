"""A stand-in for Lambda's Python image, for machines that reach no image registry.

It has what functions and SAM ask of the real one: CPython 3.13 and the shared libraries it needs, the runtime interface
client and boto3 under /var, the emulator and the entry point that starts it, and a shell with the tools that SAM's own
image build uses. It is made of this machine's interpreter and of `.venv-lambda`.
"""

import io
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import docker
from holdfast_cli import project

RUNTIME = project.ROOT / ".venv-lambda"
SAM = project.ROOT / ".venv-sam"
VERSION = "3.13"
APPLETS = "sh mv cp chmod rm ls cat env mkdir ln".split()
BALLAST = {"test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip", "site-packages", "__pycache__"}
LIBRARY_PATH = "/var/lang/lib:/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib"
SETTINGS = {
    "LANG": "en_US.UTF-8",
    "TZ": ":UTC",
    "PATH": "/var/lang/bin:/usr/local/bin:/usr/bin:/bin:/opt/bin",
    "LD_LIBRARY_PATH": LIBRARY_PATH,
    "LAMBDA_TASK_ROOT": "/var/task",
    "LAMBDA_RUNTIME_DIR": "/var/runtime",
}
BOOTSTRAP = f"""#!/bin/sh
export AWS_EXECUTION_ENV=AWS_Lambda_python{VERSION}
export PYTHONPATH=/var/task:/opt/python/lib/python{VERSION}/site-packages:/opt/python:/var/runtime
exec /var/lang/bin/python{VERSION} -m awslambdaric "$_HANDLER"
"""
ENTRY_POINT = """#!/bin/sh
export _HANDLER="$1"
[ -n "$AWS_LAMBDA_RUNTIME_API" ] && exec /var/runtime/bootstrap
exec /usr/local/bin/aws-lambda-rie /var/runtime/bootstrap
"""
FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nsbx_user1051:x:993:990::/home/sbx_user1051:/bin/sh\n",
    "etc/group": "root:x:0:\n",
    "etc/nsswitch.conf": "hosts: files dns\n",
    "var/runtime/bootstrap": BOOTSTRAP,
    "lambda-entrypoint.sh": ENTRY_POINT,
}


class CantBuild(Exception):
    """What the image is made of isn't here; the message says what."""


def emulator() -> Path:
    """The runtime interface emulator, which SAM's package carries. Raises CantBuild."""
    machine = "arm64" if os.uname().machine in ("aarch64", "arm64") else "x86_64"
    found = next(SAM.glob(f"lib/python3*/site-packages/samcli/local/rapid/aws-lambda-rie-{machine}"), None)
    if found is None:
        raise CantBuild(f"there is no emulator in {SAM}")
    return found


def build(client: docker.DockerClient, names: list[str]) -> None:
    """The image, under these names. Raises CantBuild."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as root:
        _fill(root)
    changes = [f"ENV {name}={value}" for name, value in SETTINGS.items()]
    changes += ['ENTRYPOINT ["/lambda-entrypoint.sh"]', "WORKDIR /var/task"]
    first, *others = (name.rsplit(":", 1) for name in names)
    client.api.import_image_from_data(buffer.getvalue(), repository=first[0], tag=first[1], changes=changes)
    for repository, tag in others:
        client.images.get(names[0]).tag(repository, tag)


def _fill(root: tarfile.TarFile) -> None:
    interpreter = (RUNTIME / "bin" / "python").resolve()
    home, library = interpreter.parent.parent, f"lib/python{VERSION}"
    busybox = shutil.which("busybox")
    if interpreter.name != f"python{VERSION}" or not (home / library).is_dir():
        raise CantBuild(f"there is no Python {VERSION} here to build an image from")
    if busybox is None:
        raise CantBuild("there is no busybox (Debian: busybox-static)")
    _layout(root)
    root.add(busybox, "bin/busybox")
    for name, target in _links().items():
        _link(root, name, target)
    root.add(interpreter, f"var/lang/bin/python{VERSION}")
    root.add(home / library, f"var/lang/{library}", filter=_without_ballast)
    root.add(next(RUNTIME.glob("lib/*/site-packages")), f"var/lang/{library}/site-packages", filter=_without_pip)
    for path in _shared_libraries(interpreter, home / library):
        root.add(path.resolve(), f"lib64/{path.name}")
    root.add(emulator(), "usr/local/bin/aws-lambda-rie")
    for name, text in FILES.items():
        _write(root, name, text)


def _layout(root: tarfile.TarFile) -> None:
    for name in ("var/task", "var/runtime", "var/rapid", "opt", "tmp", "proc", "sys", "dev", "root"):
        folder = tarfile.TarInfo(name)
        folder.type, folder.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
        root.addfile(folder)


def _links() -> dict[str, str]:
    shells = {f"bin/{applet}": "busybox" for applet in APPLETS}
    pythons = {f"var/lang/bin/{name}": f"python{VERSION}" for name in ("python", "python3")}
    return {"lib": "lib64", **shells, **pythons}


def _link(root: tarfile.TarFile, name: str, target: str) -> None:
    link = tarfile.TarInfo(name)
    link.type, link.linkname = tarfile.SYMTYPE, target
    root.addfile(link)


def _write(root: tarfile.TarFile, name: str, text: str) -> None:
    file = tarfile.TarInfo(name)
    file.size, file.mode = len(text), 0o755
    root.addfile(file, io.BytesIO(text.encode()))


def _without_ballast(file: tarfile.TarInfo) -> tarfile.TarInfo | None:
    name = Path(file.name).name
    return None if name in BALLAST or name.startswith("config-") or name.endswith(".a") else file


def _without_pip(file: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if re.search(r"site-packages/pip(/|-|$)|/__pycache__", file.name) else file


def _shared_libraries(interpreter: Path, library: Path) -> Iterator[Path]:
    """The libraries that the interpreter and its modules load, with the loader itself."""
    modules = [*library.glob("lib-dynload/*.so"), *RUNTIME.glob("lib/*/site-packages/*.so")]
    listed = subprocess.run(
        ["ldd", *map(str, [interpreter, *modules])], capture_output=True, text=True, check=False
    ).stdout
    yield from sorted({Path(path) for path in re.findall(r"(?:=> |^\s+)(/\S+) \(0x", listed, re.MULTILINE)})
