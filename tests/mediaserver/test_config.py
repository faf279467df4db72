"""Settings: where they come from, which wins, and how a wrong one is named."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediaserver.config import (
    LogFormat,
    LogLevel,
    Settings,
    SettingsError,
    load_settings,
    reload_settings,
    settings_reference,
)
from mediaserver.config.loading import variable_name
from mediaserver.config.settings import setting_fields, setting_value

PROJECT = Path(__file__).parents[2]
NAMES = [name for name, _ in setting_fields()]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "mediaserver.toml"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_defaults_are_the_documented_ones() -> None:
    settings = load_settings({})
    assert settings == Settings()
    assert (settings.http.host, settings.http.port) == ("0.0.0.0", 8080)
    assert (settings.rtmp.host, settings.rtmp.port, settings.rtmps.port) == ("0.0.0.0", 1935, None)
    assert settings.data_dir == Path("data")
    assert (settings.broadcast.merge_window_ms, settings.hls.part_target_ms) == (100, 500)
    assert (settings.log.format, settings.log.level) == (LogFormat.CONSOLE, LogLevel.INFO)


def test_the_later_source_wins_setting_by_setting(file: Path) -> None:
    file.write_text('data_dir = "from-file"\n[http]\nport = 1\nhost = "127.0.0.1"\n[rtmp]\nport = 1\n')
    environment = {"MEDIASERVER_HTTP__PORT": "2", "MEDIASERVER_RTMP__PORT": "2"}
    settings = load_settings(environment, {"http.port": "3"}, file)
    assert (settings.http.port, settings.rtmp.port) == (3, 2)
    assert (settings.http.host, settings.data_dir) == ("127.0.0.1", Path("from-file"))


def test_the_file_is_found_by_default_by_variable_and_by_argument(file: Path, tmp_path: Path) -> None:
    file.write_text("[http]\nport = 1\n")
    (tmp_path / "second.toml").write_text("[http]\nport = 2\n")
    (tmp_path / "third.toml").write_text("[http]\nport = 3\n")
    assert load_settings({}).http.port == 1
    named = {"MEDIASERVER_CONFIG": "second.toml"}
    assert load_settings(named).http.port == 2
    assert load_settings(named, file=tmp_path / "third.toml").http.port == 3


def test_values_are_read_from_text() -> None:
    settings = load_settings(
        {
            "MEDIASERVER_HTTP__TRUSTED_PROXIES": "10.0.0.0/8, 2001:db8::/32",
            "MEDIASERVER_GOP_CACHE__ENABLED": "false",
            "MEDIASERVER_LOG__LEVEL": "DEBUG",
            "MEDIASERVER_PUBLIC_URL": "https://live.example.com/",
            "MEDIASERVER_RTMP__PUBLISH_GRACE_SECONDS": "2.5",
        }
    )
    assert [str(network) for network in settings.http.trusted_proxies] == ["10.0.0.0/8", "2001:db8::/32"]
    assert settings.gop_cache.enabled is False
    assert settings.log.level is LogLevel.DEBUG
    assert settings.public_url == "https://live.example.com"
    assert settings.rtmp.publish_grace_seconds == 2.5


def test_an_empty_variable_is_not_set() -> None:
    assert load_settings({"MEDIASERVER_RTMPS__PORT": "", "MEDIASERVER_DATABASE_URL": ""}) == Settings()


@pytest.mark.parametrize(
    "name", ["MEDIASERVER_SERVICE_HOST", "MEDIASERVER_PORT", "MEDIASERVER_PORT_8080_TCP_ADDR"]
)
def test_variables_that_kubernetes_sets_are_no_settings(name: str) -> None:
    assert load_settings({name: "tcp://10.0.0.1:8080"}) == Settings()


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("MEDIASERVER_HTTP__PORT", "70000", "http.port: input should be less than or equal to 65535"),
        ("MEDIASERVER_HTTP__PORT", "http", "http.port: input should be a valid integer"),
        ("MEDIASERVER_HTTP__HOST", "example.com", "http.host: must be an IP address"),
        ("MEDIASERVER_HTTP__TRUSTED_PROXIES", "10.0.0.1/8", "http.trusted_proxies: value is not a valid"),
        (
            "MEDIASERVER_BROADCAST__MERGE_WINDOW_MS",
            "-1",
            "broadcast.merge_window_ms: input should be greater",
        ),
        ("MEDIASERVER_API__MAX_BODY_BYTES", "1000", "api.max_body_bytes: input should be greater"),
        ("MEDIASERVER_API__MAX_UPLOAD_BYTES", "1e12", "api.max_upload_bytes: input should be"),
        ("MEDIASERVER_HLS__PART_TARGET_MS", "0", "hls.part_target_ms: input should be greater"),
        ("MEDIASERVER_DRAIN__TIMEOUT_SECONDS", "nan", "drain.timeout_seconds: input should be"),
        ("MEDIASERVER_DRAIN__TIMEOUT_SECONDS", "inf", "drain.timeout_seconds: input should be"),
        ("MEDIASERVER_MONEY__CURRENCY", "gem", "money.currency: string should match pattern"),
        ("MEDIASERVER_LOG__FORMAT", "xml", "log.format: input should be 'console' or 'json'"),
        ("MEDIASERVER_PUBLIC_URL", "live.example.com", "public_url: must begin with http:// or https://"),
        ("MEDIASERVER_PUBLIC_URL", "https:///", "public_url: names no host"),
        ("MEDIASERVER_RTMPS__PORT", "1936", "rtmps: rtmps.port needs rtmps.certificate_file"),
        ("MEDIASERVER_HTPP__PORT", "1", "MEDIASERVER_HTPP__PORT: no such setting"),
        ("MEDIASERVER_HTTP", "{}", "MEDIASERVER_HTTP: no such setting"),
    ],
)
def test_a_wrong_variable_is_named_in_one_line(variable: str, value: str, message: str) -> None:
    with pytest.raises(SettingsError) as error:
        load_settings({variable: value})
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[http]\nprt = 1\n", "'http.prt': no such setting"),
        ("[htpp]\nport = 1\n", "'htpp': no such setting"),
        ("http = 3\n", "'http': no such setting"),
        ("port = 3\n", "'port': no such setting"),
        ("[http.port]\nx = 3\n", "http.port: input should be a valid integer"),
        ("[http\n", "is not TOML"),
        ("a = " + "[" * 20_000, "is not TOML"),
        ('[log]\nlevel = ["info"]\n', "log.level: input should be"),
        ('[http]\nhost = "::"\nport = 1\n[http]\n', "is not TOML"),
        ("[rtmp]\nmax_message_bytes = 1\nmax_chunk_bytes = 1\n", "rtmp.max_message_bytes: input should be"),
    ],
)
def test_a_wrong_file_is_named_in_one_line(file: Path, text: str, message: str) -> None:
    file.write_text(text)
    with pytest.raises(SettingsError) as error:
        load_settings({}, file=file)
    assert message in str(error.value)
    assert str(file) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, file: Path) -> None:
    file.write_bytes(b"# \xff\n")
    for path in (tmp_path / "missing.toml", tmp_path, file):
        with pytest.raises(SettingsError, match=str(path)):
            load_settings({}, file=path)
    file.write_text("#" * 2_000_000)
    with pytest.raises(SettingsError, match="larger than"):
        load_settings({}, file=file)


def test_how_many_more_are_wrong_is_said() -> None:
    wrong = {"MEDIASERVER_HTTP__PORT": "x", "MEDIASERVER_RTMP__PORT": "y"}
    with pytest.raises(SettingsError, match="1 more setting is wrong"):
        load_settings(wrong)


@pytest.mark.parametrize(
    ("variable", "secret"),
    [("MEDIASERVER_DATABASE_URL", "mysql://user:hunter2@host/x"), ("MEDIASERVER_SECRET_KEY", "hunter2")],
)
def test_a_secret_stays_out_of_the_message_and_the_repr(variable: str, secret: str) -> None:
    with pytest.raises(SettingsError) as error:
        load_settings({variable: secret})
    assert "hunter2" not in str(error.value)
    settings = load_settings({"MEDIASERVER_DATABASE_URL": "postgresql://user:hunter2@host/x"})
    assert "hunter2" not in repr(settings)


@given(st.sampled_from(NAMES), st.text(max_size=40))
def test_any_text_is_taken_or_refused_by_name(name: str, value: str) -> None:
    try:
        load_settings({variable_name(name): value})
    except SettingsError as error:
        assert str(error).startswith(name.partition(".")[0])


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().http.port = 1  # type: ignore[misc]


def test_a_reload_applies_what_it_can_and_names_the_rest() -> None:
    current = load_settings({})
    new = load_settings({}, {"log.level": "debug", "http.port": "1", "broadcast.merge_window_ms": "0"})
    reload = reload_settings(current, new)
    assert set(reload.applied) == {"log.level", "broadcast.merge_window_ms"}
    assert reload.needs_restart == ("http.port",)
    assert reload.settings.log.level is LogLevel.DEBUG
    assert reload.settings.broadcast.merge_window_ms == 0
    assert reload.settings.http.port == 8080


def test_a_reload_without_changes_changes_nothing() -> None:
    current = load_settings({})
    reload = reload_settings(current, load_settings({}))
    assert (reload.settings, reload.applied, reload.needs_restart) == (current, (), ())


def test_every_setting_has_a_default_and_a_docstring() -> None:
    for name, field in setting_fields():
        assert not field.is_required(), name
        assert field.description and field.description.endswith("."), name
        setting_value(Settings(), name)


def test_the_reference_is_up_to_date_and_complete() -> None:
    reference = settings_reference()
    assert (PROJECT / "docs" / "settings.md").read_text() == reference, "run: make settings"
    for name in NAMES:
        assert f"| `{name}` | `{variable_name(name)}` |" in reference
