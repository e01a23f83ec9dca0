"""The fleet's page in Buildbot's web interface: a plugin of `buildbot.www`.

What it shows is made here (`feed`, `orders`: pure; `application`: HTTP) and in `master_bridge.fleet`; how it looks is
`static/scripts.js`, written by hand against the libraries that Buildbot's own page puts on `window`, without Node.js or
a bundler. Nothing else of the master imports from here but `buildbot/broker.py`, which feeds it.

Not here: asking the broker or agents for anything; it shows what the bridge has heard.
"""
