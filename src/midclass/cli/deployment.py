"""Commands that carry a detector elsewhere: ``export``, ``serve``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from midclass.cli import early
from midclass.cli.options import (
    Cache,
    DetectorFolder,
    Options,
    Overwrite,
    Part,
    Root,
    Seed,
    Split,
    Trust,
)

# Bodies import what they need, so that --help needs neither torch nor FastAPI.


def export(
    detector: DetectorFolder,
    onnx: Annotated[Path, typer.Option(help="File to write, such as detector.onnx.")],
    cohort: Annotated[
        Path | None,
        typer.Option(help="Manifest of cases to compare on; generated phantoms without one."),
    ] = None,
    split: Split = None,
    part: Part = None,
    root: Root = None,
    seed: Seed = 0,
    trust: Trust = None,
    cache: Cache = None,
    overwrite: Overwrite = False,
) -> None:
    """Write a detector as ONNX: prepared pixels and anatomy to score, p-value, flag and heat map.

    Both look at the same images first; nothing is written where a flag differs, or a score by more
    than a thousandth of the spread of the calibration scores.
    """
    from midclass.cli.commands.source import Source

    source = None if cohort is None else Source(cohort, split, part, root)
    options = Options.of(trust, cache, overwrite)
    early.check_detector(detector, source)
    from midclass.cli.commands import export

    export.run(detector, source, options, onnx=onnx, seed=seed)


def serve(
    detector: DetectorFolder,
    host: Annotated[
        str,
        typer.Option(help="Address to listen at; another than this machine's own asks a token."),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = 8000,
    token_file: Annotated[
        Path | None, typer.Option(help="File whose first line each request must carry.")
    ] = None,
    watch: Annotated[
        Path | None, typer.Option(help="Folder whose files are scored as they arrive, too.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="CSV of what was scored in the watched folder; goes on.")
    ] = None,
    every: Annotated[
        float, typer.Option(min=0.1, help="Seconds between two looks at the watched folder.")
    ] = 5.0,
    max_mb: Annotated[int, typer.Option(min=1, help="Largest file that is taken, in MiB.")] = 64,
    waiting: Annotated[
        int, typer.Option(min=1, help="Files that may wait; more are answered 503.")
    ] = 32,
    max_fpr: Annotated[
        float | None,
        typer.Option(help="False-alarm rate of the flags; by default that promised by fit."),
    ] = None,
    trust: Trust = None,
) -> None:
    """Score what is sent by HTTP or laid into a folder, until Ctrl-C.

    curl --data-binary @image.dcm http://127.0.0.1:8000/score
    """
    early.check_detector(detector)
    from midclass.cli.commands import serve
    from midclass.cli.commands.serve import Serving

    serving = Serving(host, port, token_file, watch, out, every, max_mb, waiting)
    serve.run(detector, serving, Options.of(trust), max_fpr=max_fpr)
