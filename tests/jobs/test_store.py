"""The rows of jobs, in SQLite and PostgreSQL: who may change what, and when."""

import dataclasses
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from imageserv.core.batch import Outcome, ResultFile
from imageserv.core.errors import ConfigurationFault, NotFoundFault, RefusedFault, UnavailableFault
from imageserv.core.jobs.model import PHASES, Job, JobError, JobFilter, Progress
from imageserv.core.jobs.store import JobQuotas, JobStore
from imageserv.core.jobs.tables import open_tables

QUOTAS = JobQuotas(all=100, owner=3, anonymous=5)
NOTHING = Outcome((), ())
ERROR = JobError("UsageError: no", transient=False)
DONE = Outcome((ResultFile("a.fits", "application/fits", 2880),), (ResultFile("m.xml", "text/xml", 7),))


@pytest.fixture
def store(database: str) -> Iterator[JobStore]:
    store = JobStore(database)
    yield store
    store.close()


numbers = itertools.count()


def new(**changed: Any) -> Job:
    now = time.time()
    job = Job(
        id=f"job{next(numbers):06}",
        owner=None,
        run_id=None,
        phase="PENDING",
        created=now,
        queued=None,
        started=None,
        ended=None,
        quote=None,
        destruction=now + 1000,
        duration=60,
        spent=0.0,
        parameters=(("ID", "a"), ("ID", "b"), ("pos", "CIRCLE 1 2 3")),
        uploads={"t": "f00"},
        refused={},
        attempts=0,
        worker=None,
        progress=Progress(),
        error=None,
        results=(),
        manifest=(),
    )
    return dataclasses.replace(job, **changed)


def create(store: JobStore, **changed: Any) -> str:
    job = new(**changed)
    store.create(job, QUOTAS)
    return job.id


def test_a_job_comes_back_as_it_was(store: JobStore) -> None:
    job = new(
        owner="zoë",
        run_id="☉" * 64,
        queued=1.5,
        refused={"SKY/image": "no"},
        parameters=(("é", "\n\0"), ("", "")),
        progress=Progress(3, 2, 1, 10**12, 10**13, 1e-3),
    )
    store.create(job, QUOTAS)
    assert store.get(job.id) == job


def in_phase(store: JobStore, phase: str) -> str:
    """Bring a job into a phase the way that jobs get there; w executes it, or did."""
    identifier = create(store, owner=f"owner of {phase} {next(numbers)}")
    if phase == "PENDING":
        return identifier
    store.run(identifier, {})
    if phase == "QUEUED":
        return identifier
    assert store.begin(identifier, "w")
    if phase == "COMPLETED":
        assert store.end(identifier, "w", DONE, None, 1.0)
    elif phase == "ERROR":
        assert store.end(identifier, "w", ERROR, None, 1.0)
    elif phase == "ABORTED":
        store.abort(identifier)
    return identifier


@pytest.mark.parametrize("phase", PHASES)
def test_each_phase_leads_where_it_may(store: JobStore, phase: str) -> None:
    def after(act: Callable[[str], object]) -> str:
        identifier = in_phase(store, phase)
        assert store.get(identifier).phase == phase
        try:
            act(identifier)
        except RefusedFault as fault:
            assert phase in fault.message
            assert store.get(identifier).phase == phase
            return "refused"
        return store.get(identifier).phase

    ended = phase in ("COMPLETED", "ERROR", "ABORTED")
    assert after(lambda job: store.run(job, {})) == {"PENDING": "QUEUED"}.get(phase, "refused" if ended else phase)
    assert after(store.abort) == (phase if ended else "ABORTED")
    assert after(lambda job: store.begin(job, "v")) == ("EXECUTING" if phase in ("QUEUED", "EXECUTING") else phase)
    assert after(lambda job: store.end(job, "w", NOTHING, None, 1)) == ("COMPLETED" if phase == "EXECUTING" else phase)
    assert after(lambda job: store.end(job, "w", ERROR, None, 1)) == ("ERROR" if phase == "EXECUTING" else phase)
    assert after(lambda job: store.end(job, "v", NOTHING, None, 1)) == phase
    assert after(lambda job: store.report(job, "w", Progress(), spent=1, quote=1, further=True)) == phase
    assert after(lambda job: store.change(job, lambda _: {"duration": 5}, ("PENDING",))) == (
        "PENDING" if phase == "PENDING" else "refused"
    )


def test_the_end_is_told(store: JobStore) -> None:
    completed, failed = store.get(in_phase(store, "COMPLETED")), store.get(in_phase(store, "ERROR"))
    assert (completed.results, completed.manifest, completed.error) == (DONE.results, DONE.manifest, None)
    assert (failed.results, failed.error) == ((), ERROR)
    for job in (completed, failed):
        assert job.created <= (job.queued or 0) <= (job.started or 0) <= (job.ended or 0) <= time.time()
        assert job.worker is None and job.spent == 1.0


