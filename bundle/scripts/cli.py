"""The command ``tumor-detection``: parses arguments, calls one function, prints one line when something is wrong.

Everything is imported as ``scripts.*`` from the bundle's folder, as MONAI's configs do, so that each module exists
once; and inside the functions, so that ``--help`` is quick.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import fire
from fire.decorators import SetParseFns
from fire.helptext import HelpText
from fire.trace import FireTrace

BUNDLE_ROOT = Path(__file__).resolve().parents[1]


def loclabel(
    *,
    coords: str,
    annotations: str,
    output: str,
    ignore_exclusions: bool = False,
    slides: str | None = None,
    assume_mpp: float | None = None,
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
    """
    from scripts.loclabel import generate_loclabels

    print(generate_loclabels(coords, annotations, output, ignore_exclusions, slides, assume_mpp))


def foreground(
    *,
    slides: list[str],
    output: str,
    stride: int = 64,
    saturation: float | None = None,
    min_saturation: float = 0.05,
    max_saturation: float = 0.2,
    min_contrast: float = 0.05,
    min_value: float = 0.1,
    max_hole_um2: float = 50_000.0,
    min_tissue_um2: float = 20_000.0,
    annotations: str | None = None,
    backend: str = "auto",
    assume_mpp: float | None = None,
) -> None:
    """Write a foreground mask for each slide (step 2).

    Per slide: <name>.png (0 or 255, one pixel per stride x stride level-0 pixels), <name>.json, <name>_overlay.jpg.

    Example: tumor-detection foreground --slides slides/ --output foreground --stride 64

    Args:
        slides: slides or folders of slides.
        output: folder for the masks.
        stride: level-0 pixels per mask pixel.
        saturation: saturation (0 to 1) from which on a pixel is tissue; Otsu's threshold if not given.
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
    """
    from scripts.foreground import ForegroundSettings, write_foregrounds

    settings = ForegroundSettings(
        saturation, min_saturation, max_saturation, min_contrast, min_value, max_hole_um2, min_tissue_um2
    )
    written = write_foregrounds(slides, output, stride, settings, backend, assume_mpp, annotations)
    print(f"{len(written)} foreground masks in {output}")


def train(**overrides: Any) -> None:
    """Train the patch classifier (step 3); flags are ids of configs/train.json.

    Writes model.pt (best by validation AUC), last.pt (to resume from) and TensorBoard events to output_dir.
    Run again with the same flags, it resumes.

    Example: tumor-detection train --dataset_dir slides --training_file training.csv --validation_file valid.csv

    Args:
        overrides: --dataset_dir, --training_file, --validation_file, --output_dir, --epochs, --batch_size (regions
            of nine patches), --learning_rate, --weights, --num_workers, --seed, --resume and every other id
            (docs/configs.md), nested ones as train#trainer#max_epochs; --config_file FILE... lays overlays on top.
    """
    _run("training", "train.json", overrides)


def infer(
    *,
    ray: str | None = None,
    workers: int | None = None,
    worker_cpus: float | None = None,
    worker_gpus: float | None = None,
    **overrides: Any,
) -> None:
    """Make probability maps of slides (step 4); flags are ids of configs/inference.json.

    Per slide: <name>.npy (float32, one value per stride x stride level-0 pixels) and <name>.json.

    Example: tumor-detection infer --slides slides/ --output_dir maps --stride 64

    Args:
        ray: run on a Ray cluster: its address, auto, or local for the processors of this machine (docs/scaling.md).
        workers: processes on the cluster; as many as fit if not given.
        worker_cpus: processors of each; one more than --num_workers if not given.
        worker_gpus: GPUs of each, such as 1 or 0.5; 1 if not given and the cluster has any.
        overrides: --slides PATH..., --output_dir, --foreground_dir, --weights, --stride (level-0 pixels),
            --batch_size (patches), --num_workers, --precision, --assume_mpp (µm per level-0 pixel), --backend and
            every other id (docs/configs.md); --config_file FILE... lays overlays on top.
    """
    if ray is not None:
        from scripts.cluster import Request, infer_on_cluster

        overlays = overrides.pop("config_file", [])
        overlays = [overlays] if isinstance(overlays, str) else overlays
        infer_on_cluster(Request(ray, workers, worker_cpus, worker_gpus), overrides, overlays)
        return
    if (workers, worker_cpus, worker_gpus) != (None, None, None):
        from scripts.errors import InputError

        raise InputError(
            "--workers, --worker_cpus and --worker_gpus are for a cluster; add --ray ADDRESS or --ray local"
        )
    _run("inference", "inference.json", overrides)


