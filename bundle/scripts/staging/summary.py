"""A staging in a few lines, for the console."""

from __future__ import annotations

from typing import Any

from ..errors import counted


def summary(report: dict[str, Any]) -> str:
    """The report as a few lines for the console; its warnings were logged when they were found.

    Args:
        report: what ``stage.json`` holds.

    Returns:
        Several lines, without a line break at the end.
    """
    lines = [_counts(report["num_nodes"], "nodes", report["classes"])]
    lines.append(_counts(report["num_patients"], "patients", {k: n for k, n in report["stages"].items() if n}))
    for name in ("nodes", "patients"):
        found = (report["agreement"] or {}).get(name)
        if found is not None:
            lines.append(f"{name} against labels: {kappa_text(found)}, {_right(found)}")
    for name in ("nodes", "patients"):
        found = (report["comparison"] or {}).get(name)
        if found is not None:
            lines.append(f"{name}, kappa against {report['comparison']['against']}: {_difference(found)}")
    return "\n".join(lines)


def _counts(total: int, what: str, numbers: dict[str, int]) -> str:
    return f"{total} {what}: " + (", ".join(f"{count} {name}" for name, count in numbers.items()) or "none")


def kappa_text(report: dict[str, Any]) -> str:
    """Kappa with its interval in words.

    Args:
        report: of `agreement.agreement_report`.
    """
    if report["kappa"] is None:
        return "quadratic kappa undefined"
    pair = report["kappa_interval"]
    return f"quadratic kappa {report['kappa']:.3f}" + ("" if pair is None else f" [{pair[0]:.3f}, {pair[1]:.3f}]")


def fit_summary(report: dict[str, Any]) -> str:
    """A fit in a few lines for the console.

    Args:
        report: what ``fit.json`` holds.

    Returns:
        Several lines, without a line break at the end.
    """
    lines = [
        _counts(report["num_nodes"], "nodes", report["classes"])
        + f"; {counted(report['num_patients'], 'patient')} in {counted(report['num_folds'], 'fold')}"
    ]
    for name in ("nodes", "patients"):
        lines += [
            f"{name}, {label}: {kappa_text(report[key][name])}, {_right(report[key][name])}"
            for key, label in (("cross_validated", "classifier"), ("rule", "rule"))
        ]
        lines.append(f"{name}, classifier against the rule: {_difference(report['difference'][name])}")
    return "\n".join(lines)


def _right(found: dict[str, Any]) -> str:
    return f"{round(found['accuracy'] * found['num'])} of {found['num']} right"


def _difference(found: dict[str, Any]) -> str:
    if found["kappa_difference"] is None:
        return "undefined"
    pair, p = found["kappa_difference_interval"], found["kappa_p_value"]
    return (
        f"{found['kappa_difference']:+.4f}"
        + ("" if pair is None else f" [{pair[0]:+.3f}, {pair[1]:+.3f}]")
        + ("" if p is None else f", p {p:.3g}")
    )