def test_the_worker_that_was_replaced_changes_nothing(store: JobStore) -> None:
    job = in_phase(store, "QUEUED")
    first = store.begin(job, "slow")
    second = store.begin(job, "next")
    assert first is not None and second is not None
    assert (first.started, first.attempts, second.attempts) == (second.started, 1, 2)
    before = store.get(job)
    assert not store.report(job, "slow", Progress(9, 9), spent=9, quote=9, further=True)
    assert not store.end(job, "slow", ERROR, None, 9)
    assert store.get(job) == before
    assert store.held("slow") == set() and store.held("next") == {job}
    assert store.end(job, "next", DONE, Progress(1, 1), 2.5)


def test_attempts_count_until_it_gets_further(store: JobStore) -> None:
    job = in_phase(store, "QUEUED")

    def attempts() -> int:
        taken = store.begin(job, "w")
        assert taken is not None
        return taken.attempts

    assert [attempts(), attempts()] == [1, 2]
    store.report(job, "w", Progress(9, 1), spent=1, quote=1, further=False)
    assert attempts() == 3
    store.report(job, "w", Progress(9, 2), spent=1, quote=1, further=True)
    assert attempts() == 2
    store.beat("w")
    store.leave("w")  # in good order: that attempt is no crash
    assert attempts() == 2
    assert store.beats() == {}


def test_one_of_many_takes_a_change(store: JobStore) -> None:
    """Twenty at once run one job: it is queued once, with the first time, and each is told that it is."""
    job = create(store)
    with ThreadPoolExecutor(20) as pool:
        for each in [pool.submit(_or_again, lambda: store.run(job, {})) for _ in range(20)]:
            each.result()
    queued = store.get(job).queued
    store.run(job, {"x/y": "late"})
    assert (store.get(job).queued, store.get(job).refused) == (queued, {})


def _or_again(call: Callable[[], None]) -> None:
    while True:
        try:
            call()
            return
        except UnavailableFault as fault:
            assert "try again" in fault.message


def test_nobody_ends_what_another_ended(store: JobStore) -> None:
    """Clients abort while workers complete: one of both happens, and the row says which."""
    for _ in range(20):
        job = in_phase(store, "EXECUTING")
        start = threading.Barrier(2)
        won: list[bool] = []

        def complete(job: str = job, start: threading.Barrier = start, won: list[bool] = won) -> None:
            start.wait()
            won.append(store.end(job, "w", DONE, None, 1.0))

        thread = threading.Thread(target=complete)
        thread.start()
        start.wait()
        store.abort(job)
        thread.join()
        found = store.get(job)
        assert (found.phase, bool(found.results)) == (("COMPLETED", True) if won == [True] else ("ABORTED", False))
        store.delete(job)


def test_jobs_are_listed_as_asked(store: JobStore) -> None:
    now = time.time()
    made = [
        create(store, owner="ann", created=now - 30),
        create(store, owner="ann", created=now - 20),
        create(store, owner="ann", created=now - 10),
        create(store, created=now - 5),
    ]
    store.run(made[1], {})

    def ids(*arguments: Any, owner: str | None = "ann", **options: Any) -> list[str]:
        return [job.id for job in store.find(JobFilter(*arguments), owner, **options)]

    assert ids() == [made[2], made[1], made[0]]
    assert ids(("PENDING",)) == [made[2], made[0]]
    assert ids(("QUEUED", "PENDING")) == [made[2], made[1], made[0]]
    assert ids(("HELD",)) == []
    assert ids((), now - 20) == [made[2]]
    assert ids((), None, 2) == [made[2], made[1]]
    assert ids(("PENDING",), now - 40, 1) == [made[2]]
    assert ids(owner=None) == [made[3]]
    assert ids(owner="bob") == []
    assert ids(everyone=True) == made[::-1]


def test_too_many_are_refused(store: JobStore) -> None:
    for _ in range(3):
        create(store, owner="ann")
    with pytest.raises(RefusedFault, match="ann"):
        create(store, owner="ann")
    create(store, owner="bob")
    jobs = [create(store) for _ in range(5)]
    with pytest.raises(RefusedFault, match="anonymous"):
        create(store)
    store.abort(jobs[0])  # those that have ended do not count
    create(store)
    with pytest.raises(UnavailableFault, match="unfinished"):
        store.create(new(owner="cid"), JobQuotas(9, 9, 9))


def test_what_is_over_is_gone(store: JobStore) -> None:
    job = create(store, destruction=time.time() - 1)
    with pytest.raises(NotFoundFault):
        store.get(job)
    with pytest.raises(NotFoundFault):
        store.abort(job)
    with pytest.raises(NotFoundFault):
        store.run(job, {})
    assert store.find(JobFilter(), None) == []
    assert store.expired() == [job]
    assert store.phases([job, "other"]) == {job: "PENDING"}
    store.delete(job)
    assert store.expired() == []
    assert store.phases([job]) == {}


