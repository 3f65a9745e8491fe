"""From lesions to nodes and patients: the class of a node, the pN stage of a patient, and how far they are right.

Comes in: probability maps of ``maps``, or tables of node classes. Goes out: ``stage.json`` with tables, pictures and
the form that CAMELYON17 takes; a classifier of maps. Floor: beside ``report``, above ``scoring``. `staging` stages a
folder; `nodes`, `patients`, `agreement` and `features` are pure.
"""
