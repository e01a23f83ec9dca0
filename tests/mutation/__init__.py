"""Does a test notice each small change of the code? Tries changes for a time, names what nobody noticed.

    make mutation                                             an hour of it
    make mutation MINUTES=5 ARGS='contracts.trust.tickets*'         some modules
    .venv/bin/mutmut browse                                   what was changed

mutmut makes the changes (mutants.py). Tests are loaded once, in one process; each change is tried by a child of it
(trials.py, children.py) that runs the tests that reach what was changed (reach.py), nearest first (nearest.py), up to
the first that fails. What is changed and which tests run is in pyproject.toml (`tool.mutmut`). Results stay in
`mutants/`, from where a later run goes on. `survivors.txt` has each change that no test notices and why none has to;
another one is a failure.
"""
