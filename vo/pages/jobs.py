"""The page about jobs."""

from imageserv.core.batch.parameters import COLUMNS, JOB
from imageserv.core.service import Service
from imageserv.vo.urls import Urls

from .html import code, page, table, tag
from .tables import at, parameter_table

_JOB = """\
curl -sS -D - -o /dev/null {url} \\
    -F UPLOAD=sources,param:table -F table=@sources.csv -F collection=SKY -F radius=0.003 -F PHASE=RUN
"""

_PYVO_JOB = """\
import pyvo
import requests

asked = {{"ID": ["ivo://...", "ivo://..."], "CIRCLE": ["37.64 0.1 0.01", "37.65 0.1 0.01"]}}
job = pyvo.dal.tap.AsyncTAPJob(requests.post("{url}", data=asked).url)
job.run().wait()
job.raise_if_error()
print(job.result_uris)
"""


def jobs(urls: Urls, service: Service) -> str:
    """Write the page about jobs."""
    config = service.config.jobs
    url = urls.vo("async")
    return page(
        "Cutouts as jobs: SODA 1.0 and UWS 1.1",
        at(url, "GET, or POST of a form"),
        tag(
            "p",
            "Many cutouts in one go, which are made while nobody waits: each image (ID) with each part of the sky (POS,"
            " CIRCLE, POLYGON and PIXELS together, in the order sent), each BAND and each TIME is one result. Those"
            " that have no pixel, or whose image is unknown, are results as well: texts that say why. Parameters"
            " are judged when the job runs: what is wrong with them is the job's error.",
        ),
        parameter_table(JOB),
        tag("h2", "A table with a cutout in each row"),
        tag(
            "p",
            "UPLOAD names a part of a multipart request: VOTable, CSV, FITS or Parquet, with these columns, found by"
            " name without case, else by UCD. A parameter of the job with a column's name stands for a column that is"
            " missing, and for an empty cell. A row without an id is of the image whose centre is nearest. The results"
            " are packed into a tar, unless package=files is given.",
        ),
        parameter_table(COLUMNS),
        tag("h2", "A job"),
        tag(
            "p",
            "The answer to a POST is a redirection (303) to the job, which waits (PENDING) until it is told to run: by"
            " PHASE=RUN in the same request, or sent to its phase. Its document is XML, or JSON for those who ask for"
            " it (Accept, or RESPONSEFORMAT=json), and ends in jobInfo: how many results there are and will be, and the"
            " manifest, a VOTable and JSON with a row for each result. WAIT=-1 answers once the phase has changed,"
            " after 50 s at the latest. Results are kept until destruction. Whoever knows the URL of a job without an"
            " owner can read and delete it.",
        ),
        table(
            ("below the job", "", "meaning"),
            [
                ("phase", "PHASE=RUN, PHASE=ABORT", "what it does; ABORT stops it within seconds"),
                ("parameters", "any parameter", "what it was given; more can be sent while it is PENDING"),
                ("executionduration", "EXECUTIONDURATION", "seconds that it may execute"),
                ("destruction", "DESTRUCTION", "when it will be deleted, with its results"),
                ("results, results/<name>", "", "the list, and each file"),
                ("manifest/<name>", "", "the manifest, in one of its formats"),
                ("error", "", "why it ended in ERROR"),
                ("quote, owner", "", "when it is likely to end; whose it is"),
            ],
        ),
        tag(
            "p",
            f"A job has at most {config.max_results} results, or {config.max_rows} in a tar, of {config.max_bytes}"
            f" bytes together, and executes {config.max_seconds} s at the most. A request uploads up to"
            f" {config.max_upload_bytes} bytes. Jobs are kept {config.days} days unless they say otherwise, and"
            f" {config.max_days} at the most. Unfinished jobs: {config.max_jobs_per_owner} of one owner,"
            f" {config.max_anonymous_jobs} of all who have no name, {config.max_jobs} altogether.",
        ),
        tag("h2", "With curl"),
        code(_JOB.format(url=url)),
        tag("h2", "With pyvo"),
        tag("p", "pyvo has no class for these jobs, but the one for TAP drives them once they exist:"),
        code(_PYVO_JOB.format(url=url)),
    )
