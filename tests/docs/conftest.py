"""Runs the pages of the documentation: what a reader would type is typed, what should come of it must come."""

import contextlib
import doctest
import io
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

REPOSITORY = Path(__file__).parents[2]
DOCS = REPOSITORY / "docs"

_FENCE = re.compile(
    r"^(?P<indent> *)```\{?(?P<kind>[a-z-]+)\}?(?: (?P<argument>[^\n]*))?\n(?P<body>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
_OPTION = re.compile(r":([a-z-]+):(?: (.*))?\n")
_CHECKER = doctest.OutputChecker()
_FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE

_SERVING = "imageserv serve"
_DEMO = "imageserv demo"
_DONE = ("python3 -m venv", ". .venv/bin/activate", "git clone", "cd imageserv-source")
"""How commands begin that are done when the tests run: they run in an environment of their own."""

_PIP = """\
#!{python}
'''pip for the documentation's pages: what is installed already is looked for, a folder is built and put on the path.'''
import pathlib, re, subprocess, sys, zipfile
from importlib.metadata import distribution

folder = False
for word in sys.argv[2:]:
    if word.startswith("."):
        folder = True
    elif not word.startswith("-"):
        distribution(re.split(r"[\\[<>=]", word)[0])
if folder and pathlib.Path("src").is_dir():
    site = pathlib.Path("{site}")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", site / "wheels"], check=True)
    for wheel in (site / "wheels").glob("*.whl"):
        with zipfile.ZipFile(wheel) as packed:
            packed.extractall(site, [name for name in packed.namelist() if ".dist-info/" in name])
    for module in pathlib.Path("src").iterdir():  # editable: the package is where its author edits it
        (site / module.name).symlink_to(module.absolute())
"""


@dataclass(frozen=True)
class Block:
    """A block of code of a page: its language, its options, its text, and the line where it is."""

    language: str
    options: dict[str, str]
    text: str
    line: int


def blocks(page: Path) -> Iterator[Block]:
    """Yield the blocks of a page; what is included from other files is read there."""
    text = page.read_text("utf-8")
    for match in _FENCE.finditer(text):
        kind, argument, body = match["kind"], match["argument"] or "", textwrap.dedent(match["body"])
        options: dict[str, str] = {}
        while option := _OPTION.match(body):
            options[option[1]] = option[2] or ""
            body = body[option.end() :]
        if kind == "literalinclude":
            source = (page.parent / argument).resolve()
            if not set(options) & {"pyobject", "start-at", "start-after", "end-before"}:
                body = source.read_text("utf-8")
            language = options.get("language", source.suffix.removeprefix("."))
        else:
            language = argument if kind == "code-block" else kind
        yield Block(language, options, body, text.count("\n", 0, match.start()) + 1)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Demo:
    """The demo, started by the first page that starts it, and left running for the others."""

    folder: Path
    port: str = field(default_factory=lambda: str(free_port()))
    process: "subprocess.Popen[bytes] | None" = None


@dataclass
class Reader:
    """Somebody who follows a page from its top in an empty folder."""

    page: Path
    folder: Path
    bin: Path
    demo: Demo
    port: str = ""
    names: dict[str, Any] = field(default_factory=dict[str, Any])
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list[subprocess.Popen[bytes]])
    printed: str = ""

    def __post_init__(self) -> None:
        self.here = self.folder
        self.port = self.demo.port if _DEMO in self.page.read_text("utf-8") else str(free_port())
        site = self.folder.parent / "site"
        self.bin.mkdir()
        site.mkdir()
        for name, text in {
            "pip": _PIP.format(python=sys.executable, site=site),
            "imageserv": f'#!/bin/sh\nexec {sys.executable} -m imageserv.vo.cli "$@"\n',
            "pytest": f'#!/bin/sh\nexec {sys.executable} -m pytest -p no:cacheprovider "$@"\n',
            "python": f'#!/bin/sh\nexec {sys.executable} "$@"\n',
        }.items():
            (self.bin / name).write_text(text)
            (self.bin / name).chmod(0o755)
        own = {name: value for name, value in os.environ.items() if not name.startswith("IMAGESERV_")}
        path = os.pathsep.join([str(self.bin), os.environ["PATH"]])
        modules = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH", "")]))
        url = f"http://127.0.0.1:{self.port}"
        self.environment = own | {"PATH": path, "PYTHONPATH": modules, "IMAGESERV_BASE_URL": url}

    def follow(self) -> None:
        """Do what the page says."""
        for block in blocks(self.page):
            where = f"{self.page.relative_to(DOCS)}, line {block.line}"
            text = block.text.replace("8000", self.port)
            if "caption" in block.options:
                target = self.here / block.options["caption"].strip('"`')  # as code, for its underscores
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(text, "utf-8")
            elif block.language == "console":
                self.type(text, where)
            elif block.language == "python" and not block.options.keys() & {"pyobject", "start-at", "start-after"}:
                self.run(text, where)
            elif block.language == "output":
                expect(text, self.printed, where)

    def type(self, text: str, where: str) -> None:
        """Type commands; what follows a command is what it must print, if anything follows."""
        for command, expected in commands(text):
            if command.startswith(_DONE):
                continue
            if re.match(f"(env [A-Z_]+=\\S+ )?({_SERVING}|{_DEMO})", command):
                self.serve(command, expected, where)
                continue
            script = f"cd {self.here}\n{command}\nstatus=$?\npwd > {self.bin}/where\nexit $status"
            done = subprocess.run(
                ["bash", "-c", script], capture_output=True, text=True, env=self.environment, timeout=600
            )
            printed = done.stdout + done.stderr
            fails = expected.startswith("imageserv: ")
            assert (done.returncode != 0) == fails, f"{where}: {command} ends with {done.returncode}:\n{printed}"
            self.here = Path((self.bin / "where").read_text().strip())
            if expected:
                expect(expected, printed, f"{where}: {command}")

    def serve(self, command: str, expected: str, where: str) -> None:
        """Start a service, and wait until it answers."""
        if "--port" not in command:
            command += f" --port {self.port}"
        if command.startswith(_DEMO):
            log = self.demo.folder / "log"
            if self.demo.process is None:
                self.demo.process = self.start(f"{command} --dir {self.demo.folder / 'demo'}", log)
            process = self.demo.process
        else:
            log = self.bin / f"log-{len(self.processes)}"
            process = self.start(command, log)
            self.processes.append(process)
        deadline = time.monotonic() + 120
        while not is_up(self.port):
            assert process.poll() is None, f"{where}: {command} ended:\n{log.read_text()}"
            assert time.monotonic() < deadline, f"{where}: {command} does not answer"
            time.sleep(0.1)
        if expected:
            pattern = ".*".join(map(re.escape, expected.strip().split("...")))
            assert re.search(pattern, log.read_text(), re.DOTALL), f"{where}: {command} prints:\n{log.read_text()}"

    def start(self, command: str, log: Path) -> "subprocess.Popen[bytes]":
        """Start a process that goes on."""
        with log.open("wb") as output:
            return subprocess.Popen(
                ["bash", "-c", f"exec {command}"],
                cwd=self.here,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self.environment,
            )

    def run(self, text: str, where: str) -> None:
        """Run Python, with what earlier blocks of the page have left."""
        output, here = io.StringIO(), os.getcwd()
        os.chdir(self.here)
        try:
            with contextlib.redirect_stdout(output):
                exec(compile(text, where, "exec"), self.names)
        finally:
            os.chdir(here)
        self.printed = output.getvalue()

    def close(self) -> None:
        """End what was started."""
        for process in self.processes:
            end(process)


