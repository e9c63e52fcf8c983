"""Files in a folder and in an object store by the same verbs: whole, under conditions, listed by name."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path

import google_server
import pytest
import s3_server
from odd_store import OddStore

from champion_luigi.base import durable, extras, object_options, objects, store
from champion_luigi.base.errors import NotInstalled, SettingsError, StorageError, StoreUnreachable
from champion_luigi.base.places import ObjectPath, Place, place_of, signature
from champion_luigi.config import settings


def names(place: Place, start: str = "", stop: str = "") -> list[str]:
    return sorted(Path(entry.path).name for entry in store.entries(place, start, stop))


# In folder and store


def test_what_was_written_is_read(place: Place) -> None:
    """As bytes, as a document, and by its tag."""
    durable.write_whole(place / "a" / "note.json", b'{"rows": 3}\n')
    assert durable.read_whole(place / "a" / "note.json") == b'{"rows": 3}\n'
    assert durable.read_json(place / "a" / "note.json") == {"rows": 3}
    found = store.get(place / "a" / "note.json")
    assert found is not None
    assert found[0] == b'{"rows": 3}\n'


def test_what_is_absent_is_none(place: Place) -> None:
    """Where a content is needed, the error names the file."""
    assert store.get(place / "absent") is None
    assert durable.read_json(place / "absent") is None
    assert not (place / "absent").exists()
    with pytest.raises(StorageError, match="absent"):
        durable.read_whole(place / "absent")


def test_the_first_of_several_writes_if_absent(place: Place) -> None:
    """Eight threads want one name: one of them has it, with its content whole."""
    for number in range(5):
        at, start = place / f"claim-{number}", threading.Barrier(8)
        won: list[int] = []

        def claim(who: int, at: Place = at, won: list[int] = won, start: threading.Barrier = start) -> None:
            start.wait()
            if store.put_if_absent(at, f"{who}".encode() * 1000):
                won.append(who)

        threads = [threading.Thread(target=claim, args=(who,)) for who in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        [winner] = won
        assert durable.read_whole(at) == f"{winner}".encode() * 1000
    assert len(names(place)) == 5


def test_a_file_is_replaced_in_the_state_that_was_read(place: Place) -> None:
    """The tag of an earlier state, or of a file that is gone, replaces nothing."""
    at = place / "receipt.json"
    durable.write_whole(at, b"one")
    found = store.get(at)
    assert found is not None
    assert store.replace_if(at, b"two", found[1])
    assert not store.replace_if(at, b"three", found[1])
    assert durable.read_whole(at) == b"two"
    store.delete(at)
    assert not store.replace_if(at, b"four", found[1])
    assert not at.exists()


def test_deleting_what_is_absent_is_no_error(place: Place) -> None:
    """As a second attempt needs it."""
    store.put(place / "a", b"1")
    store.delete(place / "a")
    store.delete(place / "a")
    assert names(place) == []


def test_a_listing_has_the_files_between_two_names(place: Place) -> None:
    """Of a tree; the first name is included, the last one is not."""
    for day in ("year=2023/month=12/day=29/a", "year=2024/month=01/day=15/b", "year=2024/month=02/day=01/c", "year=9"):
        store.put(place / day, b"x")
    assert names(place) == ["a", "b", "c", "year=9"]
    assert names(place, "year=2024", "year=2025") == ["b", "c"]
    assert names(place, "year=2024/month=01/day=15/b", "year=2024/month=02/day=01/c") == ["b"]
    assert names(place / "year=2024") == ["b", "c"]
    assert names(place / "absent") == []


def test_a_signature_changes_with_the_content(place: Place) -> None:
    """And a listing has the same one as a look at the file."""
    at = place / "day.parquet"
    store.put(at, b"12345")
    first = signature(at)
    assert [signature(entry) for entry in store.entries(place)] == [first]
    store.put(at, b"54321")
    assert signature(at) != first
    with pytest.raises(FileNotFoundError):
        signature(place / "absent")


def test_a_forked_process_uses_the_store(place: Place) -> None:
    """Luigi forks its workers after it has looked at what is complete."""
    store.put(place / "before", b"1")
    child = os.fork()
    if child == 0:
        code = 1
        try:
            store.put(place / "after", (durable.read_whole(place / "before") + b"2"))
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert durable.read_whole(place / "after") == b"12"


# Addresses


@pytest.mark.parametrize(
    ("address", "what"),
    [
        ("s3:/bucket/lake", "two slashes"),
        ("s3://", "no bucket"),
        ("s3:///lake", "no bucket"),
        ("s3://bucket/a//b", "part or a character"),
        ("s3://bucket/../b", "part or a character"),
        ("s3://bucket/a?versionId=1", "part or a character"),
        ("hdfs://name/lake", "no object store with the scheme hdfs:"),
        ("s3a://bucket/lake", "no object store with the scheme s3a:"),
    ],
)
def test_an_address_that_cannot_be_used_is_an_error(address: str, what: str) -> None:
    """Never a folder of that name."""
    with pytest.raises(SettingsError, match=what):
        place_of(address)


def test_an_address_has_the_parts_of_a_path() -> None:
    """With the same names for them."""
    at = place_of("s3://bucket/lake/") / "2024" / "a.json"
    assert str(at) == "s3://bucket/lake/2024/a.json"
    assert (at.name, str(at.parent)) == ("a.json", "s3://bucket/lake/2024")
    assert str(at.with_suffix(".csv")) == "s3://bucket/lake/2024/a.csv"
    assert isinstance(at, ObjectPath)
    assert str(at.relative_to(place_of("s3://bucket/lake"))) == "2024/a.json"
    assert not at.is_relative_to(place_of("s3://bucket/la"))
    assert at.is_relative_to(place_of("s3://bucket"))
    assert isinstance(place_of("lake"), Path)


# What a store lacks


@pytest.mark.integration
def test_a_real_store_has_what_it_takes(object_store: s3_server.Store) -> None:
    """And nothing is left of the trial."""
    root = place_of(object_store.address())
    store.require(root)
    assert names(root) == []


@pytest.mark.integration
@pytest.mark.parametrize(
    ("heeds", "lacks"), [((), "If-None-Match"), (("If-None-Match",), "If-Match")], ids=["nothing", "half"]
)
def test_a_store_that_ignores_conditions_is_refused(
    heeds: tuple[str, ...], lacks: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By what it lacks: it has written what it should not have, and two hosts would overwrite each other."""
    with OddStore(heeds) as odd:
        for name, value in odd.environment.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(SettingsError, match=f"ignores conditions of writing.*; found no {lacks}:") as caught:
            store.require(place_of("s3://bucket/lake"))
        assert "odd-secret" not in str(caught.value)
        assert odd.objects == {}


