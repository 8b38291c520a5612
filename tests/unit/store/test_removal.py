"""Removing folders: what is below a folder of ours goes, and whatever a link, a mount or a race leads to stays."""

import errno
import os
from pathlib import Path

import pytest

from migrascope.store import removal
from migrascope.store.removal import NotRemoved, mount_id, mount_points, remove_tree


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder of ours; beside it lies `foreign` with a file."""
    (tmp_path / "root").mkdir()
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "file").write_text("kept")
    return tmp_path / "root"


@pytest.fixture
def foreign(root: Path) -> Path:
    return root.parent / "foreign" / "file"


def filled(folder: Path) -> Path:
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "a" / "file").write_text("")
    (folder / "a" / "b" / "file").write_text("")
    (folder / "empty").mkdir()
    return folder


def test_a_folder_goes_with_all_that_is_in_it_and_nothing_beside_it(root: Path) -> None:
    filled(root / "one")
    filled(root / "other")
    assert remove_tree(root / "one", root)
    assert [path.name for path in root.iterdir()] == ["other"]


def test_what_is_not_there_is_no_error(root: Path) -> None:
    assert not remove_tree(root / "none", root)
    assert not remove_tree(root / "none" / "below", root)
    assert not remove_tree(root / "no" / "root", root / "no")


def test_a_file_and_a_link_are_removed_as_such(root: Path, foreign: Path) -> None:
    (root / "file").write_text("")
    (root / "link").symlink_to(foreign.parent)
    (root / "broken").symlink_to("nowhere")
    assert all(remove_tree(root / name, root) for name in ("file", "link", "broken"))
    assert list(root.iterdir()) == []
    assert foreign.read_text() == "kept"


@pytest.mark.parametrize("path", ["", ".", "..", "../foreign", "x/../../foreign", "/", "/etc", "../root", "../rootx"])
def test_what_is_not_strictly_below_the_root_is_refused(root: Path, foreign: Path, path: str) -> None:
    (root / "x").mkdir()
    with pytest.raises(NotRemoved, match="not a path below"):
        remove_tree(root / path, root)
    assert foreign.exists()
    assert (root / "x").exists()


def test_links_inside_are_removed_and_not_followed(root: Path, foreign: Path) -> None:
    folder = filled(root / "one")
    (folder / "a" / "to-folder").symlink_to(foreign.parent)
    (folder / "a" / "to-file").symlink_to(foreign)
    (folder / "up").symlink_to("..")
    assert remove_tree(folder, root)
    assert foreign.read_text() == "kept"
    assert root.exists()


def test_a_link_on_the_way_is_refused(root: Path, foreign: Path) -> None:
    (root / "link").symlink_to(foreign.parent)
    with pytest.raises(NotRemoved, match="a link or a file is on the way"):
        remove_tree(root / "link" / "file", root)
    assert foreign.exists()


def test_the_root_itself_may_be_reached_through_a_link(root: Path) -> None:
    filled(root / "one")
    linked = root.with_name("linked")
    linked.symlink_to(root)
    assert remove_tree(linked / "one", linked)
    assert list(root.iterdir()) == []


def test_a_folder_that_a_link_has_replaced_after_it_was_listed_is_not_entered(
    root: Path, foreign: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "one").mkdir()
    (root / "one" / "swapped").symlink_to(foreign.parent)
    monkeypatch.setattr(removal, "_entries", lambda handle: [(name, True) for name in os.listdir(handle)])
    with pytest.raises(NotRemoved, match="'swapped': Not a directory"):
        remove_tree(root / "one", root)
    assert foreign.exists()


def test_a_folder_that_is_moved_elsewhere_meanwhile_leads_nowhere(
    root: Path, foreign: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(root / "one")
    unlink = os.unlink

    def move_and_unlink(name: str, *, dir_fd: int) -> None:
        if (root / "one" / "a" / "b").exists() and os.path.samestat(
            os.fstat(dir_fd), (root / "one" / "a" / "b").stat()
        ):
            (root / "one" / "a" / "b").rename(foreign.parent / "b")
        unlink(name, dir_fd=dir_fd)

    monkeypatch.setattr(os, "unlink", move_and_unlink)
    with pytest.raises(NotRemoved, match="was moved while it was being emptied"):
        remove_tree(root / "one", root)
    assert foreign.exists()


@pytest.mark.parametrize("at", ["one", "one/a", "one/a/b", "one/a/file"])
def test_nothing_is_removed_where_something_is_mounted_in_it(root: Path, at: str) -> None:
    folder = filled(root / "one")
    before = sorted(root.rglob("*"))
    with pytest.raises(NotRemoved) as refused:
        remove_tree(folder, root, lambda: [Path("/"), root, root / at])
    assert str(refused.value).endswith(f"something is mounted at {root / at}\n  next: umount {root / at}")
    assert sorted(root.rglob("*")) == before


def test_mounts_in_one_another_are_to_be_unmounted_from_within(root: Path) -> None:
    folder = filled(root / "one")
    with pytest.raises(NotRemoved, match=f"umount {folder / 'a/b'} {folder / 'a'}$"):
        remove_tree(folder, root, lambda: [folder / "a", folder / "a/b"])


def test_a_mount_between_the_root_and_the_folder_is_not_crossed(root: Path) -> None:
    filled(root / "one")
    (root / "one" / "link").symlink_to("a")
    for name in ("a", "a/file", "link"):
        with pytest.raises(NotRemoved, match=f"something is mounted at {root / 'one'}\n  next: umount {root / 'one'}"):
            remove_tree(root / "one" / name, root, lambda: [root / "one"])
        assert os.path.lexists(root / "one" / name)


def test_mounts_beside_it_and_the_root_as_a_mount_are_no_matter(root: Path) -> None:
    filled(root / "one")
    assert remove_tree(root / "one", root, lambda: [Path("/"), root, root / "one-more", root / "other" / "one"])


def test_a_mount_is_seen_where_its_real_path_is_and_not_by_the_name_of_the_root(root: Path) -> None:
    filled(root / "one")
    linked = root.with_name("linked")
    linked.symlink_to(root)
    with pytest.raises(NotRemoved, match="mounted at"):
        remove_tree(linked / "one", linked, lambda: [root / "one" / "a"])


def test_a_mount_that_comes_while_it_is_removed_is_not_entered(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = filled(root / "one")
    inode = (folder / "a").stat().st_ino
    monkeypatch.setattr(
        removal, "mount_id", lambda handle: "another" if os.fstat(handle).st_ino == inode else mount_id(handle)
    )
    with pytest.raises(NotRemoved, match="'a': something is mounted there"):
        remove_tree(folder, root)
    assert [path.name for path in folder.iterdir()] == ["a"]
    assert (folder / "a" / "b" / "file").exists()


def test_what_the_kernel_does_not_remove_is_said_and_the_rest_goes(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = filled(root / "one")
    unlink = os.unlink

    def refuse(name: str, *, dir_fd: int) -> None:
        if os.path.samestat(os.fstat(dir_fd), (folder / "a" / "b").stat()):
            raise OSError(errno.EPERM, "Operation not permitted")
        unlink(name, dir_fd=dir_fd)

    monkeypatch.setattr(os, "unlink", refuse)
    with pytest.raises(NotRemoved) as refused:
        remove_tree(folder, root)
    assert "not wholly removed: 'a/b/file': Operation not permitted\n" in str(refused.value)
    assert {str(path.relative_to(folder)) for path in folder.rglob("*")} == {"a", "a/b", "a/b/file"}


def test_what_others_remove_at_the_same_time_is_no_error(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = filled(root / "one")
    entries = removal._entries
    monkeypatch.setattr(removal, "_entries", lambda handle: [*entries(handle), ("gone", False), ("gone-too", True)])
    assert remove_tree(folder, root)


def test_a_name_that_no_terminal_should_see_is_not_printed_raw(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "one").mkdir()
    for name in (b"\x1b[2J", b"\xff"):
        os.close(os.open(os.fsencode(root / "one") + b"/" + name, os.O_CREAT | os.O_WRONLY))

    def refuse(name: str, *, dir_fd: int) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", refuse)
        with pytest.raises(NotRemoved) as refused:
            remove_tree(root / "one", root)
    assert str(refused.value).replace("\n", "").isprintable()


def test_folders_nested_deeper_than_files_may_be_open(root: Path) -> None:
    handle = os.open(root, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=handle)
        inner = os.open("d", os.O_RDONLY, dir_fd=handle)
        os.close(handle)
        handle = inner
    os.close(handle)
    assert remove_tree(root / "d", root)


def test_mount_points_are_read_as_the_kernel_writes_them(tmp_path: Path) -> None:
    lines = [
        "22 1 0:21 / / rw,relatime - overlay overlay rw",
        r"31 22 0:27 / /run/with\040blank\134and\012more rw,nosuid shared:5 - tmpfs tmpfs rw",
        "33 22 254:1 /home /mnt/bind rw - ext4 /dev/vda1 rw",
    ]
    (tmp_path / "mountinfo").write_text("\n".join(lines) + "\n")
    found = mount_points(tmp_path / "mountinfo")
    assert found == [Path("/"), Path("/run/with blank\\and\nmore"), Path("/mnt/bind")]
    assert Path("/proc") in mount_points()


def test_files_on_different_mounts_have_different_ids(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as here, Path("/proc/self/status").open() as there:
        assert mount_id(here.fileno()) == mount_id(here.fileno())
        assert mount_id(here.fileno()) != mount_id(there.fileno())
