"""Commands about slides and their masks: what training, inference and scoring start from."""

from __future__ import annotations


def download(
    *,
    output: str,
    slides: str = "all",
    what: str = "images,annotations",
    source: str | None = None,
    endpoint: str | None = None,
    num_at_once: int = 4,
) -> None:
    """Download CAMELYON16, the only data set that is known, from its public bucket: chosen slides or all 700 GB.

    Files are resumed where a transfer broke, and compared by checksums. A second time only what is missing comes. The
    challenge's reference table and lists of checksums come with them.

    Example: tumor-detection download camelyon16 --output camelyon16 --slides tumor_001,normal_001

    Args:
        output: folder to download to, laid out as the bucket: images/, annotations/, masks/.
        slides: names separated by commas, or all.
        what: some of images, annotations and masks, separated by commas.
        source: address of a copy of the bucket, as s3://bucket/folder.
        endpoint: of another S3 service than Amazon's; credentials are then taken from the environment.
        num_at_once: files that are copied at a time.
    """
    from scripts.storage.bucket import EXTRAS, SOURCE
    from scripts.storage.download import copy_extras, download_camelyon16

    print(download_camelyon16(output, slides, what, source or SOURCE, endpoint, num_at_once))
    if extras := copy_extras(output, source or SOURCE, endpoint, EXTRAS):
        print(f"also {', '.join(path.name for path in extras)}")


def doctor(
    *,
    slides: list[str] | None = None,
    backend: str = "auto",
    assume_mpp: float | None = None,
    probe: bool = False,
) -> None:
    """Say what this machine can do, and for each slide whether it opens, has tissue, and which weights fit.

    Example: tumor-detection doctor --slides slides/ --probe

    Args:
        slides: slides, folders of slides, or a table of slides (docs/slide_tables.md).
        backend: auto, cucim or openslide.
        assume_mpp: µm per level-0 pixel, over what the file says.
        probe: measure how long inference takes here, on two tiles of a slide of each resolution.
    """
    from scripts.cli import doctor as examination
    from scripts.errors import InputError, counted

    report, failures = examination.doctor(slides, backend, assume_mpp, probe)
    print(report)
    if failures:
        raise InputError(f"{counted(failures, 'slide')} cannot be read; see above")


def foreground(
    *,
    slides: list[str],
    output: str,
    stride: int = 64,
    saturation: float | None = None,
    min_saturation: float = 0.03,
    max_saturation: float = 0.2,
    min_contrast: float = 0.03,
    min_value: float = 0.1,
    max_hole_um2: float = 50_000.0,
    min_tissue_um2: float = 20_000.0,
    annotations: str | None = None,
    skip_artifacts: str = "",
    backend: str = "auto",
    assume_mpp: float | None = None,
    geojson_origin: str = "bounds",
) -> None:
    """Write a foreground mask for each slide (step 2), and a mask of its artifacts.

    Per slide: <name>.png (0 or 255, one pixel per stride x stride level-0 pixels), <name>.json, <name>_artifacts.png
    (a class per pixel), <name>_overlay.jpg.

    Example: tumor-detection foreground --slides slides/ --output foreground --stride 64

    Args:
        slides: slides, folders of slides, or a table of slides (docs/slide_tables.md).
        output: folder for the masks.
        stride: level-0 pixels per mask pixel.
        saturation: saturation (0 to 1) from which on a pixel is tissue; Otsu's threshold, without pen, if not given.
        min_saturation: floor under Otsu's threshold.
        max_saturation: ceiling over it, and the threshold where Otsu's two classes hardly differ.
        min_contrast: least difference of the two classes' mean saturation.
        min_value: brightness (0 to 1) below which a pixel is no tissue.
        max_hole_um2: holes up to this area in square µm are filled.
        min_tissue_um2: specks below this area in square µm are removed.
        annotations: folder of annotation files; outlines of class Tissue are the foreground, none is computed;
            those of class Region* limit it, those of class Ignore* are cut out.
        skip_artifacts: leave these out of the foreground: some of pen, blur, dark_edge, coverslip_edge and black,
            separated by commas. Without it they are noted only.
        backend: auto, cucim or openslide.
        assume_mpp: µm per level-0 pixel, over what the slides say; areas need it.
        geojson_origin: bounds if GeoJSON counts from the scanned part of a slide (bounds-x and -y of OpenSlide), as
            QuPath does; slide if it counts from the corner of level 0.
    """
    from scripts.errors import counted
    from scripts.masks.foreground import ForegroundSettings
    from scripts.masks.foreground_folder import write_foregrounds

    settings = ForegroundSettings(
        saturation, min_saturation, max_saturation, min_contrast, min_value, max_hole_um2, min_tissue_um2
    )
    written = write_foregrounds(
        slides, output, stride, settings, backend, assume_mpp, annotations, geojson_origin, skip_artifacts
    )
    print(f"{counted(len(written), 'foreground mask')} in {output}")


def groundtruth(
    *,
    slides: list[str],
    output: str,
    annotations: str | None = None,
    stride: int = 64,
    geojson_origin: str = "bounds",
) -> None:
    """Turn annotations into tumor masks (step 5).

    Per slide: <name>.png (0 or 255, one pixel per stride x stride level-0 pixels) and <name>.json.

    Example: tumor-detection groundtruth --annotations annotations --slides slides/ --output truth

    Args:
        slides: slides, folders of slides, or a table of slides (docs/slide_tables.md).
        output: folder for the masks.
        annotations: folder of NCRF JSON, ASAP XML or QuPath GeoJSON, found by slide name; a table of slides may list
            them instead.
        stride: level-0 pixels per mask pixel.
        geojson_origin: bounds if GeoJSON counts from the scanned part of a slide (bounds-x and -y of OpenSlide), as
            QuPath does; slide if it counts from the corner of level 0.
    """
    from scripts.errors import counted
    from scripts.masks.groundtruth import write_groundtruth

    written = write_groundtruth(annotations, slides, output, stride, geojson_origin)
    print(f"{counted(len(written), 'tumor mask')} in {output}")