@pytest.mark.integration
def test_a_store_that_heeds_them_is_not_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same small server, with both conditions."""
    with OddStore(("If-None-Match", "If-Match")) as odd:
        for name, value in odd.environment.items():
            monkeypatch.setenv(name, value)
        store.require(place_of("s3://bucket/lake"))
        assert odd.objects == {}


# What can be wrong with a store


@pytest.mark.integration
@pytest.mark.parametrize(
    ("environment", "address", "sentence"),
    [
        ({"AWS_SECRET_ACCESS_KEY": "wrong"}, "", "does not accept the key.*SignatureDoesNotMatch"),
        ({"AWS_ACCESS_KEY_ID": "nobody"}, "", "does not accept the key.*InvalidAccessKeyId"),
        (dict(zip(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), s3_server.STRANGER, strict=True)), "", "no right"),
        ({}, "s3://no-such-bucket/lake", "the bucket s3://no-such-bucket does not exist"),
    ],
    ids=["secret", "key", "rights", "bucket"],
)
@pytest.mark.parametrize(
    "ask", [store.require, store.get, lambda at: list(store.entries(at))], ids=["try", "get", "list"]
)
def test_what_is_wrong_with_a_store_is_a_sentence(
    environment: dict[str, str],
    address: str,
    sentence: str,
    ask: Callable[[Place], object],
    *,
    object_store: s3_server.Store,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever is asked first, it is a setting that cannot be used, and no secret is shown."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=sentence) as caught:
        ask(place_of(address or object_store.address()))
    assert all(secret not in str(caught.value) for _, secret in (s3_server.OWNER, s3_server.STRANGER))


@pytest.mark.integration
@pytest.mark.parametrize("status", [500, 503])
def test_a_store_that_cannot_answer_is_tried_again(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the client, a few times, and then by the stage: the error is one of those that pass."""
    with OddStore(status=status) as odd:
        for name, value in odd.environment.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(StoreUnreachable, match=f"s3://bucket does not answer; found {status}"):
            store.put(place_of("s3://bucket/lake/a"), b"1")
        assert len(odd.requests) == 3


