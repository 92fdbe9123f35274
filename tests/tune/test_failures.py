"""Reasons for the end of a trial's process, from errors that Ray reports; without Ray."""

from morl.tune.on_ray import failures


def test_a_broken_connection_is_a_lost_machine_only_where_one_is_gone(monkeypatch):
    broken = "The actor is temporarily unavailable: RpcError: RPC error: Socket closed rpc_code: 14."
    alive = [frozenset("ab"), frozenset("ab"), frozenset("a")]
    monkeypatch.setattr(failures, "live_nodes", lambda: alive.pop(0) if len(alive) > 1 else alive[0])
    assert failures.is_lost(broken, frozenset("ab"))
    assert not failures.is_lost(broken, frozenset("a"))  # the only machine there is
    alive[:] = [frozenset("ab")]
    assert not failures.is_lost(broken, frozenset("ab"), seconds=0.1)
    assert failures.is_lost("The actor died because its node has died.", frozenset("a"))


def test_a_reason_is_one_line_that_tells_most():
    error = "Traceback:\n  File x\nThe worker died unexpectedly.\n  Worker exit type: SYSTEM_ERROR\nmore\n"
    assert failures.reason(error) == "its process ended: Worker exit type: SYSTEM_ERROR"
    assert failures.reason("a\n\n  b  c \n") == "its process ended: b c"
    assert failures.reason("") == "its process ended: no reason given"