def end(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0


def is_up(port: str) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/healthz").status_code == 200
    except httpx.TransportError:
        return False


def commands(text: str) -> Iterator[tuple[str, str]]:
    """Split a console block into commands, each with what it prints."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        lines = part.splitlines(keepends=True)
        count = 1
        while lines[count - 1].rstrip("\n").endswith("\\"):
            count += 1
        command = re.sub(r"\s{2,}#.*", "", "".join(lines[:count])).strip()
        yield command, "".join(lines[count:])


def expect(expected: str, printed: str, where: str) -> None:
    assert _CHECKER.check_output(expected, printed, _FLAGS), f"{where}\nshould print:\n{expected}\nprints:\n{printed}"


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """Give the demo, which is not started yet."""
    demo = Demo(tmp_path_factory.mktemp("demo"))
    yield demo
    if demo.process is not None:
        end(demo.process)


@pytest.fixture
def follow(tmp_path: Path, demo: Demo) -> Iterator[Callable[[Path], None]]:
    """Follow a page from its top."""
    readers: list[Reader] = []
    folder = tmp_path / "folder"
    folder.mkdir()

    def start(page: Path) -> None:
        readers.append(Reader(page, folder, tmp_path / "bin", demo))
        readers[-1].follow()

    yield start
    for reader in readers:
        reader.close()
