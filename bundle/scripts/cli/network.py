"""Commands that run the network, train it or hand it on."""

from __future__ import annotations

import os
from typing import Any


def train(**overrides: Any) -> None:
    """Train the patch classifier (step 3); flags are ids of configs/train.json.

    Writes model.pt (best by validation AUC), model.json (what it is for), last.pt (to resume from) and TensorBoard
    events to output_dir.
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
        from scripts.cluster.cluster import infer_on_cluster
        from scripts.cluster.worker_pool import Request

        overlays = overrides.pop("config_file", [])
        overlays = [overlays] if isinstance(overlays, str) else overlays
        print(infer_on_cluster(Request(ray, workers, worker_cpus, worker_gpus), overrides, overlays))
        return
    if (workers, worker_cpus, worker_gpus) != (None, None, None):
        from scripts.errors import InputError

        raise InputError(
            "--workers, --worker_cpus and --worker_gpus are for a cluster; add --ray ADDRESS or --ray local"
        )
    from scripts.cli.monai_import import import_monai, needs_all

    overlays = overrides.get("config_file", [])
    if not needs_all(overrides, [overlays] if isinstance(overlays, str) else overlays):
        import_monai()
    _run("inference", "inference.json", overrides)


def camelyon16(**overrides: Any) -> None:
    """Take part in CAMELYON16: from its slides to its score, in one run; flags are ids of configs/camelyon16.json.

    Runs again what changed and goes on with what was interrupted. Writes a folder for each stage, and
    report/report.html with the score beside published ones.

    Example: tumor-detection camelyon16 --root camelyon16 --output challenge --weights shipped

    Args:
        overrides: --root (the data set), --output, --plan (say what a run would do), --weights shipped or FILE (no
            training), --from STAGE (begin anew there), --subset N (slides of each kind) and every other id
            (docs/camelyon16.md); --config_file FILE... lays overlays on top.
    """
    _run("run", "camelyon16.json", overrides)


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
        weights: the network's weights; the bundle's own for these settings if not given.
        config_file: overlays on train.json and train_patches.json, such as train_10x.json.
        num_resamples: bootstrap resamples of the patches, for the 95% intervals; 0 leaves them out.
        seed: of the bootstrap.
    """
    from scripts.scoring.patches import score_patches, summary

    print(summary(score_patches(output, weights, folders or (), tables or (), config_file or (), num_resamples, seed)))


def calibrate(
    *,
    output: str,
    folders: list[str] | None = None,
    tables: list[str] | None = None,
    weights: str | None = None,
    config_file: list[str] | None = None,
    offset: bool = False,
) -> None:
    """Make a network's probabilities say how often they are right, by a temperature fitted on validation patches.

    Writes weights with the temperature folded into the last layer; no other file or flag is needed to use them.

    Example: tumor-detection calibrate --folders pcam/valid --weights run/model.pt --output run/calibrated.pt

    Args:
        output: the weights to write.
        folders: folders with a subfolder 0 of normal and 1 of tumor patches, neither trained nor tested on.
        tables: CSV files with the columns file and label, beside their pictures.
        weights: the network's weights; the bundle's own for these settings if not given.
        config_file: overlays on train.json and train_patches.json, such as train_10x.json.
        offset: true adds a number to all logits, too; it fits the share of tumor among these patches, and moves 0.5.
    """
    from scripts.scoring import temperature

    print(temperature.calibrate(output, weights, folders or (), tables or (), config_file or (), offset))


def package(
    *, output: str, format: str = "bundle", weights: str | None = None, config_file: list[str] | None = None
) -> None:
    """Put the bundle together as a model zoo holds it: MONAI's, or WSInfer's, from which QuPath runs the network.

    For MONAI a folder and a zip, pathology_tumor_detection; refuses when version, changelog, pins, metadata, card or
    files do not agree, and needs a checkout of the repository. For WSInfer torchscript_model.pt and config.json.

    Example: tumor-detection package --format wsinfer --output pathology_tumor_detection

    Args:
        output: folder for both files.
        format: bundle for MONAI's model zoo, wsinfer for WSInfer's.
        weights: of the network, for wsinfer; the bundle's own for these settings if not given.
        config_file: overlays on inference.json, for wsinfer, such as screen_10x.json.
    """
    from scripts.errors import InputError
    from scripts.release.release import package_bundle
    from scripts.release.wsinfer import package_wsinfer

    if format not in ("bundle", "wsinfer"):
        raise InputError(f"format: expected bundle or wsinfer, found {format!r}; give one of them")
    if format == "wsinfer":
        print(package_wsinfer(output, weights, config_file or ()))
        return
    if weights is not None or config_file is not None:
        raise InputError("weights, config_file: the bundle holds all of its own; leave them, or add --format wsinfer")
    print(package_bundle(output))


def demo(*, output: str, seed: int = 0) -> None:
    """Find a metastasis in a strip of real tissue, then run every step on drawn slides, in a few minutes.

    Example: tumor-detection demo --output demo

    Args:
        output: folder for the drawn cohort and all results; those of the real tissue are in real_tissue/.
        seed: makes the cohort and the training reproducible.
    """
    from scripts.synthetic.demo import run_demo

    run_demo(output, seed)


def _run(run_id: str, config: str, overrides: dict[str, Any]) -> None:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # MLflow reports as soon as MONAI imports it
    from scripts.workflow import run_bundle

    overlays = overrides.pop("config_file", [])
    run_bundle(run_id, config, overrides, [overlays] if isinstance(overlays, str) else overlays)
