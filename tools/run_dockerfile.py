"""Execute the Dockerfile's steps on a plain Debian root, without Docker, and start what it makes.

Usage, as root on Debian, with debootstrap: python3 tools/run_dockerfile.py FOLDER

Understands what our Dockerfile uses, and stops at anything else. Each stage is a copy of a minimal Debian
made by debootstrap in FOLDER; RUN is chroot. At the end the image's command runs as the image's user until
its health check holds, then gets the stop signal and must end with 0. A digest in DEBIAN_IMAGE is
passed over: no registry is asked, and debootstrap gives the suite as it is today. Variables that pip and
certificates need are handed through, as `docker build` would with its own arguments.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from string import Template

ROOT = Path(__file__).resolve().parents[1]
SUITE = "bookworm"
HANDED = (
    "PIP_CERT",
    "PIP_INDEX_URL",
    "PIP_FIND_LINKS",
    "SSL_CERT_FILE",
    "HTTPS_PROXY",
    "HTTP_PROXY",
)
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def instructions(text: str) -> list[tuple[str, str]]:
    """(instruction, arguments), comments and continuations resolved."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [
        (name.upper(), rest.strip())
        for name, _, rest in (j.partition(" ") for j in joined.splitlines())
    ]


class Stage:
    """One stage: its root, environment, folder and user as they stand."""

    def __init__(self, root: Path, base: Path) -> None:
        self.root = root
        self.env = {"PATH": PATH, "DEBIAN_FRONTEND": "noninteractive"}
        self.folder = "/"
        self.user = "root"
        self.health: list[str] = []
        self.command: list[str] = []
        self.stop = signal.SIGTERM
        subprocess.run(["cp", "-a", "--reflink=auto", base, root], check=True)

    def chroot(self, command: list[str], **more: str) -> list[str]:
        """The command that runs another inside, as the stage's user and in its folder."""
        variables = [f"{name}={value}" for name, value in {**self.env, **more}.items()]
        inside = f"cd {shlex.quote(self.folder)} && exec {shlex.join(command)}"
        return [
            "chroot", f"--userspec={self.user}", str(self.root),
            "/usr/bin/env", "-i", *variables, "/bin/sh", "-c", inside,
        ]  # fmt: skip


def handed(root: Path) -> dict[str, str]:
    """What a build needs from outside, certificates copied in."""
    found = {name: os.environ[name] for name in HANDED if name in os.environ}
    for name in ("PIP_CERT", "SSL_CERT_FILE"):
        if name in found:
            inside = root / "run" / "outside.crt"
            shutil.copy(found[name], inside)
            found[name] = "/run/outside.crt"
    return found


def copy(stage: Stage, stages: dict[str, Stage], arguments: str) -> None:
    """COPY, from the context or from a stage."""
    words = shlex.split(arguments)
    source = ROOT
    if words[0].startswith("--from="):
        source = stages[words.pop(0).removeprefix("--from=")].root
    *names, target = words
    where = (
        stage.root / stage.folder.lstrip("/") / target.lstrip("./")
        if not target.startswith("/")
        else stage.root / target.lstrip("/")
    )
    for name in names:
        found = source / name.lstrip("/")
        into = where / found.name if target.endswith("/") and found.is_file() else where
        if found.is_dir():
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(found, into, symlinks=True, dirs_exist_ok=True, ignore=ignore)
        else:
            into.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(found, into)


def build(folder: Path) -> Stage:
    """Every step of the Dockerfile; the last stage."""
    base = folder / "debian"
    if not base.exists():
        subprocess.run(
            ["debootstrap", "--variant=minbase", SUITE, base], check=True, stdout=subprocess.DEVNULL
        )
    resolv = Path("/etc/resolv.conf")
    stages: dict[str, Stage] = {}
    arguments: dict[str, str] = {}
    stage: Stage | None = None
    for name, rest in instructions((ROOT / "Dockerfile").read_text()):
        print(f"{name} {rest}"[:110], flush=True)
        if name == "ARG":
            key, _, value = rest.partition("=")
            arguments[key] = os.environ.get(key, value)
            continue
        if name == "FROM":
            image, *alias = Template(rest).substitute(arguments).split()
            assert image.partition("@")[0] == f"debian:{SUITE}-slim", image
            title = alias[1] if alias else "last"
            shutil.rmtree(folder / title, ignore_errors=True)
            stage = stages[title] = Stage(folder / title, base)
            shutil.copy(resolv, stage.root / "etc" / "resolv.conf")
            continue
        assert stage is not None
        match name:
            case "RUN":
                command = stage.chroot(["/bin/sh", "-c", rest], **handed(stage.root))
                subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            case "COPY":
                copy(stage, stages, rest)
            case "WORKDIR":
                stage.folder = rest
                (stage.root / rest.lstrip("/")).mkdir(parents=True, exist_ok=True)
            case "ENV":
                key, _, value = rest.partition("=")
                stage.env[key] = value
            case "USER":
                stage.user = rest
            case "HEALTHCHECK":
                stage.health = json.loads(rest.partition(" CMD ")[2])
            case "CMD":
                stage.command = json.loads(rest)
            case "STOPSIGNAL":
                stage.stop = signal.Signals[rest]
            case "EXPOSE":
                pass
            case _:
                sys.exit(f"{name} is not understood")
    assert stage is not None
    return stage


def start(stage: Stage, port: str) -> None:
    """Run the image's command until its health check holds, then end it as Docker would."""
    # As compose.yaml does: served to this machine alone, which may be in plain http.
    running = {"TL_PORT": port, "TL_BASE_URL": f"http://127.0.0.1:{port}/fhir"}
    service = subprocess.Popen(stage.chroot(stage.command, **running))
    try:
        deadline = time.monotonic() + 60
        while subprocess.run(
            stage.chroot(stage.health, **running), stderr=subprocess.DEVNULL, check=False
        ).returncode:
            if service.poll() is not None or time.monotonic() > deadline:
                sys.exit("the image did not become healthy")
            time.sleep(1)
        print("healthy", flush=True)
    finally:
        service.send_signal(stage.stop)
        code = service.wait(40)
    print(f"ended with {code}")
    if code:
        sys.exit(1)


def main() -> None:
    """Build and start."""
    if len(sys.argv) != 2 or os.geteuid() != 0 or shutil.which("debootstrap") is None:
        sys.exit("usage, as root with debootstrap: python3 tools/run_dockerfile.py FOLDER")
    folder = Path(sys.argv[1]).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    stage = build(folder)
    for mount in ("proc", "dev"):
        subprocess.run(["mount", "--rbind", f"/{mount}", stage.root / mount], check=True)
    try:
        start(stage, os.environ.get("TL_PORT", "8000"))
    finally:
        for mount in ("proc", "dev"):
            subprocess.run(["umount", "--lazy", stage.root / mount], check=False)


if __name__ == "__main__":
    main()
