"""VOTable documents."""

from lxml import etree

from .documents import clean, serialise

_ERROR = (
    '<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">'
    '<RESOURCE type="results"><INFO name="QUERY_STATUS" value="ERROR"/></RESOURCE></VOTABLE>'
)


def error_document(message: str) -> bytes:
    """Write an error as a VOTable (DALI 1.1 sections 4.2 and 4.4.2).

    Parameters
    ----------
    message
        For the client; DALI's word for the fault comes first, where a
        protocol asks for one. Characters that XML cannot hold are replaced.

    Returns
    -------
    bytes
        VOTable 1.4 with one RESOURCE of type ``results`` that holds the INFO
        ``QUERY_STATUS`` and no table.
    """
    root = etree.fromstring(_ERROR)
    root[0][0].text = clean(message)
    return serialise(root)
