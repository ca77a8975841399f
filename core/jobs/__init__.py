"""Jobs: what is done in its own time, and survives whatever happens to the processes that do it.

The row of a job in the store is the truth. Servers write it for clients: PENDING, QUEUED, ABORTED. Workers
hand queued jobs to the engine, which gives each to one of them; that one writes EXECUTING, and at the end
COMPLETED or ERROR. It does not compute itself: a hand does, a process that may crash or be killed
without harm to other jobs. What each sudden end leaves:

- a server: a job without a 303 for its client, PENDING or QUEUED;
- a worker before it told the engine of a job: QUEUED, not submitted; any worker submits it;
- a worker that took a job: the engine has it as taken by a name that gives no sign of life; another worker has the
  engine resume it. Steps that were done are not done again; the one under way is, and writes the same files;
- the engine's database for a while: jobs that it has as taken, and at which nobody works: their worker resumes them;
- a hand: the worker counts the attempt and starts another; three attempts at one step end the job.
"""