def groundtruth(*, annotations: str, slides: list[str], output: str, stride: int = 64) -> None:
    """Turn annotations into tumor masks (step 5).

    Per slide: <name>.png (0 or 255, one pixel per stride x stride level-0 pixels) and <name>.json.

    Example: tumor-detection groundtruth --annotations annotations --slides slides/ --output truth

    Args:
        annotations: folder of NCRF JSON, ASAP XML or QuPath GeoJSON, found by slide name.
        slides: slides or folders of slides.
        output: folder for the masks.
        stride: level-0 pixels per mask pixel.
    """
    from scripts.groundtruth import write_groundtruth

    written = write_groundtruth(annotations, slides, output, stride)
    print(f"{len(written)} tumor masks in {output}")


def froc(
    *,
    truth: str,
    output: str,
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
) -> None:
    """Score probability maps, or detections, by CAMELYON16's FROC (step 6).

    Writes froc.json, the curves froc.png and roc.png, the tables lesions.csv and slides.csv, and detections/<name>.csv
    (confidence,x,y in level-0 pixels).

    Example: tumor-detection froc --maps maps --truth truth --output scores --normal test_003,test_005

    Args:
        truth: folder of tumor masks (PNG, npy, pyramidal TIFF; 0/1 or 0/255) or of annotation files.
        output: folder for the results.
        maps: folder of maps made by infer.
        detections: folder of <name>.csv, instead of maps: lines confidence,x,y in level-0 pixels.
        normal: names of slides without tumor and without truth, separated by commas.
        exclude: names of slides to leave out, separated by commas; camelyon16 stands for test_049 and test_114.
        against: folder of another run's maps, detections or scores, on the same slides, to compare with.
        slides: slides or folders of slides; those without a map are warned of, and detections take shape and scale
            from them where the truth says neither.
        mpp: µm per level-0 pixel of all slides, for detections.
        nms_radius_um: non-maximum suppression radius in µm; 186.6 if not given, NCRF's 12 pixels at level 6.
        threshold: probability above which a map's maxima are detections.
        slide_threshold: probability above which a slide's highest makes it a slide with tumor.
        tumor_value: the value that is tumor in masks of three values.
        rules: camelyon16, or monai to reproduce MONAI's LesionFROC.
        num_resamples: bootstrap resamples of the slides, for the 95% intervals; 0 leaves them out.
        seed: of the bootstrap.
    """
    from scripts.evaluation import score_folder
    from scripts.score_report import summary
    from scripts.score_settings import ScoreSettings

    settings = ScoreSettings(nms_radius_um, threshold, tumor_value, slide_threshold, rules, num_resamples, seed)
    print(summary(score_folder(maps, truth, output, normal, settings, detections, slides or (), mpp, exclude, against)))


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
) -> None:
    """Show probability maps as one HTML page, with scores if there is truth (step 7).

    Writes report.html, which holds all its pictures; with --truth also what froc writes.

    Example: tumor-detection report --maps maps --slides slides/ --truth truth --output report

    Args:
        maps: folder of maps made by infer.
        output: folder for the page.
        truth: folder of tumor masks (PNG, npy, pyramidal TIFF; 0/1 or 0/255) or of annotation files.
        slides: slides or folders of slides, for thumbnails and details; a slide not among them is shown as its map.
        normal: names of slides without tumor and without truth, separated by commas.
        exclude: names of slides to show but not to score, separated by commas; camelyon16 stands for two.
        nms_radius_um: non-maximum suppression radius in µm; 186.6 if not given, NCRF's 12 pixels at level 6.
        threshold: probability above which a map's maxima are detections.
        tumor_value: the value that is tumor in masks of three values.
        num_resamples: bootstrap resamples of the slides, for the 95% intervals; 0 leaves them out.
        num_crops: detections of each slide, the strongest, that are shown at full resolution.
        max_slides: slides, the most suspicious, that are shown in pictures; all are in the table.
        title: of the page.
        note: a remark at the top of the page.
    """
    from scripts.report import ReportSettings, write_report
    from scripts.score_settings import ScoreSettings

    scoring = ScoreSettings(nms_radius_um, threshold, tumor_value, num_resamples=num_resamples)
    settings = ReportSettings(num_crops, max_slides, title, note)
    print(write_report(maps, output, truth, slides or (), normal, exclude, scoring, settings))


