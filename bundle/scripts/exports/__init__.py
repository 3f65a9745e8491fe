"""Maps, detections and lesions for other programs: QuPath, ASAP, tables, OME-TIFF, OME-Zarr, DICOM.

Comes in: maps and detections of ``maps``. Goes out: files that other programs open. Floor: beside ``report``,
``labels`` and ``cluster``, above ``scoring`` and ``inference``.
"""
