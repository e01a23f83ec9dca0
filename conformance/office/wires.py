"""What carries frames between an agent and the kit."""

#: A program's standard input and output.
STREAM = "stream"
AMP, ZMQ = "amp", "zmq"
WIRES = (STREAM, AMP, ZMQ)
