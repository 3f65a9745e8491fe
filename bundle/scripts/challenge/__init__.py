"""The CAMELYON16 challenge from its bucket to its score, stage by stage, so that a night's run goes on where it broke.

Comes in: a folder of the data set, or its bucket; settings. Goes out: the results of each stage, ``stages.json`` and
one report page. Floor: below cli alone; the stages call what the other commands call. `graph` and `cohort` are pure,
`engine` runs stages, `challenge` is what the config runs.
"""
