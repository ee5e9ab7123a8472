"""Times two small models in alternation, so that a busy machine slows both alike."""

import evnas

M1 = "efficientvim_m1"
narrow = evnas.build(M1).arch.to_dict()
for stage, dim in zip(narrow["stages"], (64, 96, 160), strict=True):
    stage["dim"] = dim

found = evnas.bench(narrow, base=M1, device="cpu", resolution=64, batch_size=1, budget_s=1)
print(found.text())
ratio = found.record.measurements["throughput_ratio"].interval()
print(f"half as wide runs {ratio.mid:.2f} times as fast [{ratio.low:.2f}, {ratio.high:.2f}]")