def metrics(
    *,
    output: str,
    folders: list[str] | None = None,
    tables: list[str] | None = None,
    weights: str | None = None,
    config_file: list[str] | None = None,
    num_resamples: int = 1000,
    seed: int = 0,
) -> None:
    """Score a network on labelled patch pictures: AUC, precision, accuracy, calibration.

    Writes patches.json, the reliability curve reliability.png and the logits patches.csv.

    Example: tumor-detection metrics --folders pcam/valid --output scores/patches

    Args:
        output: folder for the results.
        folders: folders with a subfolder 0 of normal and 1 of tumor patches.
        tables: CSV files with the columns file and label, beside their pictures.
        weights: the network's weights; the bundle's own if not given.
        config_file: overlays on train.json and train_patches.json, such as train_10x.json.
        num_resamples: bootstrap resamples of the patches, for the 95% intervals; 0 leaves them out.
        seed: of the bootstrap.
    """
    from scripts.patch_scores import score_patches, summary

    print(summary(score_patches(output, weights, folders or (), tables or (), config_file or (), num_resamples, seed)))


def calibrate(
    *,
    output: str,
    folders: list[str] | None = None,
    tables: list[str] | None = None,
    weights: str | None = None,
    config_file: list[str] | None = None,
) -> None:
    """Make a network's probabilities say how often they are right, by a temperature fitted on validation patches.

    Writes weights with the temperature folded into the last layer; no other file or flag is needed to use them.

    Example: tumor-detection calibrate --folders pcam/valid --weights run/model.pt --output run/calibrated.pt

    Args:
        output: the weights to write.
        folders: folders with a subfolder 0 of normal and 1 of tumor patches, neither trained nor tested on.
        tables: CSV files with the columns file and label, beside their pictures.
        weights: the network's weights; the bundle's own if not given.
        config_file: overlays on train.json and train_patches.json, such as train_10x.json.
    """
    from scripts import temperature

    print(temperature.calibrate(output, weights, folders or (), tables or (), config_file or ()))


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
    """
    from scripts.sampling import SampleSettings, sample_regions

    settings = SampleSettings(num_tumor, num_normal, boundary_share, stride, seed)
    print(sample_regions(slides, truth, output, settings, normal, foreground_dir, tumor_value, backend, assume_mpp))


def mine(
    *,
    maps: str,
    truth: str,
    output: str,
    append: str | None = None,
    normal: str = "",
    nms_radius_um: float = 186.624,
    threshold: float = 0.5,
    limit_per_slide: int | None = None,
    tumor_value: int | None = None,
) -> None:
    """Collect the false positives of probability maps as training regions (hard negatives).

    Writes a CSV as loclabel does; its first rows are the strongest false positive of each slide.

    Example: tumor-detection mine --maps maps --truth annotations --append training.csv --output training_2.csv

    Args:
        maps: folder of maps made by infer, of slides to train on, never of those to be scored.
        truth: folder of tumor masks (PNG, npy, pyramidal TIFF; 0/1 or 0/255) or of annotation files.
        output: the CSV to write.
        append: a CSV whose rows are kept and come first; locations that it has are not written again.
        normal: names of slides without tumor and without truth, separated by commas.
        nms_radius_um: non-maximum suppression radius in µm; the default is the side of a region.
        threshold: probability above which a map's maxima outside of tumor are false positives.
        limit_per_slide: at most so many rows of a slide, the strongest; all if not given.
        tumor_value: the value that is tumor in masks of three values.
    """
    from scripts.mining import mine_hard_negatives

    print(
        mine_hard_negatives(maps, truth, output, append, normal, nms_radius_um, threshold, limit_per_slide, tumor_value)
    )


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
    from scripts.download import SOURCE, download_camelyon16

    print(download_camelyon16(output, slides, what, source or SOURCE, endpoint, num_at_once))


def export(
    *,
    maps: str,
    output: str,
    format: list[str],
    threshold: float = 0.5,
    nms_radius_um: float = 186.624,
    min_area_um2: float = 0.0,
    slides: list[str] | None = None,
) -> None:
    """Write probability maps in forms that other programs open.

    Writes a folder for each format: lesions and detections for QuPath (geojson), ASAP (asap) and tables (csv);
    heatmaps as ome-tiff, zarr (OME-Zarr) and dicom (Parametric Map). The last two need the extra 'export'.

    Example: tumor-detection export --maps maps --output exports --format geojson,ome-tiff

    Args:
        maps: folder of maps made by infer.
        output: folder for the results.
        format: one or several of geojson, asap, csv, ome-tiff, zarr, dicom.
        threshold: probability above which map pixels form lesions and maxima are detections.
        nms_radius_um: non-maximum suppression radius in µm, as in froc.
        min_area_um2: lesions below this area in square µm are left out.
        slides: slides or folders of slides; dicom takes patient, study and place from slides that are DICOM.
    """
    from scripts.findings import FindingSettings
    from scripts.map_exports import export_maps

    settings = FindingSettings(threshold, nms_radius_um, min_area_um2)
    print(export_maps(maps, output, format, settings, slides))


def demo(*, output: str, seed: int = 0) -> None:
    """Run every step on a small synthetic cohort, in a few minutes and without any data.

    Example: tumor-detection demo --output demo

    Args:
        output: folder for the cohort and all results.
        seed: makes the cohort and the training reproducible.
    """
    from scripts.demo import run_demo

    run_demo(output, seed)


def doctor(*, slides: list[str] | None = None, backend: str = "auto", assume_mpp: float | None = None) -> None:
    """Say what this machine can do, and for each slide whether it opens and what would be read.

    Example: tumor-detection doctor --slides slides/

    Args:
        slides: slides or folders of slides.
        backend: auto, cucim or openslide.
        assume_mpp: µm per level-0 pixel, over what the file says.
    """
    from scripts import doctor as examination
    from scripts.errors import InputError

    report, failures = examination.doctor(slides, backend, assume_mpp)
    print(report)
    if failures:
        raise InputError(f"{failures} slides cannot be read; see above")


def package(*, output: str) -> None:
    """Put the bundle together as the model zoo holds it: a folder and a zip, pathology_tumor_detection.

    Refuses when version, changelog, pins, metadata, card or files do not agree. Needs a checkout of the repository.

    Example: tumor-detection package --output zoo

    Args:
        output: folder for both.
    """
    from scripts.release import package_bundle

    print(package_bundle(output))


COMMANDS: dict[str, Callable[..., None]] = {
    command.__name__: command
    for command in (
        *(
            demo,
            doctor,
            download,
            loclabel,
            sample,
            foreground,
            train,
            infer,
            groundtruth,
            froc,
            report,
            export,
            mine,
            metrics,
            calibrate,
            package,
        ),
    )
}
_CONFIGS = {"train": "train.json", "infer": "inference.json"}


def main(argv: Sequence[str] | None = None) -> None:
    """Run a command; exits with status 1 and one line on standard error when something is wrong."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    if str(BUNDLE_ROOT) not in sys.path:
        sys.path.insert(0, str(BUNDLE_ROOT))
    from scripts.errors import explain

    logging.basicConfig(level=logging.INFO if debug else logging.WARNING, format="%(levelname)s: %(message)s")
    if not debug:
        _hide_engine_exceptions()
    try:
        _dispatch(arguments)
    except KeyboardInterrupt:
        sys.exit("interrupted; what was finished is kept")
    except Exception as error:  # the one place that turns any failure into a line and a status
        if debug:
            traceback.print_exc()
        _end_progress_bars()
        sys.exit(f"error: {explain(error)}")


