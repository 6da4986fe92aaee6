"""What to look at before training: sheets, audits, probes."""
