"""What clients of ZooKeeper rely on, as checks on a bare socket: one file per chapter.

A test is a function (t, s): the runner and a server that it shares with the others; it is
registered with `@rule("...")` under the name of the rule it checks.
"""

import itertools

RULES = []
_numbers = itertools.count(1)


def rule(name, own_server=False):
    """Registers a test. With own_server it is called with the runner only and starts its servers
    itself."""
    def register(function):
        RULES.append((name, function, own_server))
        return function
    return register


def area(client, acl=None):
    """A new node of this test's own directly below the root; its path."""
    kwargs = {} if acl is None else {"acl": acl}
    return client.must("create", "/t%d" % next(_numbers), b"", **kwargs)
