"""Object stores and web servers: read, write, stage on the local disk, download CAMELYON16.

Comes in: addresses such as ``s3://bucket/key``. Goes out: local files. Floor: above ``network``.
"""
