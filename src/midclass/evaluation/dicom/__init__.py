"""DICOM out: a report, a segmentation and a picture in the study of the image that was scored."""
