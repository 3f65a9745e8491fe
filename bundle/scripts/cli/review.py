"""The command that shows slides in the browser for people to judge."""

from __future__ import annotations

from pathlib import Path


def review(
    *,
    maps: str | None = None,
    slides: list[str] | None = None,
    output: str | None = None,
    truth: str | None = None,
    threshold: float = 0.5,
    nms_radius_um: float | None = None,
    tumor_value: int | None = None,
    geojson_origin: str = "bounds",
    order: str | None = None,
    limit: int | None = None,
    against: str | None = None,
    reviewer: str | None = None,
    host: str = "127.0.0.1",
    port: int = 0,
    browser: bool = True,
    compare: list[str] | None = None,
) -> None:
    """Look at slides in the browser, judge what was found and draw what was missed.

    Starts a server on this machine and opens the page. Each verdict is kept at once in <name>.geojson, which QuPath,
    groundtruth, sample and mine read. Needs the extra 'review'. Ctrl-C ends it. With --compare nothing is shown: the
    verdicts of two reviewers are compared.

    Example: tumor-detection review --maps maps --slides slides/ --output verdicts

    Args:
        maps: folder of maps made by infer.
        slides: slides or folders of slides.
        output: folder for the verdicts.
        truth: folder of tumor masks (PNG, npy, pyramidal TIFF; 0/1 or 0/255) or of annotation files, to be shown.
        threshold: probability above which map pixels form lesions and maxima are detections.
        nms_radius_um: non-maximum suppression radius in µm; 186.6 if not given, as in froc.
        tumor_value: the value that is tumor in masks of three values.
        geojson_origin: bounds if GeoJSON counts from the scanned part of a slide (bounds-x and -y of OpenSlide), as
            QuPath does; slide if it counts from the corner of level 0.
        order: in which detections are asked about over all slides, neighbors last: suspicion (the highest probability),
            uncertainty (nearest to 0.5) or disagreement (with the maps of --against); slide by slide if not given.
        limit: detections that are asked about, the first of the order; all if not given.
        against: folder of maps of other weights or of another mode, of the same slides, for disagreement.
        reviewer: your name, kept with each verdict; none if not given.
        host: address of this machine to listen at; other machines reach the page if it is not 127.0.0.1.
        port: to listen at; 0 is any that is free.
        browser: whether to open the page in this machine's browser.
        compare: two folders of verdicts on the same maps: print Cohen's kappa and where they differ.
    """
    from scripts.errors import InputError

    if compare is not None:
        from scripts.review.agreement import compare_reviewers

        if len(compare) != 2 or (maps, slides, output) != (None, None, None):
            raise InputError("--compare takes two folders of verdicts, and no --maps, --slides and --output with them")
        print(compare_reviewers(*compare))
        return
    if maps is None or slides is None or output is None:
        raise InputError("review needs --maps, --slides and --output, or --compare A B; see its --help")
    try:
        from scripts.review.queue import QueueSettings
        from scripts.review.run import run_review
    except ImportError as error:
        raise InputError(
            f"review needs the extra 'review' ({error}): pip install 'pathology-tumor-detection[review]'"
        ) from error
    from scripts.scoring.settings import ScoreSettings

    scoring = ScoreSettings(nms_radius_um, threshold, tumor_value, origin=geojson_origin)
    asking = QueueSettings(order, limit, None if against is None else Path(against))
    run_review(maps, slides, output, truth, scoring, host, port, browser, reviewer, asking)