def _dispatch(arguments: list[str]) -> None:
    from scripts.arguments import check_flags, find_command, join_values, parsers, split_values
    from scripts.workflow import find_overlays

    words = [argument for argument in arguments if argument not in ("--help", "-h")]
    command = find_command(words[0], COMMANDS) if words else None
    if command is None or len(words) < len(arguments):
        _print_help(command)
        return
    name = command.__name__
    if name == "download":
        words = _without_data_set(words)
    flags = join_values(words[1:], command)
    configs: list[Path] = []
    if name in _CONFIGS:
        configs = [BUNDLE_ROOT / "configs" / _CONFIGS[name], *find_overlays(split_values(flags.get("config_file")))]
    check_flags(flags, command, configs)
    joined = [f"--{flag}" if value is None else f"--{flag}={value}" for flag, value in flags.items()]
    SetParseFns(**parsers(command, flags))(command)
    fire.Fire(COMMANDS, command=[name, *joined], name="tumor-detection")


def _without_data_set(words: list[str]) -> list[str]:
    """``download camelyon16 --output ...`` without the data set's name, which is the only one."""
    from scripts.errors import InputError

    if words[1:2] != ["camelyon16"]:
        raise InputError("download needs a data set, camelyon16: tumor-detection download camelyon16 --output FOLDER")
    return [words[0], *words[2:]]


