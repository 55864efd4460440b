"""Make .venv from requirements.lock, with nothing but a Python and a package index.

Needs no pip and no ensurepip of the system: a pinned pip is fetched and its hash compared. Every
package is held to the hashes in the lock. Honours PIP_INDEX_URL, SSL_CERT_FILE, and what else pip
reads from the environment. Repeating it costs nothing until the lock or pyproject.toml changes.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urldefrag, urljoin, urlsplit

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
STAMP = VENV / ".bootstrapped"
LOCK = ROOT / "requirements.lock"
PIP = "pip-26.2.1-py3-none-any.whl"
PIP_SHA256 = "71138adf1f4ca900cdb7d289c21b7494329f2332b6d85f0e1c42108c0384ed3e"
SUPPORTED = ((3, 11), (3, 14))


class Links(HTMLParser):
    """Collects the href of every anchor of an index page (PEP 503)."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep the address of an anchor."""
        if tag == "a":
            self.found += [value for name, value in attrs if name == "href" and value]


def fetch(url: str) -> tuple[str, bytes]:
    """The address after redirections, and the body."""
    request = urllib.request.Request(url, headers={"Accept": "text/html, */*;q=0.1"})
    with urllib.request.urlopen(request, timeout=120) as answer:
        return answer.url, answer.read()


def fetch_pip(folder: Path) -> Path:
    """Put the pinned pip wheel into `folder`; ends the program when its hash is another."""
    index = os.environ.get("PIP_INDEX_URL", "https://pypi.org/simple")
    page, body = fetch(index.rstrip("/") + "/pip/")
    links = Links()
    links.feed(body.decode())
    for link in links.found:
        url = urldefrag(urljoin(page, link)).url
        if urlsplit(url).path.endswith("/" + PIP):
            wheel = fetch(url)[1]
            if hashlib.sha256(wheel).hexdigest() != PIP_SHA256:
                sys.exit(f"{PIP}: the hash is not the pinned one")
            target = folder / PIP
            target.write_bytes(wheel)
            return target
    sys.exit(f"{PIP} is not on the package index")


def fingerprint() -> str:
    """What the environment was made from: the lock, the project and the version of Python."""
    digest = hashlib.sha256(f"{sys.version_info[:2]} {PIP_SHA256} {ROOT}".encode())
    for path in (LOCK, ROOT / "pyproject.toml"):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def say(what: str) -> None:
    """One line of progress, on standard error."""
    print(what, file=sys.stderr, flush=True)


def main() -> None:
    """Make the environment, or see that it is as it should be."""
    if not SUPPORTED[0] <= sys.version_info[:2] < SUPPORTED[1]:
        sys.exit("Throughline needs Python 3.11, 3.12 or 3.13")
    wanted = fingerprint()
    if STAMP.exists() and STAMP.read_text() == wanted:
        STAMP.touch()  # make compares times
        return
    packages = sum(line[:1].isalnum() for line in LOCK.read_text().splitlines())
    say(f"Making .venv with {packages} packages, each held to its hash; this takes a minute, once")
    if VENV.exists():
        shutil.rmtree(VENV)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", VENV], check=True)
    python = str(VENV / "bin" / "python")
    with tempfile.TemporaryDirectory() as folder:
        pip = [python, "-I", str(fetch_pip(Path(folder)) / "pip"), "--disable-pip-version-check"]
        # Not compiled: Python does so with what is used, and much never is; it took a fifth of the first start.
        install = [*pip, "install", "--quiet", "--no-input", "--no-compile"]
        certificates = os.environ.get("SSL_CERT_FILE")
        if certificates and "PIP_CERT" not in os.environ:
            install += ["--cert", certificates]
        wheels = ["--require-hashes", "--only-binary", ":all:", "-r", str(LOCK)]
        subprocess.run([*install, *wheels], check=True)
        say("Installing throughline itself")
        project = ["--no-deps", "--no-build-isolation", "--no-index", "-e", str(ROOT)]
        subprocess.run([*install, *project], check=True)
    STAMP.write_text(wanted)


if __name__ == "__main__":
    main()
