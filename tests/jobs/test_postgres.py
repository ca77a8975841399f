"""Jobs in PostgreSQL: workers share them, one dies, the server goes away and comes back."""

import signal
from collections.abc import Callable
from typing import Any


def test_two_workers_share_and_one_is_killed(
    site: Callable[..., Any], postgres: Any, until: Callable[..., None]
) -> None:
    it = site(f'database = "{postgres.database()}"\nrunning = 1')
    workers = [it.work(), it.work()]
    jobs = {it.run(*do): do for do in ([f"write:{job}.{step}" for step in range(1 + job % 3)] for job in range(40))}
    slow = [it.run("write:x", "sleep:2", "write:y") for _ in range(4)]
    until(lambda: sum(it.phase(url) == "EXECUTING" for url in slow) == 2)  # on both
    workers[0].kill()
    for url, do in jobs.items():
        it.check(url, do)
    for url in slow:
        it.check(url, ["write:x", "sleep:2", "write:y"])


def test_a_server_that_goes_away_is_waited_for(
    site: Callable[..., Any], own_postgres: Any, until: Callable[..., None]
) -> None:
    it = site(f'database = "{own_postgres.database()}"')
    worker = it.work()
    it.check(it.run("write:1"), ["write:1"])
    url = it.run("write:a", "sleep:3", "write:b")
    until(lambda: it.phase(url) == "EXECUTING")
    own_postgres.stop()
    answer = it.client.get(url)
    assert answer.status_code == 503 and answer.text.startswith("ServiceUnavailable: ")
    assert "retry-after" in answer.headers
    own_postgres.start()
    it.check(url, ["write:a", "sleep:3", "write:b"])
    it.check(it.run("write:2"), ["write:2"])
    assert worker.poll() is None


def test_a_worker_is_told_to_stop_while_the_server_is_away(
    site: Callable[..., Any], own_postgres: Any, until: Callable[..., None]
) -> None:
    it = site(f'database = "{own_postgres.database()}"')
    worker = it.work()
    url = it.run("sleep:600")
    until(lambda: it.phase(url) == "EXECUTING")
    own_postgres.stop()
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(60) == 0
    own_postgres.start()
    it.work()
    until(lambda: it.phase(url) == "EXECUTING")
    it.client.post(f"{url}/phase", data={"PHASE": "ABORT"})
