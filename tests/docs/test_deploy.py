"""nginx and systemd take the files that the documentation shows, and nginx passes on what the service answers."""

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from imageserv.core.config import load

DEPLOY = Path(__file__).parents[2] / "docs" / "howto" / "deploy"
QUERY = "ds=calexp&sid=5646240694&ra=37.645&dec=0.103&width=7&height=4&unit=pixel"


@pytest.fixture
def proxy(live: Any, tmp_path: Path) -> Iterator[httpx.Client]:
    """Give a client of an nginx with the documentation's configuration, but for its certificate and its port."""
    program = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/bin")
    if program is None:
        pytest.skip("no nginx on this machine (Debian's package of that name)")
    own = free_port()
    server = (DEPLOY / "imageserv.conf").read_text("utf-8").replace("127.0.0.1:8000", f"127.0.0.1:{live.port}")
    server = re.sub(
        r"^\s*ssl_certificate.*\n", "", server.replace("listen 443 ssl;", f"listen 127.0.0.1:{own};"), flags=re.M
    )
    temporary = "".join(
        f"{name}_temp_path {tmp_path}/{name};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    configuration = tmp_path / "nginx.conf"
    configuration.write_text(
        f"daemon off;\nmaster_process off;\npid {tmp_path}/pid;\nerror_log {tmp_path}/error.log;\nevents {{}}\n"
        f"http {{\naccess_log off;\n{temporary}{server}\n}}\n",
        "utf-8",
    )
    process = subprocess.Popen([program, "-p", str(tmp_path), "-c", str(configuration)], stderr=subprocess.DEVNULL)
    with httpx.Client(base_url=f"http://127.0.0.1:{own}", timeout=30) as client:
        deadline = time.monotonic() + 30
        while True:
            try:
                client.get("/healthz")
                break
            except httpx.TransportError:
                assert process.poll() is None and time.monotonic() < deadline, (tmp_path / "error.log").read_text()
                time.sleep(0.05)
        yield client
    process.terminate()
    process.wait(30)


def test_the_proxy_gives_what_the_service_gives(proxy: httpx.Client, client: httpx.Client) -> None:
    for path in (f"/api/image/v1/DC_W13_Stripe82?{QUERY}", "/api/image/v1/DC_W13_Stripe82?ds=calexp&sid=5646240694"):
        mine, theirs = proxy.get(path), client.get(path)
        assert mine.status_code == 200 and mine.content == theirs.content
        assert mine.headers["etag"] == theirs.headers["etag"]
        part = proxy.get(path, headers={"Range": "bytes=0-79", "If-Match": "*"})
        assert part.content[:9] == b"SIMPLE  ="
    assert part.status_code == 206 and len(part.content) == 80
    refused = proxy.get("/api/image/v1/DC_W13_Stripe82?ds=calexp&ra=0")
    assert refused.status_code == 400 and refused.json()["exception"] == "UsageFault"


def test_the_log_tells_who_asked(proxy: httpx.Client, request_log: Callable[[httpx.Response], dict[str, Any]]) -> None:
    assert request_log(proxy.get("/healthz"))["client"] == "127.0.0.1"


@pytest.mark.parametrize("name", ["imageserv.service", "imageserv-ingest.service", "imageserv-ingest.timer"])
def test_systemd_takes_the_units(name: str, tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("no systemd-analyze on this machine")
    for unit in DEPLOY.iterdir():
        text = unit.read_text("utf-8").replace("/opt/imageserv/bin/imageserv", sys.executable)
        (tmp_path / unit.name).write_text(text.replace("User=imageserv", "User=root"), "utf-8")
    done = subprocess.run([program, "verify", str(tmp_path / name)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and name not in done.stderr, done.stderr


def test_the_configuration_is_right() -> None:
    config = load(DEPLOY / "imageserv.toml", {})
    assert config.base_url == "https://images.example.org"
    # What is written lies where the unit may write: StateDirectory and CacheDirectory.
    for path in (config.cache, config.jobs.folder, *(each.registry for each in config.repositories.values())):
        assert str(path).startswith(("/var/lib/imageserv/", "/var/cache/imageserv")), path


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
