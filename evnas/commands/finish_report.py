"""The report of `evnas finish`, as Markdown."""

from collections.abc import Mapping
from typing import Any

from evnas.stats.interval import Interval
from evnas.words import counted

WHAT = {
    "evaluate": "trained weights, as trained",
    "deploy": "deployed form (batch norms folded)",
    "export": "the ONNX file, in ONNX Runtime",
}


def markdown(report: Mapping[str, Any]) -> str:
    """What each step found, and what it cost in accuracy."""
    return "\n".join([*_head(report), "", *_accuracy(report), "", *_speed(report), ""])


def _head(report: Mapping[str, Any]) -> list[str]:
    origin, trained = report["from"], report["steps"]["train"]
    lines = [
        f"# {report['name']}",
        "",
        f"Architecture {report['digest']}, images of {report['resolution']}x"
        f"{report['resolution']} from `{report['data']}`.",
    ]
    if origin:
        lines.append(
            f"Trial {origin['trial']} of `{origin['study']}`, picked as {origin['pick']}."
        )
    lines.append(f"Training: {counted(trained['epochs'], 'epoch')}, {trained['status']}.")
    export = report["steps"]["export"]
    lines.append(
        f"File: `{export['files']['model']['path']}`, {export['bytes']:,} bytes, input "
        f"{' x '.join(map(str, export['input']))}."
    )
    return lines


def _accuracy(report: Mapping[str, Any]) -> list[str]:
    rows = report["accuracy"]
    lines = [
        f"## Accuracy on {counted(rows[0]['images'], 'held-out image')}",
        "",
        "| step | top-1 % [95 %] | loss | cost in top-1, points [95 %] | images lost, won |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        cost = row["cost"]
        lost = "" if cost is None else f"{cost['images_lost']}, {cost['images_won']}"
        change = "" if cost is None else _span(cost["top1_difference_percent"], "+.2f")
        loss = "not known" if row["loss"] is None else f"{row['loss']['mid']:.4f}"
        lines.append(
            f"| {WHAT[row['step']]} | {_span(row['top1_percent'], '.2f')} | {loss} | {change} | "
            f"{lost} |"
        )
        if row["not_finite"]:
            images = counted(row["not_finite"], "image")
            lines.append(f"| | {images} with logits that are not finite | | | |")
    lines += [
        "",
        "Intervals: Wilson's of top-1; of a cost, each step beside the one before it, paired "
        "image by image (Agresti and Min).",
    ]
    return lines


def _speed(report: Mapping[str, Any]) -> list[str]:
    lines = [
        "## Speed of one image",
        "",
        "| runtime | form | latency, ms [95 %] | images/s [95 %] |",
        "| --- | --- | --- | --- |",
    ]
    for row in report["steps"]["bench"]["rows"]:
        if "why_not" in row:
            lines.append(
                f"| {row['runtime']} | {row['form']} | not measured: {row['why_not']} | |"
            )
            continue
        lines.append(
            f"| {row['runtime']} | {row['form']} | {_spelt(row['latency_ms'])} | "
            f"{_spelt(row['throughput_img_s'])} |"
        )
    said = [
        f"- {row['runtime']}, {row['form']}: {warning}"
        for row in report["steps"]["bench"]["rows"]
        for warning in row.get("warnings", ())
    ]
    return [*lines, "", *said] if said else lines


def _span(span: Mapping[str, float] | None, form: str) -> str:
    if span is None:
        return "not known"
    return f"{span['mid']:{form}} [{span['low']:{form}}, {span['high']:{form}}]"


def _spelt(span: Mapping[str, float] | None) -> str:
    return Interval(span["low"], span["mid"], span["high"]).spelt() if span else "not known"
