"""A folder as the archive: what is the day's file there, what is not, and what is no folder of files at all."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import socket
import zipfile
from collections.abc import Callable
from datetime import date
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from helpers import LEGACY_DAY, UDIFF_DAY, archive_path, fetched, payload, publish

from champion_luigi.base.errors import (
    ArchiveUnusable,
    ChampionError,
    NotPublished,
    RejectedPayload,
    SettingsError,
    StorageError,
    is_transient,
)
from champion_luigi.config.wiring import open_archive
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.exchange.folder import FolderArchive
from champion_luigi.parsing.payload import recognise

PATH = archive_path("legacy", LEGACY_DAY)
NAME = PATH.rpartition("/")[2]
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22e\nsize 12345\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An archive's folder with the file of another day."""
    publish(tmp_path, UDIFF_DAY, "udiff", ["a,b"])
    return tmp_path


def published(folder: Path, path: str = PATH) -> Path:
    """The simulated file at a path of the folder."""
    file = folder / path.lstrip("/")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(payload(LEGACY_DAY, "legacy"))
    return file


def unzipped(content: bytes) -> bytes:
    with zipfile.ZipFile(BytesIO(content)) as zipped:
        return zipped.read(zipped.infolist()[0])


def got(folder: Path, day: date = LEGACY_DAY) -> bytes:
    return fetched(open_archive(str(folder)), EQUITY, day).content


def error_of(folder: Path, **limits: Any) -> ChampionError:
    """The error with which the day's path ends; no other source is involved."""
    with pytest.raises(ChampionError) as caught:
        open_archive(str(folder), **limits).get(PATH, LEGACY_DAY)
    assert caught.value.day == LEGACY_DAY
    return caught.value


# The day's file


@pytest.mark.parametrize("form", ["{}", "file://{}", "file://localhost{}"])
def test_a_folder_laid_out_as_on_the_exchange_is_an_archive(tmp_path: Path, form: str) -> None:
    """People who have the files already need no server."""
    file = publish(tmp_path, LEGACY_DAY, "legacy", ["a,b", "1,2"])
    found = fetched(open_archive(form.format(tmp_path)), EQUITY, LEGACY_DAY)
    assert (found.content, found.url, found.name) == (file.read_bytes(), str(file), file.name)


def test_a_file_url_may_be_percent_encoded(tmp_path: Path) -> None:
    """As URLs are where a folder's name has a space in it."""
    folder = tmp_path / "my files"
    publish(folder, LEGACY_DAY, "legacy", ["a,b"])
    assert fetched(open_archive(folder.as_uri()), EQUITY, LEGACY_DAY).content


@pytest.mark.parametrize("path", [PATH.upper(), PATH.lower(), PATH.replace(NAME, NAME.upper())])
def test_a_name_in_another_case_is_read(folder: Path, path: str, caplog: pytest.LogCaptureFixture) -> None:
    """A copy through Windows or a USB stick changes the case of names; the stored name is the exchange's own."""
    file = published(folder, path)
    opened = open_archive(str(folder))
    with caplog.at_level(logging.WARNING, "champion_luigi"):
        found = fetched(opened, EQUITY, LEGACY_DAY)
        fetched(opened, EQUITY, LEGACY_DAY)
    assert (found.content, found.name) == (file.read_bytes(), NAME)
    [warning] = caplog.messages
    assert str(file) in warning


@pytest.mark.parametrize("name", [NAME.removesuffix(".zip"), NAME.removesuffix(".zip").upper()])
def test_an_unzipped_file_is_read(folder: Path, name: str) -> None:
    """The check of the payload takes it for what it is: the day's file."""
    file = published(folder).with_name(name)
    file.write_bytes(unzipped(payload(LEGACY_DAY, "legacy")))
    file.with_name(NAME).unlink()
    content = got(folder)
    assert content == file.read_bytes()
    assert recognise(content, EQUITY, LEGACY_DAY).lines


def test_a_zipped_file_is_read_where_the_exchange_zips_none(folder: Path) -> None:
    """People zip what is large."""
    file = published(folder, "/content/indices/ind_close_all_02072024.csv.zip")
    content, _ = open_archive(str(folder)).get("/content/indices/ind_close_all_02072024.csv", LEGACY_DAY)
    assert content == file.read_bytes()


