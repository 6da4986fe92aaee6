"""DICOMweb: images from a server, and what is said of them back to it (PS3.18)."""