def test_a_database_knows_since_when_it_is_there(database: str) -> None:
    started = time.time()
    found: list[float] = []
    for _ in range(2):
        store = JobStore(database)
        job = create(store)
        since, phases = store.known([job, "other"])
        store.close()
        found.append(since)
        assert phases == {job: "PENDING"}
    assert started - 0.01 <= found[0] <= time.time()
    assert found[1] == found[0]


def test_a_database_that_does_not_say_since_when_it_is_there_spares_all_files(database: str) -> None:
    store, other = JobStore(database), open_tables(database)
    job = create(store)
    with other.begin() as connection:
        connection.exec_driver_sql("DELETE FROM imageserv_total WHERE name = 'made'")
    asked = time.time()
    since, phases = store.known([job])
    assert asked - 0.01 <= since <= time.time() and phases == {job: "PENDING"}
    other.dispose()
    store.close()


def test_the_engine_is_told_once_and_again_if_it_forgot(store: JobStore) -> None:
    first, second = in_phase(store, "QUEUED"), in_phase(store, "QUEUED")
    assert store.unsubmitted(10) == [first, second]
    assert store.unsubmitted(1) == [first]
    store.submitted([first, second])
    assert store.unsubmitted(10) == []
    assert store.under_way() == {first, second}
    store.begin(first, "w")
    store.resubmit([first])
    assert store.unsubmitted(10) == [first]
    assert (store.get(first).phase, store.held("w")) == ("QUEUED", set())


def test_operators_are_told(store: JobStore) -> None:
    for phase in (*PHASES, "QUEUED"):
        in_phase(store, phase)
    counts, oldest = store.counts()
    assert counts == {**dict.fromkeys(PHASES, 1), "QUEUED": 2}
    assert oldest is not None and time.time() - 60 < oldest < time.time()
    totals = store.totals()
    assert (totals["started"], totals["ended_COMPLETED"], totals["ended_ERROR"]) == (4, 1, 1)
    assert totals["run_seconds"] == 2.0 and 0 <= totals["wait_seconds"] < 60


def test_a_database_that_is_away_is_told(tmp_path: Any) -> None:
    for database in ("postgresql://nobody@127.0.0.1:9/none", "sqlite:////proc/none/jobs.sqlite"):
        store = JobStore(database)
        with pytest.raises(UnavailableFault):
            store.get("x")
    with pytest.raises(ConfigurationFault):
        JobStore("mysql://x/y").get("x")


def test_a_database_that_is_taken_away_is_made_anew(tmp_path: Any) -> None:
    """Two processes that had it open go on with one that both see, though what was in it is lost."""
    path = tmp_path / "jobs.sqlite"
    stores = [JobStore(f"sqlite:///{path}") for _ in range(2)]
    lost = create(stores[0])
    assert stores[1].get(lost).phase == "PENDING"
    for file in tmp_path.glob("jobs.sqlite*"):
        file.unlink()
    kept = create(stores[0])
    assert stores[1].get(kept).phase == "PENDING"
    for store in stores:
        with pytest.raises(NotFoundFault):
            store.get(lost)
        store.close()


def test_a_database_that_is_replaced_while_it_is_opened_is_not_used(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a process would go on for good with a file that nobody else sees."""
    path = tmp_path / "jobs.sqlite"
    other = JobStore(f"sqlite:///{path}")
    left = [1]

    def replace_it(database: str) -> Any:
        engine = open_tables(database)
        if left:
            left.pop()
            for file in tmp_path.glob("jobs.sqlite*"):
                file.unlink()
            other.totals()
        return engine

    monkeypatch.setattr("imageserv.core.jobs.store.open_tables", replace_it)
    mine = JobStore(f"sqlite:///{path}")
    mine.totals()
    monkeypatch.undo()
    assert other.get(create(mine)).phase == "PENDING"
    mine.close()
    other.close()


def test_two_that_open_a_new_database_make_one(database: str) -> None:
    stores = [JobStore(database) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        totals = [pool.submit(store.totals) for store in stores]
        assert [each.result()["started"] for each in totals] == [0.0] * 8
    for store in stores:
        store.close()


def test_many_that_open_a_new_file_at_once_wait_for_each_other(tmp_path: Any) -> None:
    """As the processes of a service do that is started first; SQLite alone has no patience then, now and then."""
    for number in range(40):
        stores = [JobStore(f"sqlite:///{tmp_path}/{number}/jobs.sqlite") for _ in range(8)]
        with ThreadPoolExecutor(8) as pool:
            assert [found["started"] for found in pool.map(JobStore.totals, stores)] == [0.0] * 8
        for store in stores:
            store.close()
