"""Change: whether the state of a file can be trusted to tell what is in it, without opening it.

It can where the system keeps the time at which an inode was changed, which no program can set, and
where the last change is old enough that another one could not have the same time. On network
drives, FAT and the like files are compared by what they hold.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

SETTLED_S = 2.0
"""After a change within that time before, another may have the same time: the coarsest clock of a
file system (FAT) counts in steps of 2 s."""
KEEP_CHANGES = frozenset(
    ("ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "bcachefs", "jfs", "tmpfs", "overlay")
)
"""Local file systems of Linux that keep the time of change of an inode. Of a network drive it may
be that of another machine, made up (sshfs), or a minute old (NFS)."""
MOUNTS = Path("/proc/self/mountinfo")


def settled(files: Iterable[Path], started: float) -> bool:
    """Whether the states of all files can stand for what they held at a time, and in future.

    Args:
        files: that were looked at after that time.
        started: the time, in seconds since 1970.
    """
    return all(each_settled(([file] for file in files), started))


def each_settled(groups: Iterable[Iterable[Path]], started: float) -> Iterator[bool]:
    """The same for groups of files, each for itself."""
    mounts, kinds = _mounts(), dict[int, str]()

    def one(file: Path) -> bool:
        try:
            status = file.stat()
        except OSError:
            return False
        if status.st_dev not in kinds:
            kinds[status.st_dev] = _kind(file, mounts)
        latest = max(status.st_mtime_ns, status.st_ctime_ns) / 1e9
        return kinds[status.st_dev] in KEEP_CHANGES and latest <= started - SETTLED_S

    return (all(map(one, files)) for files in groups)


def _mounts() -> list[tuple[str, str]]:
    """Where file systems are mounted, and their kinds; none where the system does not tell."""
    try:
        lines = MOUNTS.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return []
    found = []
    for line in lines:  # "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw"
        about, _, source = line.partition(" - ")
        place = about.split(" ")[4].encode("utf-8", "surrogateescape")
        for code in (b"040", b"011", b"012", b"134"):  # the backslash last
            place = place.replace(b"\\" + code, bytes([int(code, 8)]))
        found.append((os.fsdecode(place), source.split(" ")[0]))
    return found


def _kind(file: Path, mounts: list[tuple[str, str]]) -> str:
    """The kind of file system of a file; "" where it is not known."""
    place, kind, longest = os.path.realpath(file), "", -1
    for mount, of_mount in mounts:  # of two on one place, the later one is seen
        inside = place.startswith(mount.rstrip("/") + "/") or place == mount
        if inside and len(mount) >= longest:
            kind, longest = of_mount, len(mount)
    return kind
