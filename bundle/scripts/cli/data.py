"""Commands about slides and annotations: what training, inference and scoring start from."""

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

    Files are resumed where a transfer broke, and compared by MD5. A second time only what is missing comes.

    Example: tumor-detection download camelyon16 --output camelyon16 --slides tumor_001,normal_001

    Args:
        output: folder to download to, laid out as the bucket: images/, annotations/, masks/.
        slides: names separated by commas, or all.
        what: some of images, annotations and masks, separated by commas.
        source: address of a copy of the bucket, as s3://bucket/folder.
        endpoint: of another S3 service than Amazon's; credentials are then taken from the environment.
        num_at_once: files that are copied at a time.
    """
    from scripts.storage.download import SOURCE, download_camelyon16

    print(download_camelyon16(output, slides, what, source or SOURCE, endpoint, num_at_once))


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
        slides: slides or folders of slides.
        backend: auto, cucim or openslide.
        assume_mpp: µm per level-0 pixel, over what the file says.
        probe: measure how long inference takes here, on two tiles of a slide of each resolution.
    """
    from scripts.cli import doctor as examination
    from scripts.errors import InputError

    report, failures = examination.doctor(slides, backend, assume_mpp, probe)
    print(report)
    if failures:
        raise InputError(f"{failures} slides cannot be read; see above")


def loclabel(
    *,
    coords: str,
    annotations: str,
    output: str,
    ignore_exclusions: bool = False,
    slides: str | None = None,
    assume_mpp: float | None = None,
    geojson_origin: str = "bounds",
) -> None:
    """Label a 3 x 3 grid of 256 px cells around each location (step 1).

    Writes a CSV: slide, x, y and nine 0/1 labels, column by column; a cell is tumor if its center is.

    Example: tumor-detection loclabel --coords train.txt --annotations annotations --output training.csv

    Args:
        coords: file of NCRF's lines 'slide,x,y', the region's center in level-0 pixels.
        annotations: folder of NCRF JSON, ASAP XML or QuPath GeoJSON, found by slide name.
        output: the CSV to write.
        ignore_exclusions: count excluded areas as tumor, as NCRF did.
        slides: folder of the slides; if given, locations outside their slide are refused, and cells are 256 px wide
            at the model's resolution rather than at level 0.
        assume_mpp: µm per level-0 pixel of the slides, over what they say.
        geojson_origin: bounds if GeoJSON counts from the scanned part of a slide (bounds-x and -y of OpenSlide), as
            QuPath does; slide if it counts from the corner of level 0. Without --slides all count from there.
    """
    from scripts.labels.loclabel import generate_loclabels

    print(generate_loclabels(coords, annotations, output, ignore_exclusions, slides, assume_mpp, geojson_origin))


def sample(
    *,
    slides: list[str],
    truth: str,
    output: str,
    num_tumor: int = 10_000,
    num_normal: int | None = None,
    boundary_share: float = 0.5,
    stride: int = 64,
    seed: int = 0,
    normal: str = "",
    foreground_dir: str | None = None,
    tumor_value: int | None = None,
    backend: str = "auto",
    assume_mpp: float | None = None,
    geojson_origin: str = "bounds",
) -> None:
    """Draw training regions from slides and their truth, where there is no file of locations.

    Writes a CSV as loclabel does, and a picture of the slides with the points beside it: same name, .jpg.

    Example: tumor-detection sample --slides slides/ --truth annotations --output training.csv --num_tumor 5000

    Args:
        slides: slides or folders of slides.
        truth: folder of annotation files or of tumor masks (PNG, npy, pyramidal TIFF; 0/1 or 0/255).
        output: the CSV to write.
        num_tumor: regions with a tumor center, shared equally among the slides as far as each has room.
        num_normal: regions with a normal center, shared likewise; as many as with a tumor center if not given.
        boundary_share: share (0 to 1) of both kinds that lies within 250 µm of the boundary, in slides with tumor.
        stride: level-0 pixels per pixel of the map that is drawn from, one region per pixel at most.
        seed: makes the draw reproducible, whatever the order of the slides.
        normal: names of slides without tumor and without truth, separated by commas.
        foreground_dir: folder of foreground masks made with the same stride; computed if not given.
        tumor_value: the value that is tumor in masks of three values.
        backend: auto, cucim or openslide.
        assume_mpp: µm per level-0 pixel, over what the slides say.
        geojson_origin: bounds if GeoJSON counts from the scanned part of a slide (bounds-x and -y of OpenSlide), as
            QuPath does; slide if it counts from the corner of level 0.
    """
    from scripts.labels.sampling import SampleSettings, sample_regions

    settings = SampleSettings(num_tumor, num_normal, boundary_share, stride, seed)
    summary = sample_regions(
        slides, truth, output, settings, normal, foreground_dir, tumor_value, backend, assume_mpp, geojson_origin
    )
    print(summary)