def _print_help(command: Callable[..., None] | None) -> None:
    """Fire's help on standard output, without its remarks on itself and its quotes."""
    name = "tumor-detection" if command is None else f"tumor-detection {command.__name__}"
    component = COMMANDS if command is None else command
    text = HelpText(component, trace=FireTrace(component, name=name)).replace(f"'{name}'", name)
    text = re.sub(r"(Type: )(?:Optional\[)?'(.+?)(?: \| None)?'\]?", r"\1\2", text)
    try:
        print(text, flush=True)
    except BrokenPipeError:  # the reader, such as head, has seen enough; without this Python complains at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _hide_engine_exceptions() -> None:
    """The engines log an exception with its traceback before they raise it; it is printed once, at the end."""

    def is_no_exception(record: logging.LogRecord) -> bool:
        return record.exc_info is None and "terminating due to exception" not in str(record.msg)

    for engine in ("SupervisedTrainer", "SupervisedEvaluator"):
        logging.getLogger(f"ignite.engine.engine.{engine}").addFilter(is_no_exception)


def _end_progress_bars() -> None:
    """A progress bar that was interrupted would share its line with the error."""
    if "tqdm" in sys.modules:
        for bar in list(getattr(sys.modules["tqdm"].tqdm, "_instances", ())):
            bar.close()


def _run(run_id: str, config: str, overrides: dict[str, Any]) -> None:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # MLflow reports as soon as MONAI imports it
    from scripts.workflow import run_bundle

    overlays = overrides.pop("config_file", [])
    run_bundle(run_id, config, overrides, [overlays] if isinstance(overlays, str) else overlays)


if __name__ == "__main__":
    main()
