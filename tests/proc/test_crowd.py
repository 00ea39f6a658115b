#!/usr/bin/env python3
"""A crowd: several I/O threads and a thousand busy connections, while sessions come and go, watches fire and
every four-letter word is asked for. Meant for the thread sanitizer's build, where a data race between the
threads of daemon/run is printed and makes the server's exit status non-zero; in any build it catches a
server that loses, mixes up or stops answering requests under that load (the load generator checks each)."""

import os
import subprocess
import sys
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path[:0] = [os.path.join(os.path.dirname(HERE), "lib")]

import pandotest  # noqa: E402

WORDS = ("ruok", "srvr", "stat", "mntr", "conf", "cons", "isro", "envi", "wchs", "dump")
PATIENCE = 300
LOADS = [
    ("mixed", ["--connections", "1000", "--in-flight", "4", "--read-share", "50", "--seconds", "5", "mixed"]),
    ("sessions", ["--connections", "1500", "--root", "/s", "sessions"]),
    ("watch", ["--connections", "200", "--root", "/w", "watch"]),
    ("create", ["--connections", "64", "--in-flight", "8", "--seconds", "3", "--root", "/c", "create"]),
]


def ask_words(t, server, stop, answered):
    while not stop.is_set():
        for word in WORDS:
            text = server.word(word)
            t.ok(text, "an answer to %s" % word)
            answered[word] = answered.get(word, 0) + 1


def crowd(t):
    load = os.environ["PANDO_LOAD"]
    with t.server({"ioThreads": 4, "tickTime": 1000}) as s:
        stop, answered = threading.Event(), {}
        asker = threading.Thread(target=ask_words, args=(t, s, stop, answered))
        asker.start()
        try:
            running = [(name, subprocess.Popen([load, "--server", "127.0.0.1:%d" % s.port] + args,
                                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                               stderr=subprocess.STDOUT)) for name, args in LOADS]
            for name, process in running:
                out, _ = process.communicate(timeout=PATIENCE)
                t.eq(process.returncode, 0, "load %s: status (%s)" % (name, out.decode()))
        finally:
            stop.set()
            asker.join()
        t.eq(len(answered), len(WORDS), "every word was answered")
        status = s.terminate(PATIENCE)
        t.eq(status, 0, "exit status")
        text = s.stderr()
        t.ok("anitizer" not in text, "no sanitizer report in %s" % text[:8000])


def main():
    options, server_class = pandotest.arguments(__doc__)
    runner = pandotest.Runner(options, server_class)
    runner.run("a thousand busy connections, four I/O threads", crowd)
    runner.finish()


if __name__ == "__main__":
    main()