@pytest.mark.integration
@pytest.mark.parametrize("status", [404, 409, 412])
def test_a_write_that_is_refused_is_not_done(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the reason, such as a lock of the object; what is absent can count as removed."""
    with OddStore(status=status) as odd:
        for name, value in odd.environment.items():
            monkeypatch.setenv(name, value)
        at = place_of("s3://bucket/lake/a")
        with pytest.raises(StorageError, match=f"refused a request; found {status}"):
            store.put(at, b"1")
        if status != 404:
            with pytest.raises(StorageError, match=f"refused a request; found {status}"):
                store.delete(at)


@pytest.mark.integration
def test_the_numbers_of_states_are_no_part_of_a_signature(monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer about an object has one, a listing does not; both are of the same file."""
    with OddStore() as odd:
        for name, value in odd.environment.items():
            monkeypatch.setenv(name, value)
        at = place_of("s3://bucket/lake/a")
        store.put(at, b"12345")
        found = store.get(at)
        assert found is not None
        assert found[1].endswith(" v2")
        assert [signature(entry) for entry in store.entries(place_of("s3://bucket/lake"))] == [signature(at)]


@pytest.mark.integration
def test_a_store_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a bounded time, which is short here."""
    monkeypatch.setattr(objects, "REQUEST_SECONDS", 0.2)
    with OddStore() as odd:
        odd.answers.clear()
        for name, value in odd.environment.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(StoreUnreachable, match="does not answer"):
            store.get(place_of("s3://bucket/lake/a"))


def test_a_store_that_is_not_there_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing listens at the address."""
    for name, value in {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_ACCESS_KEY_ID": "a"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    with pytest.raises(StoreUnreachable, match="does not answer"):
        store.get(place_of("s3://bucket/lake/a"))


def test_a_store_that_limits_the_writes_of_an_object_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Google's takes one a second; so the store is tried out, and a condition still decides."""
    with google_server.running(tmp_path, gap_seconds=1.0) as running:
        for name, value in running.environment.items():
            monkeypatch.setenv(name, value)
        place = place_of(running.address("lake"))
        store.require(place)
        assert store.put_if_absent(place / "a", b"1")
        store.put(place / "a", b"2")
        assert not store.put_if_absent(place / "a", b"3")
        assert durable.read_whole(place / "a") == b"2"


def test_a_folder_that_does_not_say_that_a_file_exists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mount by sshfs answers that the link is not permitted; without a file, that is an error."""

    def link(source: Path, target: Path) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), source, None, target)

    store.put(tmp_path / "claim", b"theirs")
    monkeypatch.setattr(os, "link", link)
    assert not store.put_if_absent(tmp_path / "claim", b"ours")
    assert durable.read_whole(tmp_path / "claim") == b"theirs"
    with pytest.raises(StorageError, match="not permitted"):
        store.put_if_absent(tmp_path / "other", b"ours")


# Credentials


@pytest.mark.parametrize(
    ("variables", "found"),
    [
        ({"AZURE_STORAGE_ACCOUNT_KEY": "bm8="}, "Account must be specified"),
        ({"AZURE_STORAGE_ACCOUNT_NAME": "some", "AZURE_STORAGE_ACCOUNT_KEY": "no base64!"}, "Invalid Access Key"),
    ],
    ids=["account", "key"],
)
def test_settings_that_the_client_cannot_use_are_not_tried_again(
    variables: dict[str, str], found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No request is sent; the sentence names the variables."""
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=f"cannot use its settings.*{found}.*AZURE_STORAGE_ACCOUNT_NAME"):
        store.get(place_of("az://never-opened/lake/a"))


def test_a_profile_gives_what_no_variable_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the files that the store's own tools read; variables win."""
    (tmp_path / "config").write_text("[profile desk]\nregion = ap-south-1\nendpoint_url = http://store.example/\n")
    (tmp_path / "credentials").write_text("[desk]\naws_access_key_id = AK\naws_secret_access_key = hunter2\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_PROFILE", "desk")
    assert object_options.options("s3://bucket") == {
        "aws_access_key_id": "AK",
        "aws_secret_access_key": "hunter2",
        "aws_region": "ap-south-1",
        "aws_endpoint_url": "http://store.example",
        "allow_http": "true",
    }
    assert object_options.secrets() == {"hunter2"}
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "other")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "swordfish")
    found = object_options.options("s3://bucket")
    assert (found["aws_access_key_id"], found["aws_region"]) == ("other", "eu-west-1")
    assert object_options.secrets() == {"hunter2", "swordfish"}


def test_secrets_of_a_store_are_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """In every message, as those of other settings."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2/and+more")
    assert settings.without_secrets("signed with hunter2/and+more") == "signed with ***"


def test_without_its_extra_a_store_is_no_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence names the extra."""
    monkeypatch.setitem(extras.MODULES, "s3", ("not_a_module_of_anybody",))
    with pytest.raises(NotInstalled, match=r"the store s3://bucket needs.*champion-luigi\[s3\]"):
        store.put(place_of("s3://bucket/lake/a"), b"1")