def test_the_exact_name_comes_before_all_others(folder: Path) -> None:
    """Without a warning, as ever."""
    file = published(folder)
    for other in (NAME.upper(), NAME.removesuffix(".zip")):
        file.with_name(other).write_bytes(b"something else")
    assert got(folder) == file.read_bytes()


def test_a_folder_under_two_cases_is_searched_under_both(folder: Path) -> None:
    """One tool wrote JUN, another Jun."""
    file = published(folder, PATH.replace("/JUN/", "/Jun/"))
    (folder / PATH.lstrip("/")).parent.mkdir()
    assert got(folder) == file.read_bytes()


def test_a_link_to_the_file_is_the_file(folder: Path) -> None:
    """Wherever it is."""
    file = published(folder)
    file.symlink_to(shutil.move(file, folder / "elsewhere"))
    assert got(folder) == payload(LEGACY_DAY, "legacy")


def test_a_file_that_a_folder_lacks_is_not_published(folder: Path) -> None:
    """It is the same to the chain as a 404."""
    error = error_of(folder)
    assert isinstance(error, NotPublished)
    assert error.source == str(folder / PATH.lstrip("/"))


# What stands in its place


def test_a_link_that_leads_nowhere_is_no_missing_file(folder: Path) -> None:
    """The file is there, somewhere: the day must not be recorded as closed."""
    file = published(folder)
    file.unlink()
    file.symlink_to("/nowhere/at/all")
    error = error_of(folder)
    assert isinstance(error, StorageError)
    assert not is_transient(error)
    assert (error.source, error.found) == (str(file), "a link to /nowhere/at/all")


def test_a_link_in_the_folders_that_leads_nowhere_is_no_missing_file(folder: Path) -> None:
    """A year on a disk that is not mounted."""
    year = folder / "content/historical/EQUITIES/2023"
    year.parent.mkdir(parents=True)
    year.symlink_to("/mnt/not-mounted/2023")
    error = error_of(folder)
    assert isinstance(error, StorageError)
    assert (error.source, error.expected) == (str(year), "a folder")


def test_a_link_to_itself_is_no_missing_file(folder: Path) -> None:
    """The system follows no circle."""
    file = published(folder)
    file.unlink()
    file.symlink_to(file)
    assert isinstance(error_of(folder), StorageError)


@pytest.mark.parametrize("name", [NAME, NAME.upper(), NAME.removesuffix(".zip")])
def test_a_pointer_of_git_lfs_is_no_missing_file(folder: Path, name: str) -> None:
    """The message has the command that fetches the file."""
    file = published(folder).rename((folder / PATH.lstrip("/")).with_name(name))
    file.write_bytes(LFS)
    error = error_of(folder)
    assert isinstance(error, RejectedPayload)
    assert error.source == str(file)
    assert "Git LFS pointer" in str(error)
    assert "git lfs pull" in str(error)


def test_a_pointer_of_git_annex_is_told_as_such(folder: Path) -> None:
    """Its cousin has another command."""
    published(folder).write_bytes(b"/annex/objects/SHA256E-s123--abc.zip\n")
    assert "git annex get" in str(error_of(folder))


@pytest.mark.parametrize("name", [NAME, NAME.removesuffix(".zip")])
def test_a_folder_in_the_place_of_the_file_is_an_error_of_storage(folder: Path, name: str) -> None:
    """As some tools unzip."""
    file = published(folder).with_name(name)
    file.with_name(NAME).unlink()
    file.mkdir()
    error = error_of(folder)
    assert isinstance(error, StorageError)
    assert (error.source, error.found) == (str(file), "a folder")


def test_a_pipe_in_the_place_of_the_file_is_not_waited_for(folder: Path) -> None:
    """Opening it would wait for a writer for ever."""
    file = published(folder)
    file.unlink()
    os.mkfifo(file)
    assert isinstance(error_of(folder), StorageError)


