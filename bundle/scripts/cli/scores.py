"""Commands that score, show and export probability maps."""

from __future__ import annotations


def froc(
    *,
    output: str,
    truth: str | None = None,
    maps: str | None = None,
    detections: str | None = None,
    normal: str = "",
    exclude: str = "",
    against: str | None = None,
    slides: list[str] | None = None,
    mpp: float | None = None,
    nms_radius_um: float | None = None,
    threshold: float = 0.5,
    slide_threshold: float = 0.5,
    tumor_value: int | None = None,
    rules: str = "camelyon16",
    num_resamples: int = 1000,
    seed: int = 0,
    geojson_origin: str = "bounds",
    protocol: str = "physical",
    reference: list[str] | None = None,
    slide_scores: str | None = None,
    corrections: str | None = None,
) -> None:
    """Score probability maps, or detections, by CAMELYON16's FROC (step 6).

    Writes froc.json, the curves froc.png and roc.png, the tables lesions.csv and slides.csv, and detections/<name>.csv
    (confidence,x,y in level-0 pixels).

    Example: tumor-detection froc --maps maps --truth truth --output scores --normal test_003,test_005

    Args:
        output: folder for the results.
        truth: folder of tumor masks (PNG, npy, pyramidal TIFF; 0/1 or 0/255) or of annotation files; a table of slides
            may list them instead.
        maps: folder of maps made by infer.
        detections: folder of <name>.csv, instead of maps: lines confidence,x,y in level-0 pixels.
        normal: names of slides without tumor and without truth, separated by commas.
        exclude: names of slides to leave out, separated by commas; camelyon16 stands for the challenge's
            list: test_049, and test_114 of which only the lesions are left out.
        against: folder of another run's maps, detections or scores, on the same slides, to compare with.
        slides: slides, folders of slides, or a table of slides (docs/slide_tables.md); those without a map are
            warned of, and detections take shape and scale from them where the truth says neither.
        mpp: µm per level-0 pixel of all slides, for detections.
        nms_radius_um: non-maximum suppression radius in µm; 186.6 if not given, NCRF's 12 pixels at level 6.
        threshold: probability above which a map's maxima are detections.
        slide_threshold: probability above which a slide's highest makes it a slide with tumor.
        tumor_value: the value that is tumor in masks of three values.
        rules: camelyon16, or monai to reproduce MONAI's LesionFROC.
        num_resamples: bootstrap resamples of the slides, for the 95% intervals; 0 leaves them out.
        seed: of the bootstrap.
        geojson_origin: bounds if GeoJSON counts from the scanned part of a slide (bounds-x and -y of OpenSlide), as
            QuPath does; slide if it counts from the corner of level 0.
        protocol: physical, or camelyon16 to score as the challenge did: 0.243 µm per level-0 pixel for all slides,
            annotations sampled as its masks are, its list of slides.
        reference: the challenge's reference table, a CSV file of slide, class, histological type and metastasis, or
            several; normal is needless with it.
        slide_scores: a CSV file of slide,score that counts for whole slides in place of the highest probabilities,
            such as nodes.csv of stage.
        corrections: CSV file of slide, action (remove, normal or tumor) and reason, see docs/slide_tables.md.
    """
    from scripts.scoring.evaluation import score_folder
    from scripts.scoring.settings import ScoreSettings
    from scripts.scoring.summary import summary

    settings = ScoreSettings(
        nms_radius_um, threshold, tumor_value, slide_threshold, rules, num_resamples, seed, geojson_origin, protocol
    )
    found = score_folder(
        maps,
        truth,
        output,
        normal,
        settings,
        detections,
        slides or (),
        mpp,
        exclude,
        against,
        reference=reference or (),
        slide_scores=slide_scores,
        corrections=corrections,
    )
    print(summary(found))


