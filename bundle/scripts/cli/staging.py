"""The command that stages nodes and patients."""

from __future__ import annotations


def stage(
    *,
    output: str,
    maps: str | None = None,
    nodes: str | None = None,
    fit: list[str] | None = None,
    patients: str | None = None,
    against_labels: str | None = None,
    reference: list[str] | None = None,
    against: str | None = None,
    classifier: str | None = None,
    threshold: float | None = None,
    min_area_um2: float | None = None,
    micro_um: float | None = None,
    macro_um: float | None = None,
    num_resamples: int = 1000,
    seed: int = 0,
) -> None:
    """Say which node holds what and which pN stage a patient has, by CAMELYON17's rules.

    Writes stage.json, the tables nodes.csv and patients.csv, submission.csv in the challenge's form, and with
    --against_labels confusion.png. With --fit: classifier.skops and what cross-validation says of it.

    Example: tumor-detection stage --maps maps --output stage --against_labels labels.csv

    Args:
        output: folder for the results.
        maps: folder of maps made by infer, one for each node.
        nodes: a table of node classes instead of maps: slide,class, such as patient_000_node_0.tif,negative.
        fit: a folder of maps and a table of their labels, to fit a classifier on; needs the extra 'stage'.
        patients: a table slide,patient; without it the names of the slides say it, as patient_000_node_1 does.
        against_labels: a table of true classes, and of true stages such as patient_000.zip,pN0.
        reference: a challenge's reference table with a column of metastases in place of against_labels, see froc.
        against: another run on the same nodes to compare with: an output of stage, a table of nodes or a folder of
            maps.
        classifier: a classifier that --fit wrote, in place of the rule of the largest lesion; needs the extra 'stage'.
        threshold: probability above which map pixels are evidence of tumor; 0.5 if not given.
        min_area_um2: neighboring pixels above the threshold that cover less are no evidence; 2000 if not given.
        micro_um: a node whose largest lesion is longer is micro; 200 if not given.
        macro_um: a node whose largest lesion is longer is macro; 2000 if not given.
        num_resamples: bootstrap resamples of the patients, for the 95% intervals; 0 leaves them out.
        seed: of the bootstrap, and of a fit.
    """
    from scripts.errors import InputError
    from scripts.scoring.report import Resampling
    from scripts.staging.nodes import NodeSettings
    from scripts.staging.staging import StageSettings, stage_folder
    from scripts.staging.summary import fit_summary, summary

    given = {
        name: value
        for name, value in (
            ("threshold", threshold),
            ("min_area_um2", min_area_um2),
            ("micro_um", micro_um),
            ("macro_um", macro_um),
        )
        if value is not None
    }
    resampling = Resampling(num_resamples, seed)
    if fit is not None:
        from scripts.staging.fitting import fit_folder

        for name, value in (
            ("maps", maps),
            ("nodes", nodes),
            ("classifier", classifier),
            ("against", against),
            ("reference", reference),
        ):
            if value is not None:
                raise InputError(f"{name}: has no part in --fit, which takes its maps and labels; leave it out")
        if len(fit) != 2:
            raise InputError(f"fit: expected a folder of maps and a table of labels, found {' '.join(fit)}; give both")
        print(fit_summary(fit_folder(fit[0], fit[1], output, patients, NodeSettings(**given), resampling)))
        return
    settings = StageSettings(NodeSettings(**given), resampling=resampling)
    if classifier is not None:
        from scripts.staging.classifier import load_classifier

        if given:
            raise InputError(f"{', '.join(given)}: a classifier brings its own, those it was fitted with; leave it out")
        fitted = load_classifier(classifier)
        settings = settings._replace(nodes=fitted.settings, judge=fitted.judge, classifier=classifier)
    print(summary(stage_folder(maps, nodes, output, patients, against_labels, against, settings, reference or ())))
