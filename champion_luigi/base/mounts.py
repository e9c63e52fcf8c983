"""The file system that a folder is on, as Linux lists its mounts."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

# Types that several machines can mount at once, by the kernel's names. A mount through FUSE has the program's name
# after a dot, and most of these programs fetch files from elsewhere.
_SHARED = frozenset(
    "nfs nfs4 cifs smb3 smbfs ceph lustre gpfs glusterfs beegfs orangefs pvfs2 ocfs2 gfs2 afs coda 9p virtiofs "
    "vboxsf prl_fs".split()
)
_LOCAL_FUSE = frozenset("ext2 ext3 ext4 ntfs ntfs-3g exfat fuse-overlayfs overlayfs gocryptfs encfs bindfs".split())
# Of those that machines can share, the ones whose locks are not known to reach further than this machine. With FUSE,
# the kernel locks files, for this machine alone, unless the program takes that over; sshfs does not (measured).
_OWN_LOCKS = frozenset({"vboxsf", "prl_fs", "virtiofs"})
_FUSE_WITH_LOCKS = frozenset("juicefs glusterfs ceph ceph-fuse mfs moosefs".split())
# Options of NFS, SMB and Lustre by which locks are not sent to the server.
_OWN_LOCKS_BY_OPTION = frozenset("nolock local_lock=flock local_lock=all nobrl localflock".split())
_ESCAPED = re.compile(r"\\([0-7]{3})")


class Mount(NamedTuple):
    """A mounted file system: the kernel's name of its type, its folder, and whether an option limits its locks."""

    kind: str
    folder: Path
    has_own_locks: bool = False

    @property
    def is_shared(self) -> bool:
        """Whether other machines can use its files at the same time."""
        fuse, _, program = self.kind.partition(".")
        return self.kind in _SHARED or (fuse == "fuse" and bool(program) and program not in _LOCAL_FUSE)

    @property
    def has_common_locks(self) -> bool:
        """Whether a lock on a file of a shared file system is known to exclude other machines too."""
        fuse, _, program = self.kind.partition(".")
        is_known = program in _FUSE_WITH_LOCKS if fuse == "fuse" else self.kind not in _OWN_LOCKS
        return is_known and not self.has_own_locks


def mount_of(folder: Path, table: Path = Path("/proc/self/mountinfo")) -> Mount | None:
    """The mount that holds a folder, which need not exist; None without a table of mounts, as outside Linux."""
    try:
        lines = table.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return None
    path, found = Path(os.path.realpath(folder)), None
    for line in lines:
        before, _, after = line.partition(" - ")
        fields, (kind, *of_kind) = before.split(" "), after.split(" ")
        mounted = Path(_ESCAPED.sub(lambda code: chr(int(code[1], 8)), fields[4]))
        # Of two at the same place, the last hides the other.
        if path.is_relative_to(mounted) and (not found or len(mounted.parts) >= len(found.folder.parts)):
            options = {*fields[5].split(","), *of_kind[-1].split(",")} if of_kind else set()
            found = Mount(kind, mounted, not options.isdisjoint(_OWN_LOCKS_BY_OPTION))
    return found
