"""The Trainings tab: whole trainings of a study's trials, in a browser."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from made_front import arch_of, made_study
from playwright.sync_api import Browser, expect

from evnas.store.trainings import KeptTraining, keep_training

HALF = KeptTraining(
    trial="3",
    digest=arch_of("3").digest,
    data="images",
    recipe_name="efficientvim:base",
    status="running",
    output="runs/3",
    seed=0,
    resolution=64,
    epochs=1,
    of_epochs=2,
    written=1.8e9,
    curve=({"epoch": 1.0, "loss": 2.0, "top1_percent": 50.0, "ema_top1_percent": 40.0},),
)
SECOND = {"epoch": 2.0, "loss": 1.0, "top1_percent": 61.25, "ema_top1_percent": 60.0}


def test_it_draws_curves_and_how_far_each_is(
    tmp_path: Path, serve: Any, chromium: Browser, watch: Any
) -> None:
    study = made_study(tmp_path / "made")
    server, pages = serve(tmp_path), watch(chromium)
    page = pages.open(f"{server.url}/#study=made")
    expect(page.locator("#tab-conditions")).to_be_visible()
    assert page.locator("#tab-trainings").count() == 0  # of a study without one there is no tab
    keep_training(study, HALF, {})
    other = replace(HALF, trial="0", output="runs/0", curve=(), epochs=0)  # of a study begun anew
    keep_training(study, other, {})
    page.reload()
    page.locator("#tab-trainings").click()
    for name in ("trainings", "trainings-loss"):
        expect(page.locator(f"#figure-{name} .main-svg").first).to_be_visible()
    rows = page.get_by_role("region", name="Trainings").locator("tbody tr")
    mine = rows.filter(has_text="runs/3")
    expect(mine).to_contain_text("1 of 2")
    expect(rows.filter(has_text="runs/0")).to_contain_text("0 of 2")
    assert rows.filter(has_text="runs/0").locator("button").count() == 0
    whole = replace(HALF, status="complete", epochs=2, curve=(*HALF.curve, SECOND))
    keep_training(study, whole, {})
    page.reload()
    expect(mine).to_contain_text("2 of 2")
    expect(mine).to_contain_text("61.25")
    mine.get_by_role("button", name="3").click()
    expect(page).to_have_url(re.compile("trial=3"))
    pages.close()
    pages.check()
    server.stop()
