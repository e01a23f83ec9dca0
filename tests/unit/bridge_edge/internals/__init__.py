"""What leans on Buildbot beyond its documented interfaces."""
