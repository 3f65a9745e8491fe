"""Draw nodes of many lesion sizes, choose what a lesion is on them, and judge the rule and a classifier on others.

Everything here is synthetic: maps are drawn, by no network. Prints kappa for each threshold and least area on a first
cohort, and on a second one kappa of the rule with its defaults and of a classifier that was fitted on the first.

    python benchmarks/staging.py --output output/drawn
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bundle"))

from scripts.maps.files import read_map, read_map_infos
from scripts.scoring.report import Resampling
from scripts.staging.agreement import Calls, agreement_report
from scripts.staging.classifier import load_classifier
from scripts.staging.fitting import fit_folder
from scripts.staging.nodes import CLASSES, NodeSettings, find_node_lesions, node_class
from scripts.staging.patients import patient_of
from scripts.staging.staging import StageSettings, stage_folder
from scripts.staging.summary import fit_summary, summary
from scripts.staging.tables import read_labels
from scripts.synthetic.nodes import write_nodes

THRESHOLDS = (0.3, 0.5, 0.7, 0.9)
AREAS_UM2 = (0.0, 500.0, 1000.0, 2000.0, 4000.0)


def print_grid(maps: Path, labels: Path) -> None:
    """Kappa of nodes for each threshold and least area."""
    table = read_labels(labels)
    infos = read_map_infos(maps)
    called: dict[tuple[float, float], list[str]] = {}
    for info in infos:
        prob_map = read_map(info)
        for threshold in THRESHOLDS:
            for area in AREAS_UM2:
                settings = NodeSettings(threshold, area)
                lesions = find_node_lesions(prob_map, info, settings)
                name = node_class(float(lesions.extent_um[0]) if lesions.regions else None, settings)
                called.setdefault((threshold, area), []).append(name)
    truth = [table.classes[info.name] for info in infos]
    groups = [patient_of(info.name) or info.name for info in infos]
    print("kappa of nodes    " + "".join(f"{area:>8g}" for area in AREAS_UM2) + "  um2 at least")
    for threshold in THRESHOLDS:
        kappas = [
            agreement_report(Calls(truth, called[threshold, area], groups), CLASSES, 0, 0)["kappa"]
            for area in AREAS_UM2
        ]
        print(f"threshold {threshold:<8g}" + "".join(f"{kappa:>8.3f}" for kappa in kappas))


def main() -> None:
    """Draw, choose, fit, judge."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", required=True)
    parser.add_argument("--patients", type=int, default=40, help="of each of the two cohorts")
    arguments = parser.parse_args()
    output = Path(arguments.output)
    cohorts = [write_nodes(output / name, arguments.patients, seed) for seed, name in enumerate(("first", "second"))]
    print("first cohort, drawn")
    print_grid(*cohorts[0])
    print(fit_summary(fit_folder(*cohorts[0], output / "fit")))
    maps, labels = cohorts[1]
    fitted = load_classifier(output / "fit" / "classifier.skops")
    by_classifier = StageSettings(fitted.settings, fitted.judge, "classifier.skops", Resampling())
    print("second cohort, drawn: the rule")
    print(summary(stage_folder(maps, None, output / "rule", None, labels)))
    print("second cohort, drawn: the classifier of the first")
    print(summary(stage_folder(maps, None, output / "classified", None, labels, output / "rule", by_classifier)))


if __name__ == "__main__":
    main()
