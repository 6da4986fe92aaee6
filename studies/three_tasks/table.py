"""Put the overview of RESULTS.md, which `midclass report` writes, into the README."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from midclass.writing import fill_blocks, write_or_check

HERE = Path(__file__).resolve().parent
README = HERE.parents[1] / "README.md"


def overview() -> str:
    """The table under the heading AUROC: every detector, for a reader must see who is ahead."""
    section = (HERE / "RESULTS.md").read_text(encoding="utf-8").split("\n## AUROC\n")[1]
    lines = section.split("\n## ")[0].splitlines()
    return "\n".join(line for line in lines if line.startswith("|"))


def main() -> int:
    """Write the table, or with ``--check`` compare it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare only; 1 where they differ")
    check = parser.parse_args().check
    new = fill_blocks(README.read_text(encoding="utf-8"), {"three tasks": overview()})
    return int(not write_or_check(README, new, check=check))


if __name__ == "__main__":
    sys.exit(main())
