"""Does a test notice each small change of the code? Runs mutmut for a time, names what nobody noticed.

    make mutation                                             an hour of it
    make mutation MINUTES=5 ARGS='contracts.trust.tickets*'         some modules
    .venv/bin/mutmut browse                                   what was changed

What is changed and which tests run is in pyproject.toml (`tool.mutmut`). Results stay in `mutants/`, from where a later
run goes on. `survivors.txt` has each change that no test notices and why none has to; another one is a failure. How
mutmut is used is in mutants.py.
"""