def test_a_socket_in_the_place_of_the_file_is_no_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It cannot be opened."""
    file = published(folder)
    file.unlink()
    monkeypatch.chdir(file.parent)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(file.name)
        assert isinstance(error_of(folder), StorageError)


def test_a_file_in_the_place_of_a_folder_is_an_error_of_storage(folder: Path) -> None:
    """Its days are not missing."""
    (folder / "content/historical").write_bytes(b"")
    error = error_of(folder)
    assert isinstance(error, StorageError)
    assert "Not a directory" in str(error)


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
@pytest.mark.parametrize("depth", [0, 1])
def test_a_file_or_folder_that_may_not_be_read_is_an_error_of_storage(folder: Path, depth: int) -> None:
    """The message says who refused."""
    forbidden = [published(folder), published(folder).parent][depth]
    forbidden.chmod(0)
    try:
        error = error_of(folder)
    finally:
        forbidden.chmod(0o700)
    assert isinstance(error, StorageError)
    assert "Permission denied" in str(error)


def test_a_file_in_a_folder_has_the_size_cap_too(folder: Path) -> None:
    """Whatever it is, it is no bhavcopy."""
    publish(folder, LEGACY_DAY, "legacy", ["x" * 2000])
    assert isinstance(error_of(folder, max_bytes=1000), RejectedPayload)


# No folder of files


def test_a_folder_that_does_not_exist_is_a_setting_to_correct(tmp_path: Path) -> None:
    """An unmounted disk must not look like years of holidays."""
    with pytest.raises(SettingsError, match="folder does not exist") as caught:
        open_archive(str(tmp_path / "unmounted"))
    assert caught.value.source == str(tmp_path / "unmounted")


@pytest.mark.parametrize(
    "left", [(), ("content/historical/EQUITIES/2023/JUN",), ("lost+found", "content/cm"), (".git/refs",)]
)
def test_an_empty_folder_is_a_share_that_is_not_mounted(tmp_path: Path, left: tuple[str, ...]) -> None:
    """No day is missing from it: the message names the folder alone, and no retry can help."""
    for each in left:
        (tmp_path / each).mkdir(parents=True)
    for hidden in (tmp_path, *tmp_path.glob(".git")):
        (hidden / (".mounted-by-hand" if hidden is tmp_path else "HEAD")).write_bytes(b"")
    error = error_of(tmp_path)
    assert isinstance(error, ArchiveUnusable)
    assert not is_transient(error)
    assert (error.source, error.found) == (str(tmp_path), "no file")


def test_a_folder_that_goes_during_the_run_is_not_a_folder_without_files(tmp_path: Path) -> None:
    """A share can go at any time."""
    folder = tmp_path / "share"
    published(folder)
    opened = open_archive(str(folder))
    assert opened.get(PATH, LEGACY_DAY)[0]
    shutil.rmtree(folder)
    with pytest.raises(ArchiveUnusable, match="is gone") as caught:
        opened.get(PATH, LEGACY_DAY)
    assert caught.value.source == str(folder)
    published(folder)
    assert opened.get(PATH, LEGACY_DAY)[0]


def test_a_file_in_the_place_of_the_archives_folder_is_no_folder_without_files(tmp_path: Path) -> None:
    """It came during the run, too."""
    (tmp_path / "share").write_bytes(b"")
    with pytest.raises(ArchiveUnusable, match="Not a directory"):
        FolderArchive(tmp_path / "share", 1000).get(PATH, LEGACY_DAY)


def test_a_folder_whose_server_does_not_answer_can_be_tried_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network file system recovers within a minute: neither a missing file nor a folder of no use."""
    opened = open_archive(str(folder))

    def fail(path: object) -> list[str]:
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), str(path))

    monkeypatch.setattr(os, "listdir", fail)
    with pytest.raises(StorageError, match="Stale file handle") as caught:
        opened.get(PATH, LEGACY_DAY)
    assert is_transient(caught.value)


def test_an_empty_folder_behind_links_that_circle_is_found_empty(tmp_path: Path) -> None:
    """The search for a first file ends."""
    for name in ("one", "two"):
        (tmp_path / name).symlink_to(tmp_path)
    assert isinstance(error_of(tmp_path), ArchiveUnusable)


def test_a_file_url_with_a_host_is_a_setting_to_correct(tmp_path: Path) -> None:
    """``file://data/nse`` lacks a slash: it must not mean ``/nse``."""
    with pytest.raises(SettingsError, match="three slashes"):
        open_archive("file://data/nse")


def test_real_files_are_read_under_any_case(shared: Callable[[str], Path], tmp_path: Path) -> None:
    """Byte for byte."""
    path = archive_path("udiff", date(2024, 7, 8))
    file = shared(f"archive{path}")
    place = tmp_path / path.strip("/").lower()
    place.parent.mkdir(parents=True)
    shutil.copy(file, place)
    assert got(tmp_path, date(2024, 7, 8)) == file.read_bytes()
