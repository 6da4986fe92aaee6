"""Generated DICOM files read by midclass, and by formulas and decoders that share no code with it.

Run it from the root of a checkout; dcm2pnm (dcmtk) is asked where it is installed::

    python benchmarks/two_decoders.py [--files 2000] [--seed 0]

What is drawn, and the formulas, are in tests/dicom_cases.py.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from midclass.images.formats.read import decode, read

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import dicom_cases as cases


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0, help="of the first file")
    options = parser.parse_args()
    count, largest = Counter[str](), {"formulas": 0.0, "dcmtk": 0.0}
    with TemporaryDirectory() as folder:
        for seed in range(options.seed, options.seed + options.files):
            one = cases.made(np.random.default_rng(seed))
            path = cases.written(one, Path(folder, "x.dcm"))
            stored = decode(path).reshape(one.values.shape)
            count["stored values differ from those written"] += bool((stored != one.values).any())
            if cases.gdcm_can(one) and (values := cases.of_gdcm(path)) is not None:
                count["decoded by GDCM too"] += 1
                count["GDCM differs"] += bool((values.reshape(stored.shape) != stored).any())
            expected = one.expected()
            pixels = np.stack([read(path, frame=k).pixels for k in range(len(expected))])
            largest["formulas"] = max(largest["formulas"], float(np.abs(pixels - expected).max()))
            count["files"] += 1
            if shutil.which("dcm2pnm") and cases.dcmtk_can(one):
                other = cases.of_dcmtk(one, path)
                if other is not None:
                    count["displayed by dcmtk too"] += 1
                    difference = float(np.abs(pixels[0] - other).max())
                    largest["dcmtk"] = max(largest["dcmtk"], difference)
    for what, number in count.items():
        print(f"{what}: {number}")
    for what, difference in largest.items():
        print(f"largest difference of a pixel in [0, 1] from {what}: {difference:.2g}")


if __name__ == "__main__":
    main()
