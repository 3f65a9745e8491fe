"""Commands that make training regions: from a list of locations, from slides, from maps."""

from __future__ import annotations


def loclabel(
    *,
    coords: str,
    output: str,
    annotations: str | None = None,
    ignore_exclusions: bool = False,
    slides: str | None = None,
    assume_mpp: float | None = None,
    geojson_origin: str = "bounds",
    corrections: str | None = None,
) -> None:
    """Label a 3 x 3 grid of 256 px cells around each location (step 1).

    Writes a CSV: slide, x, y and nine 0/1 labels, column by column; a cell is tumor if its center is.

    Example: tumor-detection loclabel --coords train.txt --annotations annotations --output training.csv

    Args:
        coords: file of NCRF's lines 'slide,x,y', the region's center in level-0 pixels.
        output: the CSV to write.
        annotations: folder of NCRF JSON, ASAP XML or QuPath GeoJSON, found by slide name; a table of slides may list
            them instead.
        ignore_exclusions: count excluded areas as tumor, as NCRF did.
        slides: folder or table of the slides; if given, locations outside their slide are refused, and cells are 256 px
            wide at the model's resolution rather than at level 0.
        assume_mpp: µm per level-0 pixel of the slides, over what they say.
        geojson_origin: bounds if GeoJSON counts from the scanned part of a slide (bounds-x and -y of OpenSlide), as
            QuPath does; slide if it counts from the corner of level 0. Without --slides all count from there.
        corrections: CSV file of slide, action (remove, normal or tumor) and reason, see docs/slide_tables.md.
    """
    from scripts.labels.loclabel import generate_loclabels

    settings = ignore_exclusions, slides, assume_mpp, geojson_origin, corrections
    print(generate_loclabels(coords, annotations, output, *settings))


def sample(
    *,
    slides: list[str],
    output: str,
    truth: str | None = None,
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
    corrections: str | None = None,
    reference: list[str] | None = None,
) -> None:
    """Draw training regions from slides and their truth, where there is no file of locations.

    Writes a CSV as loclabel does, and a picture of the slides with the points beside it: same name, .jpg.

    Example: tumor-detection sample --slides slides/ --truth annotations --output training.csv --num_tumor 5000

    Args:
        slides: slides, folders of slides, or a table of slides (docs/slide_tables.md).
        output: the CSV to write.
        truth: folder of annotation files or of tumor masks (PNG, npy, pyramidal TIFF; 0/1 or 0/255); a table of slides
            may list them instead.
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
        corrections: CSV file of slide, action (remove, normal or tumor) and reason, see docs/slide_tables.md.
        reference: a table of the slides' classes, or several, which makes --normal needless; see froc.
    """
    from scripts.labels.sampling import SampleSettings, sample_regions

    settings = SampleSettings(num_tumor, num_normal, boundary_share, stride, seed)
    reading = foreground_dir, tumor_value, backend, assume_mpp, geojson_origin
    print(sample_regions(slides, truth, output, settings, normal, *reading, corrections, reference or ()))


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
    slides: list[str] | None = None,
    corrections: str | None = None,
) -> None:
    """Collect the false positives of probability maps as training regions (hard negatives).

    Writes a CSV as loclabel does; its first rows are the strongest false positive of each slide. False positives are
    detections outside of --truth, or those that a person rejected: --verdicts. Of verdicts, confirmed detections and
    drawn outlines become regions, too, after the negatives; radius, threshold, normal, tumor_value and
    corrections say nothing then.

    Example: tumor-detection mine --maps maps --truth annotations --append training.csv --output training_2.csv

    Args:
        maps: folder of maps made by infer, of slides to train on, never of those to be scored.
        output: the CSV to write.
        truth: folder of tumor masks (PNG, npy, pyramidal TIFF; 0/1 or 0/255) or of annotation files; a table of slides
            may list them instead.
        verdicts: folder that review or QuPath wrote, <slide>.geojson, in place of truth.
        append: a CSV whose rows are kept and come first; locations that it has are not written again.
        normal: names of slides without tumor and without truth, separated by commas.
        nms_radius_um: non-maximum suppression radius in µm; the default is the side of a region.
        threshold: probability above which a map's maxima outside of tumor are false positives.
        limit_per_slide: at most so many rows of a slide, the strongest; all if not given.
        tumor_value: the value that is tumor in masks of three values.
        geojson_origin: bounds if GeoJSON counts from the scanned part of a slide (bounds-x and -y of OpenSlide), as
            QuPath does; slide if it counts from the corner of level 0.
        slides: slides, folders of slides, or a table of slides (docs/slide_tables.md): for the truth that a table
            lists, and for the scanned part, which maps of other programs do not state.
        corrections: CSV file of slide, action (remove, normal or tumor) and reason, see docs/slide_tables.md.
    """
    from scripts.errors import InputError
    from scripts.labels.judged import mine_verdicts
    from scripts.labels.mining import mine_hard_negatives

    has_truth = truth is not None or bool(slides)
    if has_truth == (verdicts is not None):
        raise InputError("mine needs one of --truth, a folder of truth, and --verdicts, the folder of a review")
    if verdicts is not None:
        print(mine_verdicts(maps, verdicts, output, append, limit_per_slide, geojson_origin))
        return
    limits = nms_radius_um, threshold, limit_per_slide
    summary = mine_hard_negatives(
        *(maps, truth, output, append, normal, *limits, tumor_value, geojson_origin, slides or (), corrections)
    )
    print(summary)
