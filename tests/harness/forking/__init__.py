"""Masters forked from a process that has imported Buildbot: four fifths of a master's start are its imports."""