def report(
    *,
    maps: str,
    output: str,
    truth: str | None = None,
    slides: list[str] | None = None,
    normal: str = "",
    exclude: str = "",
    nms_radius_um: float | None = None,
    threshold: float = 0.5,
    tumor_value: int | None = None,
    num_resamples: int = 1000,
    num_crops: int = 4,
    max_slides: int = 150,
    title: str = "",
    note: str = "",
    geojson_origin: str = "bounds",
    protocol: str = "physical",
    reference: list[str] | None = None,
    corrections: str | None = None,
) -> None:
    """Show probability maps as one HTML page, with scores if there is truth (step 7).

    Writes report.html, which holds all its pictures; with --truth also what froc writes.

    Example: tumor-detection report --maps maps --slides slides/ --truth truth --output report

    Args:
        maps: folder of maps made by infer.
        output: folder for the page.
        truth: folder of tumor masks (PNG, npy, pyramidal TIFF; 0/1 or 0/255) or of annotation files; a table of slides
            may list them instead.
        slides: slides, folders of slides, or a table of slides (docs/slide_tables.md), for thumbnails and details; a
            slide not among them is shown as its map.
        normal: names of slides without tumor and without truth, separated by commas.
        exclude: names of slides to show but not to score, separated by commas; camelyon16 as in froc.
        nms_radius_um: non-maximum suppression radius in µm; 186.6 if not given, NCRF's 12 pixels at level 6.
        threshold: probability above which a map's maxima are detections.
        tumor_value: the value that is tumor in masks of three values.
        num_resamples: bootstrap resamples of the slides, for the 95% intervals; 0 leaves them out.
        num_crops: detections of each slide, the strongest, that are shown at full resolution.
        max_slides: slides, the most suspicious, that are shown in pictures; all are in the table.
        title: of the page.
        note: a remark at the top of the page.
        geojson_origin: bounds if GeoJSON counts from the scanned part of a slide (bounds-x and -y of OpenSlide), as
            QuPath does; slide if it counts from the corner of level 0.
        protocol: physical, or camelyon16 to score as the challenge did, see froc.
        reference: the challenge's reference table, see froc.
        corrections: CSV file of slide, action (remove, normal or tumor) and reason, see docs/slide_tables.md.
    """
    from scripts.report.report import ReportSettings, write_report
    from scripts.scoring.settings import ScoreSettings

    scoring = ScoreSettings(
        nms_radius_um, threshold, tumor_value, num_resamples=num_resamples, origin=geojson_origin, protocol=protocol
    )
    settings = ReportSettings(num_crops, max_slides, title, note)
    print(
        write_report(
            maps, output, truth, slides or (), normal, exclude, scoring, settings, reference or (), corrections
        )
    )


def export(
    *,
    maps: str,
    output: str,
    format: list[str],
    threshold: float = 0.5,
    nms_radius_um: float = 186.624,
    min_area_um2: float = 0.0,
    slides: list[str] | None = None,
    geojson_origin: str = "bounds",
) -> None:
    """Write probability maps in forms that other programs open.

    Writes a folder for each format: lesions and detections for QuPath (geojson), ASAP (asap) and tables (csv);
    heatmaps as ome-tiff, zarr (or ome-zarr, the same) and dicom (Parametric Map). The last two need the extra 'export'.

    Example: tumor-detection export --maps maps --output exports --format geojson,ome-tiff

    Args:
        maps: folder of maps made by infer.
        output: folder for the results.
        format: one or several of geojson, asap, csv, ome-tiff, zarr, dicom.
        threshold: probability above which map pixels form lesions and maxima are detections.
        nms_radius_um: non-maximum suppression radius in µm, as in froc.
        min_area_um2: lesions below this area in square µm are left out.
        slides: slides or folders of slides; dicom takes patient, study and place from slides that are DICOM, and
            geojson the scanned part, which maps of other programs do not state.
        geojson_origin: bounds if GeoJSON counts from the scanned part of a slide (bounds-x and -y of OpenSlide), as
            QuPath does; slide if it counts from the corner of level 0.
    """
    from scripts.exports.export import export_maps
    from scripts.maps.findings import FindingSettings

    settings = FindingSettings(threshold, nms_radius_um, min_area_um2)
    print(export_maps(maps, output, format, settings, slides, geojson_origin))
