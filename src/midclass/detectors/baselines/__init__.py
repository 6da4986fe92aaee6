"""Published methods and controls to compare with."""
