"""A mixer of another package does all that ours do, by an entry point and by `add`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PLUGINS = Path(__file__).parents[1] / "plugin_package"

TRIAL = """
import sys
from pathlib import Path

from evnas.arch.spec import ArchSpec
import evnas.sweep.sweep
assert "torch" not in sys.modules and "evnas_example_plugins.mixer" not in sys.modules
{registration}
import torch, yaml
from evnas import build, deploy
from evnas.commands.exporting import write_export
from evnas.measure.counting.flops import count

sweep = evnas.sweep.sweep.load_sweep(Path("sweep.yaml"))
text = '''
stem: {{}}
stages:
- {{depth: 1, dim: 16, block: efficientvim, mixer: {{kind: mean_mix}}}}
- {{depth: 1, dim: 24, block: vssd, mixer: {{kind: mean_mix, share: 0.25}}}}
- {{depth: 1, dim: 24, block: vss, mixer: {{kind: mean_mix}}}}
- {{depth: 1, dim: 24, block: evss, mixer: {{kind: mean_mix}}}}
downsample: vssd
norm: partial_ln
num_classes: 5
'''
arch = ArchSpec.from_dict(yaml.safe_load(text))
assert ArchSpec.from_dict(arch.to_dict()) == arch
assert arch.to_dict()["stages"][1]["mixer"] == {{"kind": "mean_mix", "share": 0.25}}
assert "MeanMixSpec" in ArchSpec.model_json_schema()["$defs"]
model = build(arch, seed=0).double().eval()
x = torch.randn(1, 3, 96, 64, dtype=torch.float64)
for layout in ("channels_last", "contiguous"):
    torch.testing.assert_close(deploy(model, layout=layout)(x), model(x).detach())
counted = count(arch, 64)
assert counted.params == sum(p.numel() for p in model.parameters())
assert counted.macs["exact"] > 0
for ending in ("pt2", "onnx"):
    out = Path(f"m.{{ending}}")
    write_export(arch, out, weights=None, resolution=64, batch_size=1, form="deployed")
for raw, reason in (
    ({{"kind": "mean_mx"}}, "did you mean 'mean_mix'?"),
    ({{"kind": "mean_mix", "share": 2}}, "stages[0].mixer.share: must be at most 1"),
):
    data = arch.to_dict()
    data["stages"][0]["mixer"] = raw
    try:
        ArchSpec.from_dict(data)
    except Exception as e:
        assert reason in str(e), e
    else:
        raise AssertionError(raw)
"""
BY_ADD = """
from evnas.mixers import MIXERS
from evnas_example_plugins.mixer import MIXER
MIXERS.add("mean_mix", MIXER)
"""
SWEEP = """
name: outside
base: vssd_micro
rows:
  means: {"stages[*].mixer": {kind: mean_mix, share: 0.1}, head.fusion: none}
targets: []
"""


@pytest.mark.parametrize("road", ["entry point", "add"])
def test_a_mixer_of_another_package(road: str, tmp_path: Path) -> None:
    if road == "entry point":
        info = tmp_path / "evnas_example_plugins-1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            "Metadata-Version: 2.1\nName: evnas-example-plugins\nVersion: 1\n"
        )
        (info / "entry_points.txt").write_text(
            "[evnas.mixers]\nmean_mix = evnas_example_plugins.mixer:MIXER\n"
        )
    (tmp_path / "sweep.yaml").write_text(SWEEP)
    trial = tmp_path / "trial.py"
    trial.write_text(TRIAL.format(registration=BY_ADD if road == "add" else ""))
    path = os.pathsep.join([str(tmp_path), str(PLUGINS), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "trial.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert done.returncode == 0, done.stderr
