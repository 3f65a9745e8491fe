"""From labelled patches to weights: what ``train.json`` and its overlays wire.

Comes in: slides with the loclabel file of ``labels``, or labelled patch pictures. Goes out: ``model.pt`` for
``network`` and ``inference``, ``last.pt`` to resume. Floor: below ``cli``, beside ``synthetic``. `patches` and
`patch_images` read, `augmentation` and `jitter` change, `handlers` steer, `checkpoints` write.
"""
