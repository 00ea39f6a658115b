#!/usr/bin/env python3
"""Runs zk_c_client, a C program on ZooKeeper's own client library, against a server."""

import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path[:0] = [os.path.join(os.path.dirname(HERE), "lib")]

import pandotest  # noqa: E402

PATIENCE = 240


def main():
    options, server_class = pandotest.arguments(__doc__, lambda parser: parser.add_argument(
        "--program", default=os.environ.get("PANDO_ZK_C_CLIENT"), help="the built zk_c_client"))
    if not options.program or not os.path.exists(options.program):
        pandotest.skip("zk_c_client is not built: it needs the package libzookeeper-mt-dev")
    runner = pandotest.Runner(options, server_class)

    def c_client(t):
        with t.server({"tickTime": 1000}) as server:
            done = subprocess.run([options.program, server.hosts], stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT,
                                  timeout=PATIENCE, check=False)
            print("".join("# %s\n" % line
                          for line in done.stdout.decode("utf-8", "replace").splitlines()), end="")
            t.eq(done.returncode, 0, "status")
            t.ok(b" passed, 0 failed" in done.stdout, "its sum")
    runner.run("libzookeeper_mt", c_client)
    runner.finish()


if __name__ == "__main__":
    main()
