"""Components of the pathology tumor detection bundle; configs name them as ``scripts.<module>.<name>``."""
