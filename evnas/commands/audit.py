"""`evnas audit`: does a proxy rank rows as the paper does?"""

from evnas.commands.options import Study
from evnas.commands.output import AsJson, columns, emit


def audit(study: Study, json: AsJson = False) -> None:
    """Say whether a study's proxy ranks its rows as the paper does, better than FLOPs do."""
    from evnas.proxy.audit import audit as audited
    from evnas.report.table.study_table import load_predictors

    predictors, truth = load_predictors(study)
    lines = audited(predictors, truth)
    rows = []
    for line in lines:
        a = line.agreement
        tau: tuple[object, ...] = ("", "", "", "")
        if a is not None:
            tau = (f"{a.tau:+.2f}", f"{a.low:+.2f}", f"{a.high:+.2f}", a.n)
        rows.append((line.predictor, *tau, line.verdict))
    names = ("predictor", "tau", "low", "high", "n", "verdict")
    data = [
        {
            "predictor": line.predictor,
            **{k: getattr(line.agreement, k, None) for k in ("tau", "low", "high", "n")},
            "verdict": line.verdict,
        }
        for line in lines
    ]
    emit(data, columns(names, rows), json)
