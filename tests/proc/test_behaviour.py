#!/usr/bin/env python3
"""What people's ZooKeeper clients rely on, checked on a bare socket: see the files in behaviour/.

With --zookeeper the same checks run against Debian's ZooKeeper: where both agree, the expectation
is real.
"""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path[:0] = [os.path.join(os.path.dirname(HERE), "lib"), HERE]

import behaviour  # noqa: E402
import behaviour.handshake  # noqa: E402,F401
import behaviour.frames  # noqa: E402,F401
import behaviour.watches  # noqa: E402,F401
import behaviour.paths  # noqa: E402,F401
import behaviour.operations  # noqa: E402,F401
import behaviour.multi  # noqa: E402,F401
import behaviour.sessions  # noqa: E402,F401
import behaviour.words  # noqa: E402,F401
import pandotest  # noqa: E402


def main():
    options, server_class = pandotest.arguments(__doc__)
    runner = pandotest.Runner(options, server_class)
    settings = {"maxClientCnxns": 0, "4lw.commands.whitelist": "*"}
    with runner.server(settings) as server:
        for name, function, own_server in behaviour.RULES:
            if server.process.poll() is not None:
                print("# the server ended with status %s; started again. It said:\n%s"
                      % (server.process.poll(), server.output.text()[-4000:]), flush=True)
                runner.failed_tests += 1
                server.kill9()
                server.start()
            runner.run(name, function, *([] if own_server else [server]))
    runner.finish()


if __name__ == "__main__":
    main()
