"""Settings that hold still: what is read within a fill, whatever the environment becomes meanwhile."""

from __future__ import annotations

import contextvars
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from champion_luigi.base.errors import SettingsError
from champion_luigi.config import settings, steady, wiring


@pytest.fixture(autouse=True)
def _before(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATA_DIR", "CLICKHOUSE_HOST", "CLICKHOUSE_PASSWORD"):
        monkeypatch.setenv(name, "before")


def change(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATA_DIR", "CLICKHOUSE_HOST", "CLICKHOUSE_PASSWORD"):
        monkeypatch.setenv(name, "after")


def seen() -> set[object]:
    """Every answer that is kept, whichever function of the settings gives it."""
    place = wiring.warehouse_place()
    return {
        settings.get("data_dir"),
        str(settings.data_dir()),
        str(settings.lake_dir().parent),
        settings.clickhouse_password(),
        place.host,
        place.password,
        *settings.secrets(),
    }


def test_a_change_is_not_seen_while_the_settings_hold_still(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is before and after."""
    with steady.still():
        assert seen() == {"before"}
        change(monkeypatch)
        assert seen() == {"before"}
    assert seen() == {"after"}


def test_threads_with_the_same_context_see_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    with ThreadPoolExecutor(1) as pool:
        with steady.still():
            assert settings.data_dir() == Path("before")
            change(monkeypatch)
            context = contextvars.copy_context()
            assert pool.submit(context.run, settings.data_dir).result() == Path("before")
        assert pool.submit(settings.data_dir).result() == Path("after")


def test_an_override_is_seen_for_its_time() -> None:
    """The answers outside of it are neither used nor replaced."""
    with steady.still():
        assert settings.data_dir() == Path("before")
        with settings.overridden({"data_dir": "inner", "clickhouse_password": "hidden"}):
            assert settings.data_dir() == settings.data_dir() == Path("inner")
            assert "hidden" in settings.secrets()
        assert settings.data_dir() == Path("before")
        assert "hidden" not in settings.secrets()


def test_an_error_is_raised_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLICKHOUSE_PORT", "many")
    with steady.still():
        for _ in range(2):
            with pytest.raises(SettingsError, match="many"):
                settings.get("clickhouse_port")
