"""The token mixers: one folder each, and their table, which is read without torch.

A mixer of another package is an entry point of the group `evnas.mixers`; one of a script is put
in by `MIXERS.add(mixer.kind, mixer)`. docs/extending/mixer.md adds one.
"""

from evnas.mixers.mixer import Mixer, MixerRegistry
from evnas.mixers.spec import MixerSpec

MIXERS = MixerRegistry(
    {
        "hsm_ssd": "evnas.mixers.hsm_ssd.spec:MIXER",
        "nc_ssd": "evnas.mixers.nc_ssd.spec:MIXER",
        "sa": "evnas.mixers.sa.spec:MIXER",
        "ss2d": "evnas.mixers.ss2d.spec:MIXER",
        "es2d": "evnas.mixers.es2d.spec:MIXER",
    }
)

__all__ = ["MIXERS", "Mixer", "MixerSpec"]
