"""Page: an evaluation as one HTML file, for people; every figure is of the files of the run."""
