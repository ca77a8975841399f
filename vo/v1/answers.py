"""From a question of v1 to an answer."""

from starlette.responses import Response

from imageserv.core.answer import FITS, TILES
from imageserv.core.repository import Repository
from imageserv.core.selection import Selection
from imageserv.vo.answers import cutout_response, whole_response
from imageserv.vo.images import Budget, Conditions
from imageserv.vo.threads import Threads

from .query import IdQuestion, ImageQuestion


def answer_id(repository: Repository, question: IdQuestion) -> dict[str, int | str] | int:
    """Answer U_1 and U_2, as a JSON value.

    Raises
    ------
    UsageFault
        Raised if the science id encodes no data id.
    NotFoundFault
        Raised if only the registry could tell, and does not know it.
    """
    if question.want == "science id":
        return question.science_id
    return dict(repository.decode(question.dataset, question.science_id))


def answer_image(
    repository: Repository,
    question: ImageQuestion,
    selection: Selection,
    asked: Conditions,
    media_type: str,
    threads: Threads,
    budget: Budget,
    *,
    wait: bool,
) -> Response:
    """Answer a request for an image: with a cutout, or the stored file. Reads files.

    Parameters
    ----------
    selection
        The image that the question means.
    asked, media_type, threads, budget, wait
        As `whole_response` and `cutout_response` have them.

    Raises
    ------
    ImageServError, WouldWait
        Raised as `Repository.whole` and `Repository.cutout` do.
    """
    if question.request is None:
        return whole_response(repository, selection, asked, media_type, threads)
    request = question.request._replace(as_tiles=True) if media_type in FITS[TILES] else question.request
    return cutout_response(repository, selection, request, asked, media_type, budget, wait=wait)
