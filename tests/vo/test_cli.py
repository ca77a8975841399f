"""The command line: the same answers as over HTTP, and errors in one line."""

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import httpx
import numpy as np
import pytest
from astropy.io import fits

from imageserv.vo import cli

V1 = "/api/image/v1/DC_W13_Stripe82"
QUERY = "ds=calexp&sid=5646240694&ra=37.645&dec=0.103&width=7&height=4&unit=pixel"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes], tmp_path: Path) -> Run:
    """Run a command in an empty folder."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.delenv("IMAGESERV_CONFIG", raising=False)

    def invoke(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["imageserv", *arguments])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        output, errors = capfdbinary.readouterr()
        return int(stopped.value.code or 0), output.decode("utf-8", "replace"), errors.decode()

    return invoke


def one_line(errors: str) -> str:
    (line,) = errors.splitlines()
    assert line.startswith("imageserv: ")
    return line


def test_a_cutout_is_that_of_the_service(run: Run, archive: Path, client: httpx.Client) -> None:
    served = client.get(f"{V1}?{QUERY}")
    name = served.headers["content-disposition"].partition('filename="')[2].rstrip('"')
    for arguments in (
        [f"DC_W13_Stripe82?{QUERY}"],
        ["DC_W13_Stripe82", *QUERY.split("&")],
        ["DC_W13_Stripe82?ds=calexp", *QUERY.split("&")[1:]],
    ):
        status, output, errors = run("cutout", "--config", str(archive), *arguments, "--force")
        assert (status, output) == (0, ""), errors
        assert Path(name).read_bytes() == served.content
        assert served.headers["x-imageserv-delivered"] in errors
        assert [path.name for path in Path().iterdir()] == [name]


def test_a_stored_file_is_that_of_the_service(run: Run, archive: Path, client: httpx.Client) -> None:
    query = "ds=raw&run=7000&camcol=1&field=2&filter=u"
    assert run("cutout", "--config", str(archive), f"DC_W13_Stripe82?{query}")[0] == 0
    assert Path("fpC-007000-u1-0002.fit").read_bytes() == client.get(f"{V1}?{query}").content
    run("cutout", "--config", str(archive), f"DC_W13_Stripe82?{query}", "-o", "other.fits")
    assert Path("other.fits").read_bytes() == Path("fpC-007000-u1-0002.fit").read_bytes()


def test_standard_output_is_bytes(run: Run, archive: Path, client: httpx.Client) -> None:
    command = [sys.executable, "-m", "imageserv.vo.cli", "cutout", "--config", str(archive)]
    output = subprocess.run([*command, f"DC_W13_Stripe82?{QUERY}", "-o", "-"], capture_output=True, timeout=60).stdout
    assert output == client.get(f"{V1}?{QUERY}").content


def test_files_are_not_overwritten(run: Run, archive: Path) -> None:
    Path("mine.fits").write_text("mine")
    arguments = ("cutout", "--config", str(archive), f"DC_W13_Stripe82?{QUERY}", "-o", "mine.fits")
    status, _, errors = run(*arguments)
    assert status == 1
    assert "--force" in one_line(errors)
    assert Path("mine.fits").read_text() == "mine"
    assert run(*arguments, "--force")[0] == 0
    assert Path("mine.fits").read_bytes().startswith(b"SIMPLE")


def test_ids_are_printed_as_json(run: Run, archive: Path) -> None:
    arguments = ("cutout", "--config", str(archive), "DC_W13_Stripe82", "ds=raw", "get_dataid", "sid=5646240964")
    data_id = {"run": 5646, "camcol": 4, "field": 964, "filter": "r"}
    assert json.loads(run(*arguments)[1]) == data_id
    assert run(*arguments, "-o", "id.json")[1] == ""
    assert json.loads(Path("id.json").read_text()) == data_id


def test_a_whole_url_is_taken(run: Run, archive: Path) -> None:
    url = "https://images.example.org/api/image/v1/DC_W13_Stripe82?ds=raw&get_ccdexpid&run=5646&camcol=4&field=694&filter=r"
    assert run("cutout", "--config", str(archive), url) == (0, "5646240694\n", "")


def test_files_get_plain_names(run: Run, own_archive: Path) -> None:
    """Whatever the stored file and its folder are called, and the same as the service suggests."""
    folder = own_archive.parent / "sky" / "m13"
    folder.mkdir()
    (own_archive.parent / "sky" / "a folder" / "étoile 1.fits").rename(folder / 'm"13\r\n.fits')
    run("ingest", "--config", str(own_archive), "SKY")
    file = 'file=m13/m"13\r\n.fits'
    assert run("cutout", "--config", str(own_archive), "SKY", "ds=image", file)[0] == 0
    place = ("ra=0.001", "dec=60", "width=5", "height=6", "unit=pixel")
    for detail in ("planes", "image", "all"):
        assert run("cutout", "--config", str(own_archive), "SKY", "ds=image", file, *place, f"detail={detail}")[0] == 0
    assert {path.name for path in Path().iterdir()} == {
        "m-13-.fits",
        "image-m13-m-13-.fits_0.001+60_5x6pixel.fits",
        "image-m13-m-13-.fits_0.001+60_5x6pixel_image.fits",
        "image-m13-m-13-.fits_0.001+60_5x6pixel_all.fits",
    }


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["cutout", "DC_W13_Stripe82", "ds=raw", "ra=1"], 1, "dec, filter are missing"),
        (["cutout", "DC_W13_Stripe82", "ds=nothing"], 1, "raw, calexp, deepCoadd"),
        (["cutout", "NOWHERE", "ds=raw"], 1, "DC_W13_Stripe82, SKY"),
        (["cutout", "DC_W13_Stripe82", "ds=raw", "sid=5646240999"], 1, "5646240999"),
        (
            ["cutout", f"DC_W13_Stripe82?{QUERY}", "-o", "no/such/folder/x.fits"],
            1,
            "imageserv: no/such/folder/x.fits: ",
        ),
        (["cutout", f"DC_W13_Stripe82?{QUERY}", "-o", "..", "--force"], 1, ".. is a folder"),
        (["cutout", f"DC_W13_Stripe82?{QUERY}&RESPONSEFORMAT=gif"], 1, "fits (application/fits, image/fits)"),
        (["cutout", f"DC_W13_Stripe82?{QUERY}&RESPONSEFORMAT=json"], 1, "fits (application/fits, image/fits)"),
        (["cutout", "DC_W13_Stripe82?ds=raw&get_dataid&sid=5646240964&RESPONSEFORMAT=fits"], 1, "json"),
        (["ingest", "NOWHERE"], 1, "DC_W13_Stripe82, SKY"),
        (["ingest", "SKY", "nothing"], 1, "image"),
        (["cutout"], 2, "DB_ID"),
        (["nonsense"], 2, "nonsense"),
        (["serve", "--port", "70000"], 2, "65535"),
    ],
)
def test_errors_are_one_line(run: Run, archive: Path, arguments: list[str], status: int, words: str) -> None:
    command, *rest = arguments
    options = [] if command == "nonsense" else ["--config", str(archive)]
    result, output, errors = run(command, *options, *rest)
    assert (result, output) == (status, "")
    assert words in one_line(errors)


def test_a_configuration_is_needed(run: Run, archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    status, _, errors = run("check")
    assert status == 2
    assert "--config" in one_line(errors)
    status, _, errors = run("check", "--config", "missing.toml")
    assert status == 1
    assert "missing.toml" in one_line(errors)
    monkeypatch.setenv("IMAGESERV_CONFIG", str(archive))
    assert run("check")[0] == 0


def test_ingest_takes_what_is_new_and_says_what_it_skipped(run: Run, own_archive: Path) -> None:
    root = own_archive.parent / "stripe82"
    (root / "runs" / "fpC-009999-r1-0001.fit").write_bytes(b"not FITS")
    (root / "runs" / "fpC-003325-z1-0171.fit").unlink()
    status, output, errors = run("ingest", "--config", str(own_archive), "DC_W13_Stripe82", "raw")
    assert (status, errors) == (0, "")
    assert "skipped: DC_W13_Stripe82 raw runs/fpC-009999-r1-0001.fit: " in output
    head, row = (line.split() for line in output.splitlines()[-2:])
    assert dict(zip(head, row, strict=True)) == {
        "repository": "DC_W13_Stripe82",
        "dataset": "raw",
        "images": "6",
        "taken": "0",
        "unchanged": "6",
        "removed": "1",
        "skipped": "1",
    }
    _, output, _ = run("ingest", "--config", str(own_archive))
    assert [line.split()[:2] for line in output.splitlines() if "unchanged" not in line and "skipped:" not in line] == [
        ["DC_W13_Stripe82", "raw"],
        ["DC_W13_Stripe82", "calexp"],
        ["DC_W13_Stripe82", "deepCoadd"],
        ["SKY", "image"],
    ]


def test_check_finds_what_is_wrong(run: Run, own_archive: Path) -> None:
    assert run("check", "--config", str(own_archive)) == (0, f"{own_archive}: nothing wrong\n", "")
    root = own_archive.parent / "stripe82"
    (root / "runs" / "fpC-003325-z1-0171.fit").unlink()
    os.utime(root / "runs" / "fpC-002708-r3-0103.fit", (1, 1))
    status, output, errors = run("check", "--config", str(own_archive))
    assert status == 1
    assert "runs/fpC-003325-z1-0171.fit gone since it was ingested" in output
    assert "runs/fpC-002708-r3-0103.fit changed since it was ingested" in output
    assert one_line(errors) == "imageserv: 2 problems"
    registry = own_archive.parent / "SKY.sqlite"
    registry.write_bytes(b"not a registry")
    status, output, errors = run("check", "--config", str(own_archive))
    assert status == 1
    assert "SKY" in output
    assert one_line(errors) == "imageserv: 3 problems"


def test_names_do_nothing_to_a_terminal(run: Run, own_archive: Path) -> None:
    (own_archive.parent / "sky" / "a\x1b[31m\nb.fits").write_bytes(b"not FITS")
    for command in ("check", "ingest"):
        _, output, errors = run(command, "--config", str(own_archive))
        assert "\x1b" not in output + errors
        (line,) = (line for line in output.splitlines() if "b.fits" in line)
        assert "a\\x1b[31m\\nb.fits" in line


def test_check_does_not_list_thousands(run: Run, own_archive: Path) -> None:
    for number in range(25):
        (own_archive.parent / "sky" / f"{number}.fits").touch()
    (own_archive.parent / "stripe82" / "runs" / "fpC-003325-z1-0171.fit").unlink()
    _, output, errors = run("check", "--config", str(own_archive))
    lines = output.splitlines()
    assert len([line for line in lines if "not ingested yet" in line]) == 20
    assert lines[-1] == "SKY: image and 5 more"
    assert "fpC-003325-z1-0171.fit gone" in lines[0]
    assert one_line(errors) == "imageserv: 26 problems"


def test_ingest_says_if_no_file_is_of_a_dataset(run: Run, tmp_path: Path) -> None:
    """Most often a file template is wrong, which looks like an archive that is empty."""
    (tmp_path / "images").mkdir()
    for name in ("b.fits", "a.fits"):
        fits.PrimaryHDU(np.zeros((2, 2))).writeto(tmp_path / "images" / name)
    configuration = tmp_path / "imageserv.toml"
    text = '[repositories.A]\nroot = "images"\n[repositories.A.datasets.image]\nplugin = "image"\n'
    configuration.write_text(f'{text}files = ["c*.fits"]\n')
    _, output, _ = run("ingest", "--config", str(configuration))
    assert "warning: A image: no file is of this dataset; a.fits, for one, is not\n" in output
    configuration.write_text(text)
    assert "no file is of" not in run("ingest", "--config", str(configuration))[1]


def test_check_wants_a_folder_for_jobs_that_can_be_written_to(run: Run, tmp_path: Path) -> None:
    configuration = tmp_path / "imageserv.toml"
    text = '[repositories.A]\nroot = "."\n[repositories.A.datasets.image]\nplugin = "image"\n[jobs]\nfolder = '
    (tmp_path / "file").touch()
    for name, status in (("new/er", 0), ("file", 1), ("file/below", 1)):
        configuration.write_text(f'{text}"{name}"\n')
        assert run("ingest", "--config", str(configuration))[0] == 0
        found, _, errors = run("check", "--config", str(configuration))
        assert (found, "jobs.folder" in errors) == (status, status == 1), errors
        if status:
            assert "cannot be written to" in one_line(errors)
            assert run("serve", "--config", str(configuration), "--port", "0")[0] == 1
    assert not (tmp_path / "new").exists()


def test_check_demands_an_ingest(run: Run, tmp_path: Path) -> None:
    configuration = tmp_path / "imageserv.toml"
    configuration.write_text('[repositories.A]\nroot = "."\n[repositories.A.datasets.image]\nplugin = "image"\n')
    status, output, _ = run("check", "--config", str(configuration))
    assert status == 1
    assert "ingest" in output
    assert run("ingest", "--config", str(configuration))[0] == 0
    assert run("check", "--config", str(configuration))[0] == 0
    with sqlite3.connect(tmp_path / "A.sqlite") as registry:
        registry.execute("PRAGMA user_version = 99999")
    registry.close()
    assert run("check", "--config", str(configuration))[0] == 1


def test_plugins_are_listed(run: Run) -> None:
    _, output, _ = run("plugins")
    rows = {line.split()[0]: line.split() for line in output.splitlines()}
    assert rows["raw"][1:3] == ["imageserv.dataset", "imageserv"]
    assert rows["raw"][4] == "imageserv.plugins.raw:Raw"


def test_the_version_is_told(run: Run) -> None:
    assert run("--version") == (0, f"imageserv {version('imageserv')}\n", "")


def test_no_command_is_a_call_for_help(run: Run) -> None:
    assert run() == run("--help")


@pytest.mark.parametrize("command", [[], ["serve"], ["ingest"], ["check"], ["plugins"], ["cutout"], ["demo"]])
def test_help_is_given(run: Run, command: list[str]) -> None:
    status, output, _ = run(*command, "--help")
    assert status == 0
    assert "Usage: imageserv" in output


def test_a_new_plugin_is_written_once(run: Run) -> None:
    status, output, errors = run("new-plugin", "deep-survey")
    assert (status, errors) == (0, "")
    assert output.startswith("imageserv-deep-survey: ")
    status, output, errors = run("new-plugin", "deep-survey")
    assert (status, output) == (1, "")
    assert one_line(errors) == "imageserv: imageserv-deep-survey exists: nothing is overwritten"


def test_a_new_plugin_needs_a_name_of_its_own(run: Run) -> None:
    status, output, errors = run("new-plugin", "raw", "--dir", "..")
    assert (status, output) == (1, "")
    assert "a plugin of that name is installed already (imageserv" in one_line(errors)
    assert run("new-plugin")[0] == 2
