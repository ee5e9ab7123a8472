"""Training-free scores of an untrained model: cheap rivals that a proxy has to beat.

Higher means better in all of them. None knows the labels' meaning but `grad_norm`, `snip` and
`zico`; whether any ranks better than counting FLOPs is what `evnas audit` asks.
"""
