"""From files to batches: readers, cohorts, anatomy, preparation and phantoms."""