def mine(
    *,
    maps: str,
    output: str,
    truth: str | None = None,
    verdicts: str | None = None,
    append: str | None = None,
    normal: str = "",
    nms_radius_um: float = 186.624,
    threshold: float = 0.5,
    limit_per_slide: int | None = None,
    tumor_value: int | None = None,
    geojson_origin: str = "bounds",
) -> None:
    """Collect the false positives of probability maps as training regions (hard negatives).

    Writes a CSV as loclabel does; its first rows are the strongest false positive of each slide. False positives are
    detections outside of --truth, or those that a person rejected: --verdicts. Of verdicts, confirmed detections and
    drawn outlines become regions, too, after the negatives; radius, threshold, normal and tumor_value say nothing then.

    Example: tumor-detection mine --maps maps --truth annotations --append training.csv --output training_2.csv

    Args:
        maps: folder of maps made by infer, of slides to train on, never of those to be scored.
        output: the CSV to write.
        truth: folder of tumor masks (PNG, npy, pyramidal TIFF; 0/1 or 0/255) or of annotation files.
        verdicts: folder that review or QuPath wrote, <slide>.geojson, in place of truth.
        append: a CSV whose rows are kept and come first; locations that it has are not written again.
        normal: names of slides without tumor and without truth, separated by commas.
        nms_radius_um: non-maximum suppression radius in µm; the default is the side of a region.
        threshold: probability above which a map's maxima outside of tumor are false positives.
        limit_per_slide: at most so many rows of a slide, the strongest; all if not given.
        tumor_value: the value that is tumor in masks of three values.
        geojson_origin: bounds if GeoJSON counts from the scanned part of a slide (bounds-x and -y of OpenSlide), as
            QuPath does; slide if it counts from the corner of level 0.
    """
    from scripts.errors import InputError
    from scripts.labels.judged import mine_verdicts
    from scripts.labels.mining import mine_hard_negatives

    if verdicts is not None and truth is None:
        print(mine_verdicts(maps, verdicts, output, append, limit_per_slide, geojson_origin))
    elif truth is not None and verdicts is None:
        limits = nms_radius_um, threshold, limit_per_slide
        print(mine_hard_negatives(maps, truth, output, append, normal, *limits, tumor_value, geojson_origin))
    else:
        raise InputError("mine needs one of --truth, a folder of truth, and --verdicts, the folder of a review")


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
    backend: str = "auto",
    assume_mpp: float | None = None,
    geojson_origin: str = "bounds",
) -> None:
    """Write a foreground mask for each slide (step 2).

    Per slide: <name>.png (0 or 255, one pixel per stride x stride level-0 pixels), <name>.json, <name>_overlay.jpg.

    Example: tumor-detection foreground --slides slides/ --output foreground --stride 64

    Args:
        slides: slides or folders of slides.
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
        backend: auto, cucim or openslide.
        assume_mpp: µm per level-0 pixel, over what the slides say; areas need it.
        geojson_origin: bounds if GeoJSON counts from the scanned part of a slide (bounds-x and -y of OpenSlide), as
            QuPath does; slide if it counts from the corner of level 0.
    """
    from scripts.masks.foreground import ForegroundSettings
    from scripts.masks.foreground_files import write_foregrounds

    settings = ForegroundSettings(
        saturation, min_saturation, max_saturation, min_contrast, min_value, max_hole_um2, min_tissue_um2
    )
    written = write_foregrounds(slides, output, stride, settings, backend, assume_mpp, annotations, geojson_origin)
    print(f"{len(written)} foreground masks in {output}")


def groundtruth(
    *, annotations: str, slides: list[str], output: str, stride: int = 64, geojson_origin: str = "bounds"
) -> None:
    """Turn annotations into tumor masks (step 5).

    Per slide: <name>.png (0 or 255, one pixel per stride x stride level-0 pixels) and <name>.json.

    Example: tumor-detection groundtruth --annotations annotations --slides slides/ --output truth

    Args:
        annotations: folder of NCRF JSON, ASAP XML or QuPath GeoJSON, found by slide name.
        slides: slides or folders of slides.
        output: folder for the masks.
        stride: level-0 pixels per mask pixel.
        geojson_origin: bounds if GeoJSON counts from the scanned part of a slide (bounds-x and -y of OpenSlide), as
            QuPath does; slide if it counts from the corner of level 0.
    """
    from scripts.masks.groundtruth import write_groundtruth

    written = write_groundtruth(annotations, slides, output, stride, geojson_origin)
    print(f"{len(written)} tumor masks in {output}")
