"""Page: an evaluation as one HTML file, for people; every figure is of the files of the run."""

PAGE = "page.html"
MARK = b'<meta name="generator" content="midclass '
"""In the head of each page, by which it is known that midclass wrote it."""
