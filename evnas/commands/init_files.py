"""The files that `evnas init` writes: text with comments, which people go on with by hand."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from evnas.words import counted

ROWS = 4
SECONDS_A_ROW = 15.0
"""Counting, predicting and timing one."""
SLOW_IMAGES_S = 60.0
"""Images a second that the short training of a row does on two slow cores."""
EPOCH = 1600
"""Image presentations."""
BATCH = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Images:
    """What is trained on."""

    data: str | Mapping[str, str]
    """`proxy.data`."""
    about: str = ""
    """What a folder holds, in a sentence."""
    batch_size: int = BATCH
    """What a training takes at once: with few images less than usual."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """The answers that a file is written from."""

    name: str
    file: str
    images: Images | None
    minutes: float
    machine: str


def sweep_text(beginning: Beginning) -> str:
    """A sweep of four rows around EfficientViM-M1."""
    trained = beginning.images is not None
    return f"""{_head(beginning)}
# What every row starts from: a name of `evnas models`, or an architecture's YAML file.
base: efficientvim_m1

# A row changes the base by paths. A changes nothing: ratios and differences are to it.
rows:
  A: {{}}
  fewer states: {{"stages[*].mixer.states": [25, 16, 9]}}
  no fusion: {{head.fusion: none}}
  attention last: {{"stages[2].mixer": {{kind: sa, heads: 4}}, head.fusion: none}}

# Trainings of each row, by seed: two tell whether a difference is more than luck.
seeds: {"[0, 1]" if trained else "[0]"}

# What speed is measured on, each row in alternation with A. `auto` is the GPU where there is one.
# Another target is another line, such as {{device: cpu, runtime: onnx, batch_size: 1}}.
targets:
  - {{device: auto, runtime: torch, resolution: 224, batch_size: auto}}

# ImageNet top-1 as it is predicted from printed results, with an interval; trains nothing.
predict: {{}}
{_proxy(beginning, _sweep_epochs(beginning.minutes))}"""


def search_text(beginning: Beginning) -> str:
    """A search around EfficientViM-M1, for speed and accuracy."""
    accuracy = "predicted_top1_percent" if beginning.images is None else "top1_percent"
    confirm = "" if beginning.images is None else _CONFIRM
    return f"""{_head(beginning)}
# What the space varies, and what speeds are the ratio to.
base: efficientvim_m1

space:
  axes:  # path -> what may stand there
    "stages[*].dim": {{increasing: {{int: {{low: 96, high: 384, step: 32}}}}}}
    "stages[*].depth": {{each: [1, 2, 3]}}
    "stages[*].mixer":
      each:
        choice:  # each kind of mixer with axes of its own
          hsm_ssd: {{states: [9, 16, 25, 49], expand: [0.5, 1.0]}}
          nc_ssd: {{states: [9, 16, 25, 49], heads: [2, 4, 8], expand: 1.0}}
          sa: {{heads: [4, 8]}}
    head.fusion: [hidden, features, none]

# Who proposes: random, grid, one_at_a_time, tpe, nsga2, nsga3, gp, evolution or mo_asha.
strategy: {{kind: evolution, seed: 0}}

# What the front is of. throughput_ratio is taken in alternation with the base, so that a noisy
# machine spoils it little.
objectives: {{throughput_ratio: max, {accuracy}: max}}

# What breaks one of these is dropped as soon as that is known.
constraints: [params_m <= 12, macs_g <= 0.5]

# When it ends, whichever comes first; started again, a search that was stopped goes on.
budget: {{minutes: {beginning.minutes:g}, trials: 400}}
{confirm}
# What speed is measured on. No runtime is named, so each candidate runs in the fastest here.
targets: [{{device: auto, resolution: 224, batch_size: auto}}]
{_proxy(beginning, 1)}"""


_CONFIRM = """
# The final front is measured and trained again, until each member has two seeds.
confirm: {seeds: 2}
"""


def _head(beginning: Beginning) -> str:
    file = beginning.file
    lines = {
        "check": "is the file right, and what does it mean?",
        "plan": "what would run, and for how long?",
        "sweep": "run it; after a stop the same command goes on",
    }
    said = [f"#   evnas {command:5} {file}    {what}" for command, what in lines.items()]
    return "\n".join(
        [
            f"# Written by `evnas init` for {beginning.machine}; "
            f"about {counted(beginning.minutes, 'minute', form='g')}.",
            "# Change what you like, then",
            *said,
            "",
            "# Names the study's folder, results/NAME.",
            f"name: {json.dumps(beginning.name)}",
            "",
        ]
    )


def _proxy(beginning: Beginning, epochs: int) -> str:
    images = beginning.images
    if images is None:
        return """
# A short training of every candidate; none trains nothing.
proxy: none
"""
    about = f"# {images.about}\n" if images.about else ""
    data = json.dumps(images.data, ensure_ascii=False)
    return f"""
# A short training of every candidate on small images. It says which of them learns better, as far
# as so short a training can; it is no ImageNet accuracy. More epochs and width tell more.
{about}proxy:
  data: {data}
  resolution: 56  # behind a stem of stride 4 the stages see the maps of 224 behind one of 16
  stem_stride: 4
  width: 0.5  # every dim times this
  epochs: {epochs}
  images_per_epoch: {EPOCH}
  batch_size: {images.batch_size}
"""


def _sweep_epochs(minutes: float) -> int:
    """Of each training of a sweep of two seeds that is to fit."""
    left_s = max(0.0, 60 * minutes - ROWS * SECONDS_A_ROW)
    return max(1, int(left_s * SLOW_IMAGES_S / (2 * ROWS * EPOCH)))
