"""Archives that agents send (`DirectoryUpload`), unpacked on the master without trusting anything that they say.

Buildbot unpacks with `tarfile.extractall`, on Pythons without `tarfile.data_filter` (3.10 before .12, 3.11 before .4)
without any filter. Here archives are read and unpacked by ourselves, alike on every Python: `source` decompresses,
`members` reads headers, `unpacking` writes. All work is done in small steps, so that the reactor gets its turns.

Not here: anything of Buildbot or Twisted.
"""
