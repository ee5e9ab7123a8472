"""Makes a folder that looks as if pip had installed this package there."""

from pathlib import Path

ENTRY_POINTS = """
[evnas.mixers]
mean_mix = evnas_example_plugins.mixer:MIXER
[evnas.blocks]
post_norm = evnas_example_plugins.block:BLOCK
[evnas.strategies]
deepest_first = evnas_example_plugins.strategy:DeepestFirstSpec
[evnas.phases]
last_map = evnas_example_plugins.phase:PHASE
[evnas.objectives]
channels = evnas_example_plugins.objective:channels
[evnas.scores]
weight_mass = evnas_example_plugins.score:weight_mass
[evnas.runtimes]
taped = evnas_example_plugins.runtime:RUNTIME
[evnas.datasets]
squares = evnas_example_plugins.dataset:squares
[evnas.panels]
blocks_seen = evnas_example_plugins.panel:PANEL
"""


def install(folder: Path, entry_points: str = ENTRY_POINTS) -> None:
    """Write the distribution's metadata, for a folder on the path."""
    info = folder / "evnas_example_plugins-1.dist-info"
    info.mkdir(parents=True)
    head = "Metadata-Version: 2.1\nName: evnas-example-plugins\nVersion: 1\n"
    (info / "METADATA").write_text(head)
    (info / "entry_points.txt").write_text(entry_points)
