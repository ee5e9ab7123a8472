"""Counts published architectures side by side, and says where two of them differ."""

import evnas
from evnas.arch.paths import diff

NAMES = ("efficientvim_m1", "efficientvim_m2", "vssd_micro", "efficient_vmamba_tiny")

for name in NAMES:
    counts = evnas.count(name, resolution=224)
    print(f"{name:22} {counts.params / 1e6:6.2f} M  {counts.macs['exact'] / 1e9:6.3f} GFLOPs")

print("\nefficientvim_m1 -> efficientvim_m2")
m1, m2 = (evnas.build(name, seed=0).arch for name in NAMES[:2])
for path, left, right in diff(m1, m2):
    print(f"  {path}: {left} -> {right}")
