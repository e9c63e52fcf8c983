"""Which file system holds a folder, by tables as Linux writes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from champion_luigi.base.mounts import Mount, mount_of

TABLE = """22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
41 27 0:40 / /srv rw,relatime shared:20 master:3 - nfs4 files.example.com:/srv rw,vers=4.2
42 27 0:41 / /mnt/two\\040words rw,nosuid - fuse.juicefs JuiceFS:market rw
43 27 8:2 / /mnt/disk rw,nosuid - fuseblk /dev/sdb2 rw
44 41 0:50 / /srv/scratch rw - tmpfs tmpfs rw
45 27 0:51 / /mnt/twice rw - ext4 /dev/vdb rw
46 27 0:52 / /mnt/twice rw - cifs //files.example.com/share rw
"""


@pytest.mark.parametrize(
    ("folder", "kind", "is_shared"),
    [
        ("/home/somebody/data", "ext4", False),
        ("/srv/champion/data", "nfs4", True),
        ("/srvs/data", "ext4", False),
        ("/srv/scratch/data", "tmpfs", False),
        ("/mnt/two words/data", "fuse.juicefs", True),
        ("/mnt/disk/data", "fuseblk", False),
        ("/mnt/twice", "cifs", True),
    ],
)
def test_a_folder_is_on_the_innermost_mount(tmp_path: Path, folder: str, kind: str, is_shared: bool) -> None:
    """The folder need not exist; of two mounts at one place, the later one counts."""
    (table := tmp_path / "mountinfo").write_text(TABLE)
    found = mount_of(Path(folder), table)
    assert found is not None
    assert (found.kind, found.is_shared) == (kind, is_shared)


def test_a_file_system_of_this_machine_behind_fuse_is_not_shared() -> None:
    """Not all that FUSE mounts comes from elsewhere."""
    assert not Mount("fuse.gocryptfs", Path("/mnt")).is_shared
    assert Mount("fuse.sshfs", Path("/mnt")).is_shared


@pytest.mark.parametrize(
    ("kind", "options", "is_known"),
    [
        ("nfs4", "rw,vers=4.2,local_lock=none", True),
        ("nfs", "rw,vers=3,nolock,local_lock=all", False),
        ("cifs", "rw,nobrl", False),
        ("fuse.juicefs", "rw,user_id=0", True),
        ("fuse.sshfs", "rw,user_id=0", False),
        ("fuse.rclone", "rw,user_id=0", False),
        ("vboxsf", "rw", False),
    ],
)
def test_locks_of_this_machine_alone_are_known(tmp_path: Path, kind: str, options: str, is_known: bool) -> None:
    """By the type and by the options of the mount."""
    (table := tmp_path / "mountinfo").write_text(
        f"41 27 0:40 / /srv rw,relatime shared:20 - {kind} somewhere {options}\n"
    )
    found = mount_of(Path("/srv/data"), table)
    assert found is not None
    assert found.is_shared
    assert found.has_common_locks == is_known


def test_without_a_table_nothing_is_known(tmp_path: Path) -> None:
    """As outside of Linux."""
    assert mount_of(tmp_path, tmp_path / "none") is None


def test_this_machine_has_a_mount_for_every_folder(tmp_path: Path) -> None:
    """By its own table, a link's target counts."""
    (link := tmp_path / "link").symlink_to("/proc")
    found = mount_of(link)
    assert found == Mount("proc", Path("/proc"))
