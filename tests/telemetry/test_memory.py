"""The share of its memory that a control group uses, as the kernel's files tell it."""

from __future__ import annotations

from pathlib import Path

import pytest

from afterbay.telemetry.memory import memory_reader


def group(root: Path, name: str = "", **files: str) -> None:
    folder = root / "sys/fs/cgroup" / name
    folder.mkdir(parents=True, exist_ok=True)
    for file, text in files.items():
        (folder / file.replace("_", ".", 1)).write_text(text)
    (root / "proc/self").mkdir(parents=True, exist_ok=True)
    (root / "proc/self/cgroup").write_text(f"0::/{name}\n")


def test_pages_that_can_be_dropped_do_not_count(tmp_path: Path) -> None:
    group(tmp_path, memory_max="1000\n", memory_current="900\n", memory_stat="anon 500\ninactive_file 300\n")
    assert memory_reader(tmp_path)() == pytest.approx(0.6)


def test_a_group_of_its_own_counts_and_not_the_tree(tmp_path: Path) -> None:
    group(tmp_path, memory_max="10", memory_current="10", memory_stat="")
    group(tmp_path, "gateway.slice", memory_max="1000", memory_current="100", memory_stat="")
    assert memory_reader(tmp_path)() == pytest.approx(0.1)


def test_inside_of_a_container_the_groups_name_leads_nowhere(tmp_path: Path) -> None:
    group(tmp_path, memory_max="1000", memory_current="100", memory_stat="")
    (tmp_path / "proc/self/cgroup").write_text("0::/kubepods/pod1/abc\n")
    assert memory_reader(tmp_path)() == pytest.approx(0.1)


def test_without_a_limit_or_the_files_nothing_is_said(tmp_path: Path) -> None:
    assert memory_reader(tmp_path)() is None
    group(tmp_path, memory_max="max", memory_current="100", memory_stat="")
    assert memory_reader(tmp_path)() is None


def test_files_that_vanish_say_nothing(tmp_path: Path) -> None:
    group(tmp_path, memory_max="1000", memory_current="100", memory_stat="")
    share = memory_reader(tmp_path)
    (tmp_path / "sys/fs/cgroup/memory.current").unlink()
    assert share() is None


def test_this_machine_can_be_read() -> None:
    share = memory_reader()()
    assert share is None or 0 <= share <= 1
